//! Between the engine's feed and all watchers: one task encodes what is committed, puts it into the ring, and marks the slots
//! of those for whom there is something. It begins with the first watcher and lives as long as the engine; while nobody
//! watches it encodes nothing.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use semel_core::id::{AppName, Revision};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    filter::Filter,
    ring::{Entry, RECORDS_MAX, Ring},
    slots::{Full, Marked, Slot, Slots},
    stream::PASSED_MAX,
};
use crate::{
    clock,
    engine::{Fed, Feed},
    metrics::WatchSeen,
    transport::{
        gate::{self, Gate, Stage},
        status::Refusal,
    },
};

/// Records that are encoded in one go, before other tasks have their turn.
const CHUNK: usize = 256;
/// How often it is looked whether watchers must look at their credentials: they may have been taken back, or the clock set.
const LOOK: Duration = Duration::from_secs(1);
/// By how much the clock may differ from what passed between two looks before it counts as set.
const CLOCK_SLACK_MS: i64 = 2000;
/// Watchers that read from the store at a time. Each page is short; more at once would only crowd out everybody else.
const READS_MAX: usize = 8;

/// The one hub of a server.
#[derive(Default)]
pub(crate) struct Hub(OnceCell<Arc<Shared>>);

impl Hub {
    /// What watchers share. The first one starts it.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub(crate) async fn join(&self, gate: &Arc<Gate>) -> Result<&Arc<Shared>, Refusal> {
        let start = async || {
            let (feed, begin) = gate.engine()?.feed().await.map_err(gate::refused)?;
            let shared = Arc::new(Shared::new(begin, RECORDS_MAX));
            tokio::spawn(run(gate.clone(), feed, shared.clone()));
            Ok(shared)
        };
        self.0.get_or_try_init(start).await
    }

    /// How many watch, and by how many revisions the slowest is behind this position. Looks at each of them: some milliseconds
    /// where there are very many.
    pub(crate) fn seen(&self, committed: Revision) -> WatchSeen {
        let Some(shared) = self.0.get() else { return WatchSeen::default() };
        let watchers = shared.watchers() as u64;
        if watchers == 0 {
            return WatchSeen::default();
        }
        let first_unseen = shared.slots().first_unseen().unwrap_or(Revision(u64::MAX));
        let unseen = first_unseen.min(shared.marked().next());
        WatchSeen { watchers, behind: committed.next().0.saturating_sub(unseen.0) }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    ring: RwLock<Ring>,
    slots: Mutex<Slots>,
    /// Up to here every slot that is concerned was marked.
    marked: AtomicU64,
    /// The engine has gone: nothing more comes.
    is_over: AtomicBool,
    pub(crate) reads: Arc<Semaphore>,
}

impl Shared {
    /// With nothing in it, behind this position.
    pub(crate) fn new(begin: Revision, records_max: usize) -> Self {
        Self {
            ring: RwLock::new(Ring::new(begin, records_max)),
            slots: Mutex::default(),
            marked: begin.0.into(),
            is_over: false.into(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    pub(crate) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to where every slot that is concerned was marked.
    pub(crate) fn marked(&self) -> Revision {
        Revision(self.marked.load(Ordering::Acquire))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Shows entries to the watchers. First the entries, then the marks, then up to where marks are set: see
    /// [`super::cursor::Cursor::turn`].
    pub(crate) fn publish(&self, entries: &[Arc<Entry>]) -> Marked {
        let Some(first) = entries.first() else { return Marked::default() };
        let end = {
            let mut ring = self.ring_mut();
            let gap = (first.revision != ring.end().next()).then(|| ring.end().next());
            entries.iter().for_each(|entry| ring.push(entry.clone()));
            if let Some(gap) = gap {
                self.slots().all(|slot| slot.mark(gap));
            }
            ring.end()
        };
        let marked = self.slots().mark(entries);
        self.marked.store(end.0, Ordering::Release);
        marked
    }

    /// Everything up to here lies in the store alone: all watchers look for themselves.
    pub(crate) fn pass(&self, end: Revision) {
        let from = {
            let mut ring = self.ring_mut();
            let from = ring.end().next();
            ring.pass(end);
            from
        };
        self.slots().all(|slot| slot.mark(from));
        self.marked.store(end.0, Ordering::Release);
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        self.slots().len()
    }

    /// Has everybody look, whether there is an event or not.
    pub(crate) fn nudge(&self) {
        self.slots().all(Slot::nudge);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.nudge();
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's place in the hub, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    filter: Arc<Filter>,
    app: Option<AppName>,
    id: u64,
    pub(crate) slot: Arc<Slot>,
}

impl Seat {
    /// Takes a place. From now on the slot is marked for whatever concerns the filter.
    ///
    /// # Errors
    /// When there are too many watchers.
    pub(crate) fn take(shared: &Arc<Shared>, filter: &Arc<Filter>, app: Option<AppName>) -> Result<Self, Full> {
        let slot = Arc::new(Slot::default());
        let id = shared.slots().insert(&filter.keys(), filter.kinds, app.clone(), &slot)?;
        Ok(Self { shared: shared.clone(), filter: filter.clone(), app, id, slot })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.slots().remove(&self.filter.keys(), &self.app, self.id);
    }
}

/// Serves the watchers until the engine has gone.
async fn run(gate: Arc<Gate>, mut feed: Feed, shared: Arc<Shared>) {
    let stage = gate.settings.stage.clone();
    let mut look = time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = clock::timer_now();
    let mut outlook = Outlook::of(&gate, begun);
    let mut told_to_go = false;
    let mut nudged_at = shared.marked();
    loop {
        // Whoever was passed by so much is told where it is, though nothing concerns it.
        if shared.marked().0 - nudged_at.0 >= PASSED_MAX {
            nudged_at = shared.marked();
            shared.nudge();
        }
        tokio::select! {
            fed = feed.next() => match fed {
                Some(Fed::Records(records)) if shared.watchers() > 0 => {
                    for chunk in records.chunks(CHUNK) {
                        // Records that the engine hands on have their facts, so no run has to be recalled.
                        let entries: Vec<_> = chunk.iter().map(|record| Arc::new(Entry::of(record, |_| None))).collect();
                        shared.publish(&entries).wake_in_turns().await;
                        tokio::task::yield_now().await;
                    }
                }
                Some(Fed::Records(records)) => {
                    records.last().into_iter().for_each(|last| shared.pass(last.revision));
                }
                Some(Fed::Passed(end)) => shared.pass(end),
                None => break,
            },
            _ = look.tick() => {
                let now = Outlook::of(&gate, begun);
                if now.differs_from(&outlook) {
                    shared.nudge();
                }
                outlook = now;
            }
            () = gate::reached(&stage, Stage::Going), if !told_to_go => {
                told_to_go = true;
                shared.nudge();
            }
        }
    }
    shared.end();
}

/// What the credentials of all watchers rest on.
struct Outlook {
    directory: Option<Arc<crate::engine::Directory>>,
    /// The server's time without what has passed by the timers of the streams: it stays, unless the clock is set.
    ahead_ms: i64,
}

impl Outlook {
    fn of(gate: &Gate, begun: Instant) -> Self {
        let passed = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        Self { directory: gate.directory(), ahead_ms: gate.now().0.saturating_sub(passed) }
    }

    fn differs_from(&self, before: &Self) -> bool {
        let same = match (&self.directory, &before.directory) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (now, before) => now.is_none() && before.is_none(),
        };
        !same || (self.ahead_ms - before.ahead_ms).abs() > CLOCK_SLACK_MS
    }
}

#[cfg(test)]
mod tests {
    use semel_core::{
        app::{AppPattern, Grant, Role},
        policy::Principal,
    };

    use super::*;
    use crate::transport::watch::{
        cursor::{Cursor, Turn},
        tests::threads::{filter, record},
    };

    fn told(turn: Turn) -> usize {
        match turn {
            Turn::Tell(batch) => batch.events.len(),
            Turn::Idle | Turn::Again => 0,
            Turn::Read => panic!("everything is in the ring"),
        }
    }

    /// A watcher of two runs may see the mark of the later one first: that says nothing of what lies before it as long as
    /// not all marks are set. Threads would show it once in a very long while.
    #[test]
    fn a_mark_says_nothing_of_entries_whose_own_marks_are_not_set_yet() {
        let shared = Arc::new(Shared::new(Revision(0), 100));
        let viewer = Principal::anonymous(vec![Grant { role: Role::Viewer, apps: AppPattern::All }]);
        // Of these records the third is about run 2 and the fifth about run 1.
        let filter = Arc::new(filter(&[1, 2]));
        let seat = Seat::take(&shared, &filter, None).expect("there is room");
        let mut cursor = Cursor::new(filter, seat.slot.clone(), Revision(0));
        assert_eq!(told(cursor.turn(&shared, &viewer)), 0);
        (1..=5).for_each(|revision| shared.ring_mut().push(Arc::new(Entry::of(&record(revision), |_| None))));
        seat.slot.mark(Revision(5));
        let mut count = told(cursor.turn(&shared, &viewer));
        seat.slot.mark(Revision(3));
        shared.marked.store(5, Ordering::Release);
        for _ in 0..3 {
            count += told(cursor.turn(&shared, &viewer));
        }
        assert_eq!((count, cursor.position()), (2, Revision(5)));
    }
}
