//! What a batch changed, as the store wants to know it: which rows to write, and the bytes that lie beside them.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::UniqueHold;
use crate::{
    codec::{Payload, shared_bytes},
    id::{AppName, AttemptNumber, JobKey, RunId, Timestamp, TokenId, TriggerKey},
    run::{LogStream, Run},
};

/// See the module. Keys whose thing is gone from the state mean: delete the row.
#[derive(Debug, Default)]
pub struct Changes {
    /// Apps.
    pub apps: BTreeSet<AppName>,
    /// Revoked tokens.
    pub tokens: BTreeSet<TokenId>,
    /// Jobs.
    pub jobs: BTreeSet<JobKey>,
    /// Triggers.
    pub triggers: BTreeSet<TriggerKey>,
    /// Runs that are not finished.
    pub runs: BTreeSet<RunId>,
    /// Runs that finished, as they ended. Their rows are final.
    pub finished: BTreeMap<RunId, Run>,
    /// Business keys; none means free.
    pub unique: BTreeMap<(JobKey, String), Option<UniqueHold>>,
    /// Inputs and results.
    pub blobs: Vec<Blob>,
    /// Pieces of logs.
    pub logs: Vec<LogRow>,
}

/// A business key with who holds it.
pub type UniqueRow = ((JobKey, String), UniqueHold);

/// Bytes that lie beside a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Of which run.
    pub run_id: RunId,
    /// What they are.
    pub kind: BlobKind,
    /// They.
    pub payload: Payload,
}

/// What the bytes beside a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// Its input.
    Payload,
    /// Its result.
    Result,
}

/// A piece of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogRow {
    /// Of which run.
    #[n(0)]
    pub run_id: RunId,
    /// Its place in the log of the run, from 0 on.
    #[n(1)]
    pub index: u32,
    /// The attempt that wrote it.
    #[n(2)]
    pub number: AttemptNumber,
    /// Where it was written to.
    #[n(3)]
    pub stream: LogStream,
    /// When the server took it.
    #[n(4)]
    pub time: Timestamp,
    /// What was written.
    #[cbor(n(5), with = "shared_bytes")]
    pub data: bytes::Bytes,
}
