//! Who waits for a change of a run. Waiters are woken after the commit and look for themselves; a wake-up says nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use semel_core::id::RunId;
use tokio::sync::Notify;

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Mutex<HashMap<RunId, Arc<Notify>>>>);

impl Waiters {
    /// A bell that rings after the next change of a run. Get it and call `notified().enable()` before looking at the run.
    pub fn bell(&self, run_id: RunId) -> Arc<Notify> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.len() > 1024 {
            bells.retain(|_, bell| Arc::strong_count(bell) > 1);
        }
        bells.entry(run_id).or_default().clone()
    }

    pub(super) fn ring<'a>(&self, runs: impl Iterator<Item = &'a RunId>) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.is_empty() {
            return;
        }
        for run_id in runs {
            if let Some(bell) = bells.remove(run_id) {
                bell.notify_waiters();
            }
        }
    }
}
