//! Tasks that take turns. A runtime polls what is ready in the order in which it became so, and looks for what has come over the
//! network when nothing is, or every sixty-one polls. Where hundreds of tasks of one kind always have half a millisecond of work,
//! every other caller waits for that many of them. Those that take turns work so many at a time, and after a stretch of it the
//! runtime has a look round before the next one works.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::look;
use crate::clock::Stopwatch;

/// How much is worked at a stretch, by one or by some.
const STRETCH_MAX: Duration = Duration::from_micros(250);

/// See the module. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at_a_time: usize,
    free: Arc<Semaphore>,
    members: AtomicUsize,
    /// For how long there was work since the runtime last had a look round, in nanoseconds.
    worked: AtomicU64,
}

impl Turns {
    /// As many at a time as half of the runtime's threads: the others are for everybody else.
    pub(super) fn of_half_the_threads() -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self::new(threads.div_ceil(2))
    }

    /// One at a time.
    pub(super) fn one_at_a_time() -> Self {
        Self::new(1)
    }

    /// So many at a time.
    fn new(at_a_time: usize) -> Self {
        let free = Arc::new(Semaphore::new(at_a_time));
        Self(Arc::new(Inner { at_a_time, free, members: AtomicUsize::new(0), worked: AtomicU64::new(0) }))
    }

    /// One more that takes turns, until it is dropped.
    pub(super) fn join(&self) -> Member {
        self.0.members.fetch_add(1, Ordering::Relaxed);
        Member(self.clone())
    }

    /// Whether whoever wants a turn now has to wait.
    pub(super) fn are_taken(&self) -> bool {
        self.0.free.available_permits() == 0
    }

    /// Takes a turn after the fact, for work that took so long: the next one comes once the runtime has had a look round, if this
    /// was more than a stretch.
    pub(super) fn worked(&self, took: Duration) {
        if took >= STRETCH_MAX
            && let Ok(place) = self.0.free.clone().try_acquire_owned()
        {
            look::keep_until_after(place);
        }
    }

    /// Waits for a turn, also where nobody else does. What is waited for stands in `waits` meanwhile, and has its place in line
    /// as long as it is kept.
    pub(super) fn poll_take(&self, context: &mut Context<'_>, waits: &mut Option<Wait>) -> Poll<Turn> {
        if waits.is_none()
            && let Ok(place) = self.0.free.clone().try_acquire_owned()
        {
            return Poll::Ready(Turn::counted(&self.0, place));
        }
        let wait = waits.get_or_insert_with(|| Box::pin(self.clone().wait()));
        let turn = ready!(wait.as_mut().poll(context));
        *waits = None;
        Poll::Ready(turn)
    }

    async fn wait(self) -> Turn {
        // It cannot fail: there are turns for ever.
        let place = self.0.free.clone().acquire_owned().await;
        place.map_or(Turn(None), |place| Turn::counted(&self.0, place))
    }
}

/// One of those that take turns.
pub(super) struct Member(Turns);

impl Member {
    /// Waits for a turn.
    pub(super) async fn take(&self) -> Turn {
        let mut waits = None;
        std::future::poll_fn(|context| self.poll_take(context, &mut waits)).await
    }

    /// The same, as [`Turns::poll_take`] has it.
    pub(super) fn poll_take(&self, context: &mut Context<'_>, waits: &mut Option<Wait>) -> Poll<Turn> {
        let Turns(turns) = &self.0;
        // Where there are so few there is always one for each, and nothing to count.
        if waits.is_none() && turns.members.load(Ordering::Relaxed) <= turns.at_a_time {
            return Poll::Ready(Turn(None));
        }
        self.0.poll_take(context, waits)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.0.members.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in line.
pub(super) type Wait = Pin<Box<dyn Future<Output = Turn> + Send>>;

/// A turn, which is to be given up soon. Not to be held while anything is waited for.
pub(super) struct Turn(Option<Counted>);

/// One that others may wait for.
struct Counted {
    turns: Arc<Inner>,
    begun: Stopwatch,
    place: OwnedSemaphorePermit,
}

impl Turn {
    fn counted(turns: &Arc<Inner>, place: OwnedSemaphorePermit) -> Self {
        Self(Some(Counted { turns: turns.clone(), begun: Stopwatch::start(), place }))
    }

    /// Whether that is enough for one stretch.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|turn| turn.worked() >= STRETCH_MAX)
    }

    /// Works by small steps until one says that there is nothing more to do, or the turn is over; gives whether all is done.
    pub(super) fn work(&self, mut is_last: impl FnMut() -> bool) -> bool {
        loop {
            if is_last() {
                return true;
            }
            if self.is_over() {
                return false;
            }
        }
    }

    /// Gives it to the next one: after a stretch once the runtime has had a look round.
    pub(super) fn end(self) {
        let Some(turn) = self.0 else { return };
        let worked = turn.worked();
        if worked >= STRETCH_MAX {
            turn.turns.worked.store(0, Ordering::Relaxed);
            look::keep_until_after(turn.place);
        } else {
            let worked = u64::try_from(worked.as_nanos()).unwrap_or(u64::MAX);
            turn.turns.worked.store(worked, Ordering::Relaxed);
        }
    }
}

impl Counted {
    /// In this turn and in those before it.
    fn worked(&self) -> Duration {
        Duration::from_nanos(self.turns.worked.load(Ordering::Relaxed)) + self.begun.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn however_many_have_work_others_wait_for_few_of_them() {
        const EACH: usize = 10;
        let (turns, taken) = (Turns::new(2), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            let (member, taken) = (turns.join(), taken.clone());
            tasks.spawn(async move {
                for _ in 0..EACH {
                    let turn = member.take().await;
                    let work = Stopwatch::start();
                    while work.elapsed() < STRETCH_MAX / 2 {
                        std::hint::spin_loop();
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                    turn.end();
                }
            });
        }
        let (mut most, mut before) = (0, 0);
        while before < 100 * EACH {
            yield_now().await;
            let now = taken.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        tasks.join_all().await;
        // Two stretches, of two turns each.
        assert!(most <= 6, "{most} had their turn while this task waited for one");
    }

    #[tokio::test]
    async fn a_place_in_line_that_is_left_is_nobodys() {
        let turns = Turns::new(1);
        let (one, other) = (turns.join(), turns.join());
        let turn = one.take().await;
        let mut waits = None;
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(other.poll_take(&mut context, &mut waits).is_pending());
        drop(turn);
        // The turn was given to that one, and comes back with it.
        drop(waits);
        one.take().await.end();
    }

    #[tokio::test]
    async fn who_has_much_to_do_stops_when_others_wait_and_goes_on_in_its_next_turn() {
        let turns = Turns::new(1);
        let alone = turns.join();
        let (mut left, mut taken) = (1000, 0);
        assert!(alone.take().await.work(|| down(&mut left)), "nobody waits");
        let _other = turns.join();
        left = 20;
        loop {
            let turn = alone.take().await;
            taken += 1;
            let is_done = turn.work(|| {
                let work = Stopwatch::start();
                while work.elapsed() < STRETCH_MAX / 2 {}
                down(&mut left)
            });
            turn.end();
            if is_done {
                break;
            }
        }
        assert!((10..=20).contains(&taken), "{taken} turns for ten stretches");
    }

    /// One less; whether that was the last.
    fn down(left: &mut usize) -> bool {
        *left -= 1;
        *left == 0
    }
}
