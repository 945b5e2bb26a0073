//! From what a batch has gathered to what the store is given. Decides nothing; what is durable is the store's word.

use std::sync::Arc;

use semel_core::state::Trigger;

use super::{
    directory::Directory,
    step::{Engine, StepOutput, Work},
    upkeep::Written,
};
use crate::{
    clock::{Now, Stopwatch},
    store::{Batch, Error},
};

/// Whether a commit is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is durable when the call returns.
    Waiting,
    /// It is under way then. The state runs ahead of the disk, so nobody may be shown any of it.
    Ahead,
}

impl Engine {
    /// Writes what was prepared. [`Way::Ahead`] leaves it under way: the output is then to be kept until
    /// [`Engine::settle`] has returned.
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub(super) fn commit(&mut self, now: Now, mut work: Work, way: Way) -> Result<StepOutput, Error> {
        (work.output.revision, work.output.time) = (self.revision, work.now);
        let is_due = self.upkeep.is_due(now.steady);
        let silent = work.records.is_empty() && work.window.made.is_empty();
        if silent && !is_due && !work.keep_time && !self.dedup.arrivals_are_many() {
            return Ok(work.output);
        }
        let changes = self.state.take_changes();
        let written = Written::of(work.window.made.len(), work.records.len(), &changes);
        let slice = is_due.then(|| self.upkeep.slice(work.now, self.dedup.oldest(work.now), written));
        let mut batch = Batch {
            now: work.now,
            revision: self.revision,
            requests: std::mem::take(&mut work.window.made),
            arrivals: self.dedup.take_arrivals(),
            records: work.records,
            apps: changes.apps.iter().map(|name| (name, self.state.app(name))).collect(),
            tokens: changes.tokens.iter().map(|id| (*id, self.state.revoked_tokens().get(id).copied())).collect(),
            jobs: changes.jobs.iter().map(|key| (key, self.state.job(key))).collect(),
            triggers: changes
                .triggers
                .iter()
                .map(|key| (key, self.state.trigger(key).map(Trigger::standing)))
                .collect(),
            live: self.state.live_rows(&changes).collect(),
            finished: changes.finished.values().collect(),
            unique: changes.unique.iter().map(|(key, hold)| (key, hold.as_ref())).collect(),
            blobs: changes.blobs.iter().collect(),
            logs: changes.logs.iter().collect(),
            expire: slice.map(|slice| slice.expire),
            forget: slice.map(|slice| slice.forget),
        };
        work.output.writing = Some(Stopwatch::start());
        let committed = match way {
            Way::Waiting => self.store.commit(self.epoch, &batch)?,
            Way::Ahead => self.store.begin(self.epoch, &batch)?,
        };
        work.output.records = std::mem::take(&mut batch.records);
        self.durable_time = work.now;
        self.dedup.expired(&committed.expired);
        if let Some(slice) = slice {
            work.output.forgot = self.upkeep.done(now.steady, &slice, &committed);
        }
        for run_id in changes.finished.keys() {
            self.liveness.forget_progress(*run_id);
        }
        work.output.changed_runs = changes.runs.into_iter().chain(changes.finished.into_keys()).collect();
        if !changes.apps.is_empty() || !changes.tokens.is_empty() {
            work.output.directory = Some(Arc::new(Directory::of(&self.state)));
        }
        Ok(work.output)
    }

    /// Waits for the batch that is under way, if there is one.
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.store.settle()
    }
}
