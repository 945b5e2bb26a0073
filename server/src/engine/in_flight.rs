//! The requests that are being worked on just now, for those who ask what became of one. Single ones in shards, so that the
//! threads that hand requests in and the one that is done with them seldom meet. Those that come together stay together: it
//! costs nothing for each to note them, and whoever asks looks through a few thousand at most.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;

use crate::store::DedupKey;

/// Many more than there are threads.
const SHARDS: usize = 32;

type Shard = Mutex<HashMap<DedupKey, usize, RandomState>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    hasher: RandomState,
    /// How many calls there are under each key.
    shards: [Shard; SHARDS],
    /// The keys of those that came together.
    together: Mutex<Vec<Arc<[DedupKey]>>>,
}

impl InFlight {
    /// A request is under way as long as the guard lives.
    pub(super) fn enter(in_flight: &Arc<Self>, key: DedupKey) -> Guard {
        *in_flight.shard(&key).entry(key.clone()).or_default() += 1;
        Guard { in_flight: in_flight.clone(), key }
    }

    /// The same for many.
    pub(super) fn enter_all(in_flight: &Arc<Self>, keys: impl IntoIterator<Item = DedupKey>) -> GuardOfAll {
        let keys: Arc<[DedupKey]> = keys.into_iter().collect();
        in_flight.together().push(keys.clone());
        GuardOfAll { in_flight: in_flight.clone(), keys }
    }

    pub(super) fn contains(&self, key: &DedupKey) -> bool {
        self.shard(key).contains_key(key) || self.together().iter().any(|keys| keys.contains(key))
    }

    fn together(&self) -> MutexGuard<'_, Vec<Arc<[DedupKey]>>> {
        self.together.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, key: &DedupKey) -> MutexGuard<'_, HashMap<DedupKey, usize, RandomState>> {
        let hash = usize::try_from(self.hasher.hash_one(key) & 0xffff).expect("16 bits fit");
        self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a request is under way.
pub(super) struct Guard {
    in_flight: Arc<InFlight>,
    key: DedupKey,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut shard = self.in_flight.shard(&self.key);
        if let Some(count) = shard.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.key);
            }
        }
    }
}

/// That requests which came together are under way.
pub(super) struct GuardOfAll {
    in_flight: Arc<InFlight>,
    keys: Arc<[DedupKey]>,
}

impl GuardOfAll {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Drop for GuardOfAll {
    fn drop(&mut self) {
        let mut together = self.in_flight.together();
        if let Some(at) = together.iter().position(|keys| Arc::ptr_eq(keys, &self.keys)) {
            together.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use semel_core::id::{AppName, RequestId};

    use super::*;

    #[test]
    fn a_request_is_under_way_until_the_last_call_under_its_key_is_answered() {
        let in_flight = Arc::new(InFlight::default());
        let key = |id| DedupKey { request_id: RequestId([id; 16]), app: AppName::system() };
        let (first, second, other) = (
            InFlight::enter(&in_flight, key(1)),
            InFlight::enter(&in_flight, key(1)),
            InFlight::enter(&in_flight, key(2)),
        );
        let (many, same) =
            (InFlight::enter_all(&in_flight, [key(4), key(2)]), InFlight::enter_all(&in_flight, [key(4), key(2)]));
        drop(first);
        assert!(in_flight.contains(&key(1)) && in_flight.contains(&key(2)) && !in_flight.contains(&key(3)));
        drop(second);
        assert!(!in_flight.contains(&key(1)) && in_flight.contains(&key(2)));
        drop(other);
        drop(many);
        assert!(in_flight.contains(&key(2)) && in_flight.contains(&key(4)));
        assert_eq!(same.len(), 2);
        drop(same);
        assert!(!in_flight.contains(&key(2)) && !in_flight.contains(&key(4)));
        assert!(in_flight.shards.iter().all(|shard| shard.lock().expect("it is whole").is_empty()));
    }
}
