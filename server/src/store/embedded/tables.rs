//! The tables on disk: their names, their keys, and how a value is read back. Writes nothing.
//!
//! Keys are in time order wherever rows are many, so that inserts go to the right edge of a tree: ids begin with a time,
//! revisions count up. Where a key begins with a name, a zero byte ends it, which no name holds: so the order of keys is
//! that of the names, and no name is a prefix of another.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | a word | format, store id, epoch, revision, high-water mark, place in the write-ahead log, window floor, attempt floor |
//! | `requests` | request id, app | `DedupRecord` |
//! | `window_counts` | app | u64: rows of `requests` |
//! | `records` | revision | `Record` |
//! | `runs` | run id | `Run` |
//! | `live` | run id | nothing: the run is not finished |
//! | `runs_by_job` | app 0 job 0 run id | nothing |
//! | `ended` | end time, run id | nothing: the run is finished, and something of it is still there |
//! | `blobs` | run id, kind | `Payload` |
//! | `logs` | run id, index | `LogRow` |
//! | `jobs` | app 0 job | `Job` |
//! | `apps` | app | `App` |
//! | `tokens` | token id | `Timestamp` |
//! | `triggers` | app 0 job 0 trigger | `Standing` |
//! | `unique` | SHA-256 of app 0 job 0 key | the key in full and `UniqueHold` |

use minicbor::{Decode, Encode};
use semel_core::{
    codec,
    id::{AppName, JobKey, JobName, RunId, Timestamp, TriggerKey},
    state::{BlobKind, UniqueHold},
};
use sha2::{Digest, Sha256};

use super::trouble::Trouble;
use crate::store::DedupKey;

/// One table as LMDB has it.
pub(super) type Database = heed::Database<'static, heed::types::Bytes, heed::types::Bytes>;

macro_rules! tables {
    ($($table:ident = $name:literal),+ $(,)?) => {
        /// One table. Its place in [`Table::ALL`] stands in the write-ahead log: new ones go to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Table {
            $($table),+
        }

        impl Table {
            /// All of them.
            pub(super) const ALL: [Self; COUNT] = [$(Self::$table),+];

            /// Its name in LMDB.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$table => $name),+
                }
            }
        }

        /// How many tables there are.
        pub(super) const COUNT: usize = [$($name),+].len();
    };
}

tables! {
    Meta = "meta",
    Requests = "requests",
    WindowCounts = "window_counts",
    Records = "records",
    Runs = "runs",
    Live = "live",
    RunsByJob = "runs_by_job",
    Blobs = "blobs",
    Logs = "logs",
    Jobs = "jobs",
    Apps = "apps",
    Tokens = "tokens",
    Unique = "unique",
    Ended = "ended",
    Triggers = "triggers",
}

/// The keys of `meta`.
pub(super) mod meta {
    pub(in super::super) const FORMAT: &[u8] = b"format";
    pub(in super::super) const STORE_ID: &[u8] = b"store_id";
    pub(in super::super) const EPOCH: &[u8] = b"epoch";
    pub(in super::super) const REVISION: &[u8] = b"revision";
    pub(in super::super) const HIGH_WATER: &[u8] = b"high_water";
    pub(in super::super) const WINDOW_FLOOR: &[u8] = b"window_floor";
    pub(in super::super) const ATTEMPT_FLOOR: &[u8] = b"attempt_floor";
    pub(in super::super) const WAL: &[u8] = b"wal";
    /// Random, and known to nobody outside: no payload can pass for a record of the log.
    pub(in super::super) const WAL_ID: &[u8] = b"wal_id";
}

/// A row of `unique`. The key in full stands in the value, because app, job and key together can be longer (513 bytes)
/// than a key of LMDB may be (511).
#[derive(Encode, Decode)]
pub(super) struct UniqueRow {
    #[n(0)]
    pub(super) key: JobKey,
    #[n(1)]
    pub(super) unique_key: String,
    #[n(2)]
    pub(super) hold: UniqueHold,
}

/// The key of a request.
pub(super) fn request(key: &DedupKey) -> Vec<u8> {
    [&key.request_id.0, key.app.as_str().as_bytes()].concat()
}

/// The id and the app of a key of `requests`.
pub(super) fn split_request(key: &[u8]) -> Result<([u8; 16], &[u8]), Trouble> {
    let (id, app) = key.split_first_chunk().ok_or_else(|| Trouble::damaged("key of requests"))?;
    Ok((*id, app))
}

/// What all keys of an app's jobs begin with.
pub(super) fn app_prefix(app: &AppName) -> Vec<u8> {
    [app.as_str().as_bytes(), &[0]].concat()
}

/// The key of a job.
pub(super) fn job(app: &AppName, job: &JobName) -> Vec<u8> {
    [app.as_str().as_bytes(), &[0], job.as_str().as_bytes()].concat()
}

/// The key of a trigger.
pub(super) fn trigger(key: &TriggerKey) -> Vec<u8> {
    let TriggerKey { job, name } = key;
    [job.app.as_str().as_bytes(), &[0], job.job.as_str().as_bytes(), &[0], name.as_str().as_bytes()].concat()
}

/// What all keys of a job's runs begin with.
pub(super) fn job_prefix(app: &AppName, job: &JobName) -> Vec<u8> {
    [app.as_str().as_bytes(), &[0], job.as_str().as_bytes(), &[0]].concat()
}

/// The key of a run among those of its job.
pub(super) fn run_by_job(key: &JobKey, id: RunId) -> Vec<u8> {
    [key.app.as_str().as_bytes(), &[0], key.job.as_str().as_bytes(), &[0], &id.0].concat()
}

/// Before this lie the keys of all runs that ended before that time.
pub(super) fn ended_at(time: Timestamp) -> [u8; 8] {
    u64::try_from(time.0).unwrap_or(0).to_be_bytes()
}

/// The key of a run among those that ended.
pub(super) fn ended(time: Timestamp, id: RunId) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&ended_at(time));
    key[8..].copy_from_slice(&id.0);
    key
}

/// The run id at the end of a key.
pub(super) fn last_run_id(key: &[u8]) -> Result<RunId, Trouble> {
    key.last_chunk().map(|id| RunId(*id)).ok_or_else(|| Trouble::damaged("run id in a key"))
}

/// The key of what lies beside a run.
pub(super) fn blob(id: RunId, kind: BlobKind) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(&id.0);
    key[16] = match kind {
        BlobKind::Payload => 0,
        BlobKind::Result => 1,
    };
    key
}

/// The key of a piece of a log.
pub(super) fn log(id: RunId, index: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(&id.0);
    key[16..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The key of a business key.
pub(super) fn unique(key: &JobKey, unique_key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(job_prefix(&key.app, &key.job));
    hash.update(unique_key);
    hash.finalize().into()
}

/// The app of bytes in a key.
pub(super) fn app_name(bytes: &[u8]) -> Result<AppName, Trouble> {
    let name = str::from_utf8(bytes).map_err(|_| Trouble::damaged("app in a key"))?;
    // Names from disk come in by the codec alone: parsing them by today's rules could lose rows.
    Ok(codec::decode(&codec::encode(&name))?)
}

/// A number of eight bytes.
pub(super) fn number(bytes: &[u8]) -> Result<u64, Trouble> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| Trouble::damaged("number"))
}
