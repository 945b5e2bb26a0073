//! Tokens that were verified lately, by their hash: a signature is checked once, not with each call. An entry is worth
//! nothing once its issuer's keys have changed; its times are judged with each call.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use semel_core::{id::Timestamp, policy::Principal};

/// Tokens that are remembered. Beyond it those that have ended go, and if that makes no room, all.
pub(super) const ENTRIES_MAX: usize = 10_000;

/// A token whose signature was checked.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Whose it is, as a place in the list of issuers.
    pub(super) issuer: usize,
    /// By which of its key sets it was checked.
    pub(super) generation: u64,
    pub(super) principal: Arc<Principal>,
    pub(super) expire_time: Timestamp,
    pub(super) earliest: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<[u8; 32], Entry>>);

impl Cache {
    pub(super) fn get(&self, token: &[u8; 32]) -> Option<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    pub(super) fn put(&self, token: [u8; 32], entry: Entry, now: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&token) {
            entries.retain(|_, entry| entry.expire_time > now);
            if entries.len() >= ENTRIES_MAX {
                entries.clear();
            }
        }
        entries.insert(token, entry);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
