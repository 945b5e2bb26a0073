//! A batch that owns what it writes, so that a broken store can hold it back and lose it.

use semel_core::{
    app::App,
    event::Record,
    id::{AppName, JobKey, Revision, Timestamp, TokenId, TriggerKey},
    job::Job,
    run::Run,
    state::{Blob, LogRow, UniqueHold},
    trigger::Standing,
    window::{Arrivals, DedupRecord},
};
use semel_server::store::{Batch, DedupKey, Forget};

/// See the module.
pub(crate) struct OwnedBatch {
    now: Timestamp,
    revision: Revision,
    requests: Vec<(DedupKey, DedupRecord)>,
    arrivals: Vec<(DedupKey, Arrivals)>,
    records: Vec<Record>,
    apps: Vec<(AppName, Option<App>)>,
    tokens: Vec<(TokenId, Option<Timestamp>)>,
    jobs: Vec<(JobKey, Option<Job>)>,
    live: Vec<Run>,
    finished: Vec<Run>,
    triggers: Vec<(TriggerKey, Option<Standing>)>,
    unique: Vec<((JobKey, String), Option<UniqueHold>)>,
    blobs: Vec<Blob>,
    logs: Vec<LogRow>,
    expire: Option<(Timestamp, usize)>,
    forget: Option<Forget>,
}

impl OwnedBatch {
    pub(crate) fn of(batch: &Batch<'_>) -> Self {
        Self {
            now: batch.now,
            revision: batch.revision,
            requests: batch.requests.clone(),
            arrivals: batch.arrivals.clone(),
            records: batch.records.clone(),
            apps: batch.apps.iter().map(|(name, app)| ((*name).clone(), app.cloned())).collect(),
            tokens: batch.tokens.clone(),
            jobs: batch.jobs.iter().map(|(key, job)| ((*key).clone(), job.cloned())).collect(),
            triggers: batch.triggers.iter().map(|(key, row)| ((*key).clone(), row.cloned())).collect(),
            live: batch.live.iter().copied().cloned().collect(),
            finished: batch.finished.iter().copied().cloned().collect(),
            unique: batch.unique.iter().map(|(key, hold)| ((*key).clone(), hold.cloned())).collect(),
            blobs: batch.blobs.iter().copied().cloned().collect(),
            logs: batch.logs.iter().copied().cloned().collect(),
            expire: batch.expire,
            forget: batch.forget,
        }
    }

    pub(crate) fn borrow(&self) -> Batch<'_> {
        Batch {
            now: self.now,
            revision: self.revision,
            requests: self.requests.clone(),
            arrivals: self.arrivals.clone(),
            records: self.records.clone(),
            apps: self.apps.iter().map(|(name, app)| (name, app.as_ref())).collect(),
            tokens: self.tokens.clone(),
            jobs: self.jobs.iter().map(|(key, job)| (key, job.as_ref())).collect(),
            triggers: self.triggers.iter().map(|(key, row)| (key, row.as_ref())).collect(),
            live: self.live.iter().collect(),
            finished: self.finished.iter().collect(),
            unique: self.unique.iter().map(|(key, hold)| (key, hold.as_ref())).collect(),
            blobs: self.blobs.iter().collect(),
            logs: self.logs.iter().collect(),
            expire: self.expire,
            forget: self.forget,
        }
    }
}
