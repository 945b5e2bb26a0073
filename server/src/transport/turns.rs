//! Tasks that take turns. A runtime polls what is ready in the order in which it became so, and looks for what has come over the
//! network when nothing is, or every sixty-one polls. Where hundreds of tasks of one kind always have half a millisecond of work,
//! every other caller waits for that many of them. Those that take turns work so many at a time, and after a stretch of it the
//! runtime has a look round before the next one works.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task,
};

use crate::clock::Stopwatch;

/// How much is worked at a stretch, by one or by some.
const STRETCH_MAX: Duration = Duration::from_micros(250);

/// See the module. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    /// For how long there was work since the runtime last had a look round, in nanoseconds.
    worked: AtomicU64,
}

impl Turns {
    /// So many at a time.
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Inner { free: Arc::new(Semaphore::new(count)), worked: AtomicU64::new(0) }))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self) -> Turn {
        let mut waits = None;
        std::future::poll_fn(|context| self.poll_take(context, &mut waits)).await
    }

    /// The same. What is waited for stands in `waits` meanwhile, and has its place in line as long as it is kept.
    pub(super) fn poll_take(&self, context: &mut Context<'_>, waits: &mut Option<Wait>) -> Poll<Turn> {
        let free = if waits.is_none() { self.0.free.clone().try_acquire_owned().ok() } else { None };
        let place = match free {
            Some(place) => Some(place),
            None => {
                let line = || -> Wait { Box::pin(self.0.free.clone().acquire_owned()) };
                let place = ready!(waits.get_or_insert_with(line).as_mut().poll(context));
                *waits = None;
                // There are turns for ever.
                place.ok()
            }
        };
        Poll::Ready(Turn { turns: self.clone(), begun: Stopwatch::start(), _place: place })
    }
}

/// A place in line.
pub(super) type Wait = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A turn, which is to be given up soon. Not to be held while anything is waited for.
pub(super) struct Turn {
    turns: Turns,
    begun: Stopwatch,
    _place: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Whether that is enough for one stretch.
    pub(super) fn is_over(&self) -> bool {
        let before = Duration::from_nanos(self.turns.0.worked.load(Ordering::Relaxed));
        before + self.begun.elapsed() >= STRETCH_MAX
    }

    /// Gives it to the next one. After a stretch the runtime has a look round first.
    pub(super) async fn end(self) {
        let worked = &self.turns.0.worked;
        if self.is_over() {
            worked.store(0, Ordering::Relaxed);
            task::yield_now().await;
        } else {
            let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            worked.fetch_add(took, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn however_many_have_work_others_wait_for_few_of_them() {
        const EACH: usize = 10;
        let (turns, taken) = (Turns::new(2), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            let (turns, taken) = (turns.clone(), taken.clone());
            tasks.spawn(async move {
                for _ in 0..EACH {
                    let turn = turns.take().await;
                    let work = Stopwatch::start();
                    while work.elapsed() < STRETCH_MAX / 2 {
                        std::hint::spin_loop();
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                    turn.end().await;
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
        let turn = turns.take().await;
        let mut waits = None;
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(turns.poll_take(&mut context, &mut waits).is_pending());
        drop(turn);
        // The turn was given to that one, and comes back with it.
        drop(waits);
        turns.take().await.end().await;
    }
}
