//! What is not counted as it happens but looked at when somebody asks: how many of what there are just now. A look is taken at
//! most once a second, however many ask and how often; those who ask at once share one. What a look could not see has no
//! series.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex as Turn, time::Instant};

use crate::{clock, procfs::Process, store::DiskStatus};

/// How long a look serves. In tests until they say otherwise.
const FRESH: Duration = Duration::from_secs(if cfg!(test) { 3600 } else { 1 });

/// How one looks. What cannot be seen in time is left out; it ends within some seconds whatever happens.
pub(crate) type Look = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Seen> + Send>> + Send + Sync>;

/// What a look saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// In front of the engine: how much waits. Seen without asking it.
    pub(crate) load: Option<LoadSeen>,
    /// Of connections of callers.
    pub(crate) connections: Option<ConnectionsSeen>,
    /// Between two batches.
    pub(crate) engine: Option<EngineSeen>,
    /// In the store.
    pub(crate) store: Option<StoreSeen>,
    /// On the disk, if the store has one.
    pub(crate) disk: Option<DiskStatus>,
    /// Of those who watch.
    pub(crate) watch: Option<WatchSeen>,
    /// Of outside issuers, each by its name.
    pub(crate) issuers: Vec<IssuerSeen>,
    /// Requests that were served without credentials since the start, items of streams among them.
    pub(crate) anonymous_requests: Option<u64>,
}

/// What waits for the engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadSeen {
    /// Requests that wait, and so many may.
    pub(crate) requests: u64,
    pub(crate) room: u64,
    /// Bytes that they carry.
    pub(crate) bytes: u64,
    /// Looks at the state that wait.
    pub(crate) looks: u64,
    /// Places that are taken by what workers have said.
    pub(crate) worker_places: u64,
    /// What was refused since the start for want of room.
    pub(crate) refused_requests: u64,
    pub(crate) refused_looks: u64,
}

/// Connections of callers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionsSeen {
    /// Open now.
    pub(crate) open: u64,
    /// Closed at once since the start, because there were too many in all, or from their address.
    pub(crate) refused_total: u64,
    pub(crate) refused_address: u64,
    /// Strangers that gave way to others since the start.
    pub(crate) evicted: u64,
}

/// What there is in the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct EngineSeen {
    /// Unfinished runs, by state.
    pub(crate) runs: Vec<(&'static str, u64)>,
    /// How long the one has waited for a worker that waits longest among those that could be handed out.
    pub(crate) oldest_queued: Duration,
    /// Workers that are connected, by how they stand.
    pub(crate) workers: Vec<(&'static str, u64)>,
    /// How many attempts all of them take at a time, and how many more they take now.
    pub(crate) slots: u64,
    pub(crate) slots_free: u64,
    /// Requests that are remembered.
    pub(crate) window_requests: u64,
}

/// What there is in the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreSeen {
    /// How long ago the id was minted of the oldest request that is remembered; none if none is.
    pub(crate) window_oldest: Option<Duration>,
    /// The position of the oldest record that is kept.
    pub(crate) oldest_revision: u64,
}

/// Who watches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WatchSeen {
    /// How many.
    pub(crate) watchers: u64,
    /// By how many revisions the slowest is behind, at most.
    pub(crate) behind: u64,
}

/// The keys of an outside issuer.
#[derive(Clone, Debug)]
pub(crate) struct IssuerSeen {
    /// As the operator named it.
    pub(crate) name: String,
    /// Fetches that brought keys, and that did not.
    pub(crate) fetched: u64,
    pub(crate) failed: u64,
    /// How old the keys are; none if there are none.
    pub(crate) age: Option<Duration>,
}

/// See the module.
pub(super) struct Live {
    look: Mutex<Option<Arc<Look>>>,
    /// When the last look was taken. Held while one is taken: that is how those who ask at once share it.
    taken: Turn<Option<Instant>>,
    seen: ArcSwapOption<(Seen, Process)>,
}

impl Live {
    /// One that has nothing to look at yet but the process itself.
    pub(super) fn new() -> Self {
        Self { look: Mutex::new(None), taken: Turn::new(None), seen: ArcSwapOption::empty() }
    }

    /// From now on one looks so.
    pub(super) fn look_by(&self, look: Look) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(look));
    }

    /// Sees to it that what is seen is no older than a second or so.
    pub(super) async fn refresh(&self) {
        let mut taken = self.taken.lock().await;
        if taken.is_some_and(|at| clock::timer_now() < at + FRESH) {
            return;
        }
        let look = self.look.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seen = match look {
            Some(look) => look().await,
            None => Seen::default(),
        };
        // Files of memory, but for the directory of what is open, which may be long.
        let process = tokio::task::spawn_blocking(Process::of_self).await.unwrap_or_default();
        self.seen.store(Some(Arc::new((seen, process))));
        *taken = Some(clock::timer_now());
    }

    /// As if a second had passed since the last look.
    #[cfg(test)]
    pub(super) async fn outdate(&self) {
        *self.taken.lock().await = None;
    }

    /// Something of what was seen last.
    pub(super) fn of<T>(&self, part: impl FnOnce(&Seen) -> Option<T>) -> Option<T> {
        self.seen.load().as_deref().and_then(|(seen, _)| part(seen))
    }

    /// Something of what the process takes.
    pub(super) fn process<T>(&self, part: impl FnOnce(&Process) -> Option<T>) -> Option<T> {
        self.seen.load().as_deref().and_then(|(_, process)| part(process))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Live")
    }
}
