//! The one seam to storage. A store knows rows, not rules: it keeps what the engine hands it, whole or not at all, and
//! gives it back.
//!
//! Two halves: [`Store`] belongs to the one engine thread of a shard and is the only way to write; [`Reader`]s are shared
//! by everybody else, see only what is committed, and never wait for the writer.
//!
//! Every implementation passes the one suite in `suite`.

mod embedded;
mod error;
mod forget;
mod list;
mod memory;
#[cfg(test)]
mod suite;

use std::{collections::BTreeMap, sync::Arc};

use foldhash::HashMap;
use semel_core::{
    app::App,
    codec::Payload,
    command::Method,
    event::Record,
    id::{AppName, JobKey, JobName, RequestId, Revision, RunId, Timestamp, TokenId, TriggerKey},
    job::{Job, Labels},
    run::{Phase, Run},
    state::{Blob, BlobKind, LogRow, Rows},
    trigger::Standing,
    window::{Arrivals, DedupRecord},
};

use crate::durations::Distribution;

pub use self::{
    embedded::{
        DATA_FILE, Description, Embedded, FORMAT, MAP_SIZE_DEFAULT, Options as EmbeddedOptions, adopt, begin_restore,
        copy, end_restore,
    },
    error::Error,
    forget::{Forget, Forgotten},
    memory::{Fault, Memory},
};

/// Who owns a shard. Grows by one each time that somebody takes it over; whoever has an older one cannot write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Under what a request is remembered. Ordered by the id, whose first bits are a time, so that inserts go to the right
/// edge of the tree and expiry is one range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey {
    /// The id.
    pub request_id: RequestId,
    /// The app.
    pub app: AppName,
}

/// The writing half. Owned by one engine.
pub trait Store: Send {
    /// Takes the shard over and reads what a state is made of. To be called once, first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn load(&mut self) -> Result<Loaded, Error>;

    /// Fetches the few rows that the commands of a batch name.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error>;

    /// Writes a batch, all or nothing. Once this has returned, the batch survives a crash.
    ///
    /// # Errors
    /// When it is not certain that the batch is durable. The engine must stop then: nobody may be shown the state that
    /// runs ahead of the disk. [`Error::Fenced`] when somebody else owns the shard.
    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error>;

    /// Begins to write a batch, all or nothing, and need not wait until it is durable: [`Store::settle`] does. Until then
    /// no reader sees any of it, and [`Store::prefetch`] does. What was begun before is settled first. A store that has
    /// nothing to gain by that commits at once.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn begin(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        self.commit(epoch, batch)
    }

    /// Whether [`Store::settle`] has nothing to wait for.
    fn is_settled(&mut self) -> bool {
        true
    }

    /// Waits for the batch that was begun, if there is one. Once this has returned, the batch survives a crash.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn settle(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The reading half.
    fn reader(&self) -> Arc<dyn Reader>;
}

/// What [`Store::load`] gives.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What the state is made of.
    pub rows: Rows,
    /// The last committed position; 0 for a new store.
    pub revision: Revision,
    /// The latest time that any commit bore. The clock never goes back behind it.
    pub high_water: Timestamp,
    /// How many requests each app has in the window.
    pub window_counts: BTreeMap<AppName, u64>,
    /// The epoch under which to commit from now on.
    pub epoch: Epoch,
    /// When the store was restored from a backup; 0 if it never was. Of requests whose id was minted before and that are
    /// not in the window nobody knows whether they took effect after the backup was made.
    pub window_floor: Timestamp,
    /// New attempts get higher numbers than this: it is raised with each restore.
    pub attempt_floor: u32,
    /// The id of the store, made with it: random.
    pub store_id: [u8; 16],
}

impl Default for Epoch {
    fn default() -> Self {
        Self(1)
    }
}

/// What a batch names.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Requests.
    pub requests: Vec<DedupKey>,
    /// Runs, whether finished or not, with their input if `true`.
    pub runs: Vec<(RunId, bool)>,
}

/// What was found of it.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Requests.
    pub requests: HashMap<DedupKey, DedupRecord>,
    /// Runs, with their input.
    pub runs: Vec<(Run, Option<Payload>)>,
}

/// What one commit writes.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The time of the batch: the new high-water mark.
    pub now: Timestamp,
    /// The last position in it (that of the batch before, if it has no records).
    pub revision: Revision,
    /// Requests that took effect.
    pub requests: Vec<(DedupKey, DedupRecord)>,
    /// New arrivals of requests that are there (or come with this batch). A request that is gone is passed over.
    pub arrivals: Vec<(DedupKey, Arrivals)>,
    /// What happened, by position.
    pub records: Vec<Record>,
    /// Apps; none to delete.
    pub apps: Vec<(&'a AppName, Option<&'a App>)>,
    /// Revoked tokens with their end; none to delete.
    pub tokens: Vec<(TokenId, Option<Timestamp>)>,
    /// Jobs; none to delete.
    pub jobs: Vec<(&'a JobKey, Option<&'a Job>)>,
    /// How triggers stand; none to delete.
    pub triggers: Vec<(&'a TriggerKey, Option<&'a Standing>)>,
    /// Runs that are not finished, by id: written, and listed among the live.
    pub live: Vec<&'a Run>,
    /// Runs that finished: written, and no longer listed among the live.
    pub finished: Vec<&'a Run>,
    /// Business keys; none to delete.
    pub unique: Vec<(&'a (JobKey, String), Option<&'a semel_core::state::UniqueHold>)>,
    /// Inputs and results.
    pub blobs: Vec<&'a Blob>,
    /// Pieces of logs.
    pub logs: Vec<&'a LogRow>,
    /// Forget requests whose id was minted before this, at most so many.
    pub expire: Option<(Timestamp, usize)>,
    /// Forget what else is past its time, of what was there before this batch.
    pub forget: Option<Forget>,
}

/// What a commit did beyond what it was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// How many requests of each app were forgotten.
    pub expired: BTreeMap<AppName, u64>,
    /// What else was forgotten.
    pub forgotten: Forgotten,
}

/// The reading half. Sees what is committed, at the moment of each call.
pub trait Reader: Send + Sync {
    /// One run, finished or not.
    ///
    /// # Errors
    /// Here and below: when the store cannot be read.
    fn run(&self, id: RunId) -> Result<Option<Run>, Error>;

    /// Input or result of a run.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn blob(&self, id: RunId, kind: BlobKind) -> Result<Option<Payload>, Error>;

    /// Runs of an app, the newest first. Looks at a bounded number of rows, so a page may be short, or empty, and yet
    /// not be the last.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn runs(&self, query: &RunQuery) -> Result<Page<Run, RunId>, Error>;

    /// Runs of all apps, the newest first. Bounded as [`Reader::runs`] is.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn scan_runs(&self, scan: &RunScan) -> Result<Page<Run, RunId>, Error>;

    /// Pieces of a run's log from this index on.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn logs(&self, id: RunId, from: u32, limit: usize) -> Result<Vec<LogRow>, Error>;

    /// One job.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn job(&self, key: &JobKey) -> Result<Option<Job>, Error>;

    /// The jobs of an app after this name, in order.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn jobs(&self, app: &AppName, after: Option<&JobName>, limit: usize) -> Result<Vec<Job>, Error>;

    /// One app.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn app(&self, name: &AppName) -> Result<Option<App>, Error>;

    /// Apps after this name, in order.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn apps(&self, after: Option<&AppName>, limit: usize) -> Result<Vec<App>, Error>;

    /// What is remembered of a request.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn request(&self, key: &DedupKey) -> Result<Option<DedupRecord>, Error>;

    /// Requests of an app, the newest first. Bounded as [`Reader::runs`] is.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn requests(&self, query: &RequestQuery) -> Result<Page<(DedupKey, DedupRecord), RequestId>, Error>;

    /// The log from this position on (inclusive).
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn records(&self, from: Revision, limit: usize) -> Result<Vec<Record>, Error>;

    /// The position of the oldest record that is kept; if none is, the one that the next will have. What lies before it
    /// was forgotten.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn oldest_revision(&self) -> Result<Revision, Error>;

    /// The id of the oldest request that is remembered, by when it was minted; none if none is.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn oldest_request(&self) -> Result<Option<RequestId>, Error>;

    /// How the disk is doing; none for a store that has none.
    ///
    /// # Errors
    /// See [`Reader::run`].
    fn disk(&self) -> Result<Option<DiskStatus>, Error> {
        Ok(None)
    }
}

/// What a store on a disk tells of itself. Counts begin with its opening.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskStatus {
    /// How long writes of the log took, each with the flush that makes it durable.
    pub log_writes: Distribution,
    /// Bytes that were written to the log.
    pub log_written_bytes: u64,
    /// Bytes of the log that are held by commits which are not in the tables yet.
    pub log_held_bytes: u64,
    /// How many commits these are.
    pub log_held_commits: u64,
    /// How large the log is; a commit waits when all of it is held.
    pub log_bytes: u64,
    /// How long it took to take commits over into the tables, many at a time.
    pub flushes: Distribution,
    /// Bytes of the pages that hold rows.
    pub used_bytes: u64,
    /// Bytes of all pages, with those that are free to be used again.
    pub file_bytes: u64,
    /// How large that may become.
    pub map_bytes: u64,
}

/// How many rows one list call may look at.
pub const SCAN_ROWS_MAX: usize = 20_000;

/// Which runs to list.
#[derive(Clone, Debug)]
pub struct RunQuery {
    /// Of which app.
    pub app: AppName,
    /// Of which job.
    pub job: Option<JobName>,
    /// In which states; empty means any.
    pub phases: Vec<Phase>,
    /// With all of these labels.
    pub labels: Labels,
    /// Created at or after.
    pub from: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
    /// Only runs that are older than this one: where the last page ended.
    pub before: Option<RunId>,
    /// How many at most.
    pub limit: usize,
}

impl RunQuery {
    /// Whether a run is among what is asked for, its place in the list aside.
    pub fn matches(&self, run: &Run) -> bool {
        run.job.app == self.app
            && self.job.as_ref().is_none_or(|job| &run.job.job == job)
            && (self.phases.is_empty() || self.phases.contains(&run.state.phase()))
            && self.labels.iter().all(|(key, value)| run.labels.get(key) == Some(value))
    }
}

/// Which runs of all apps to go through.
#[derive(Clone, Copy, Debug)]
pub struct RunScan {
    /// The finished ones too.
    pub is_all: bool,
    /// Only runs that are older than this one: where the last page ended.
    pub before: Option<RunId>,
    /// How many at most.
    pub limit: usize,
}

/// Which requests to list.
#[derive(Clone, Debug)]
pub struct RequestQuery {
    /// Of which app.
    pub app: AppName,
    /// By which method.
    pub method: Option<Method>,
    /// Of whom.
    pub principal: Option<String>,
    /// Minted at or after.
    pub from: Option<Timestamp>,
    /// Minted before.
    pub until: Option<Timestamp>,
    /// Only requests whose id is less than this: where the last page ended.
    pub before: Option<RequestId>,
    /// How many at most.
    pub limit: usize,
}

/// A page of a list, and where the next one begins.
#[derive(Debug)]
pub struct Page<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// The `before` of the next page; none when the list has ended.
    pub next: Option<K>,
}
