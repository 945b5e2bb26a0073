//! What happened. The log of committed events is made of these; only [`crate::State::evolve`] acts on them.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::{
    app::App,
    codec::Payload,
    facts::Facts,
    id::{
        AppName, AttemptNumber, JobKey, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, TokenId,
        TriggerKey, WorkerId,
    },
    job::{Job, JobSpec},
    run::{AttemptOutcome, LogStream, Outcome, Run},
    trigger::{Backfill, FireSource, SkipReason},
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::codec::Known")]
pub enum Event {
    /// An app was created.
    #[n(1)]
    AppCreated {
        /// The app.
        #[n(0)]
        app: Box<App>,
    },
    /// Description, grants or secret of an app changed.
    #[n(2)]
    AppUpdated {
        /// The app as it is now.
        #[n(0)]
        app: Box<App>,
    },
    /// An app was deleted.
    #[n(3)]
    AppDeleted {
        /// Which.
        #[n(0)]
        app: AppName,
    },
    /// One token was taken back.
    #[n(4)]
    TokenRevoked {
        /// Whose.
        #[n(0)]
        app: AppName,
        /// Which.
        #[n(1)]
        token_id: TokenId,
        /// When it ends by itself, and can be forgotten.
        #[n(2)]
        expire_time: Timestamp,
    },
    /// A revoked token has ended by itself, and was forgotten.
    #[n(5)]
    TokenForgotten {
        /// Which.
        #[n(0)]
        token_id: TokenId,
    },
    /// A job was created.
    #[n(6)]
    JobCreated {
        /// The job.
        #[n(0)]
        job: Box<Job>,
    },
    /// The definition of a job was replaced.
    #[n(7)]
    JobUpdated {
        /// Which.
        #[n(0)]
        key: JobKey,
        /// The new one.
        #[cbor(n(1), with = "crate::codec::shared")]
        spec: Arc<JobSpec>,
    },
    /// A job was deleted.
    #[n(8)]
    JobDeleted {
        /// Which.
        #[n(0)]
        key: JobKey,
    },
    /// A job was paused, or its note changed.
    #[n(9)]
    JobPaused {
        /// Which.
        #[n(0)]
        key: JobKey,
        /// Why.
        #[n(1)]
        note: String,
    },
    /// A job was resumed.
    #[n(10)]
    JobResumed {
        /// Which.
        #[n(0)]
        key: JobKey,
    },
    /// A run was created.
    #[n(11)]
    RunCreated {
        /// The run. Shared with the state, and with the row that the same commit writes of it.
        #[cbor(n(0), with = "crate::codec::made_run")]
        run: Arc<Run>,
        /// How long its business key is held from now on, beyond its life.
        #[n(1)]
        unique_until: Option<Timestamp>,
        /// Its input. Lies in the store beside the log, not in it.
        #[cbor(skip)]
        payload: Option<Payload>,
    },
    /// A run waits for a worker.
    #[n(12)]
    RunQueued {
        /// Which.
        #[n(0)]
        run_id: RunId,
    },
    /// A run was handed to a worker.
    #[n(13)]
    AttemptStarted {
        /// Which run.
        #[n(0)]
        run_id: RunId,
        /// The number of the attempt.
        #[n(1)]
        number: AttemptNumber,
        /// To whom.
        #[n(2)]
        worker_id: WorkerId,
        /// What that worker calls itself.
        #[cbor(n(3), with = "crate::codec::shared_str")]
        worker_name: Arc<str>,
        /// When it counts as timed out.
        #[n(4)]
        deadline: Option<Timestamp>,
    },
    /// An attempt ended. An event about its run follows.
    #[n(14)]
    AttemptEnded {
        /// Which run.
        #[n(0)]
        run_id: RunId,
        /// The number of the attempt.
        #[n(1)]
        number: AttemptNumber,
        /// How.
        #[n(2)]
        how: AttemptOutcome,
        /// Why, if it failed.
        #[n(3)]
        error: String,
        /// What it gave. Lies in the store beside the log, not in it.
        #[cbor(skip)]
        result: Option<Payload>,
    },
    /// A run waits for its next attempt.
    #[n(15)]
    RunRetrying {
        /// Which.
        #[n(0)]
        run_id: RunId,
        /// Until when.
        #[n(1)]
        until: Timestamp,
    },
    /// A run that a worker holds was asked to stop.
    #[n(16)]
    RunCancelRequested {
        /// Which.
        #[n(0)]
        run_id: RunId,
        /// Why.
        #[n(1)]
        reason: String,
        /// When the server ends it without the worker.
        #[n(2)]
        give_up_time: Timestamp,
    },
    /// A run ended.
    #[n(17)]
    RunEnded {
        /// Which.
        #[n(0)]
        run_id: RunId,
        /// How.
        #[n(1)]
        outcome: Outcome,
        /// Why; for people.
        #[n(2)]
        reason: String,
    },
    /// A piece of a run's log was taken.
    #[n(18)]
    LogAppended {
        /// Which run.
        #[n(0)]
        run_id: RunId,
        /// The attempt that wrote it.
        #[n(1)]
        number: AttemptNumber,
        /// Where it was written to.
        #[n(2)]
        stream: LogStream,
        /// What was written. Lies in the store beside the log of events, not in it.
        #[cbor(skip)]
        data: bytes::Bytes,
    },
    /// A business key is free again.
    #[n(19)]
    UniqueKeyReleased {
        /// Of which job.
        #[n(0)]
        key: JobKey,
        /// Which.
        #[n(1)]
        unique_key: String,
    },
    /// A worker came, went, or was lost. Changes no state: who is connected is not kept, but that it changed is told.
    #[n(20)]
    WorkerChanged {
        /// Whose runs it takes.
        #[n(0)]
        app: AppName,
        /// Which process it is.
        #[n(1)]
        worker_id: WorkerId,
        /// What it calls itself.
        #[cbor(n(2), with = "crate::codec::shared_str")]
        worker_name: Arc<str>,
        /// Where it stands now.
        #[n(3)]
        standing: WorkerStanding,
        /// What it can do; empty where its stream had ended before.
        #[n(4)]
        processors: Vec<ProcessorName>,
        /// How many attempts it takes at a time.
        #[n(5)]
        slots: u32,
    },
    /// The server has started: no worker is connected. Changes no state.
    #[n(21)]
    WorkersReset,
    /// A trigger fired. If it made a run, that one's event follows in the same record.
    #[n(22)]
    TriggerFired {
        /// Which.
        #[n(0)]
        key: TriggerKey,
        /// By what.
        #[n(1)]
        source: FireSource,
        /// For which time.
        #[n(2)]
        scheduled_time: Timestamp,
        /// Whether it had waited for runs of earlier fires to end.
        #[n(3)]
        waited: bool,
        /// By how much it came later than it should have.
        #[n(4)]
        late: Millis,
        /// The run that it made; none if it waits.
        #[n(5)]
        run_id: Option<RunId>,
    },
    /// Times of a trigger came to nothing.
    #[n(23)]
    TriggerSkipped {
        /// Which.
        #[n(0)]
        key: TriggerKey,
        /// By what they would have fired.
        #[n(1)]
        source: FireSource,
        /// Whether it is the first of those that had waited.
        #[n(2)]
        waited: bool,
        /// Why.
        #[n(3)]
        reason: SkipReason,
        /// How many.
        #[n(4)]
        count: u64,
        /// The first of them.
        #[n(5)]
        from: Timestamp,
        /// The last of them.
        #[n(6)]
        to: Timestamp,
    },
    /// A trigger was paused, or its note changed.
    #[n(24)]
    TriggerPaused {
        /// Which.
        #[n(0)]
        key: TriggerKey,
        /// Why.
        #[n(1)]
        note: String,
        /// Whether it has paused itself.
        #[n(2)]
        by_itself: bool,
    },
    /// A trigger was resumed.
    #[n(25)]
    TriggerResumed {
        /// Which.
        #[n(0)]
        key: TriggerKey,
    },
    /// A backfill began.
    #[n(26)]
    BackfillStarted {
        /// Of which trigger.
        #[n(0)]
        key: TriggerKey,
        /// It.
        #[n(1)]
        backfill: Box<Backfill>,
    },
    /// A backfill ended.
    #[n(27)]
    BackfillEnded {
        /// Of which trigger.
        #[n(0)]
        key: TriggerKey,
        /// Whether all of it is done; else it was cancelled, or its trigger was changed.
        #[n(1)]
        done: bool,
    },
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum WorkerStanding {
    /// Its stream is open.
    #[n(1)]
    Connected,
    /// Its stream is open, and it wants no further work.
    #[n(2)]
    Draining,
    /// Its stream has ended.
    #[n(3)]
    Disconnected,
    /// It was silent for longer than its lease, and lost the attempts that it held.
    #[n(4)]
    Lost,
}

/// One entry of the log: all that one command made happen, whole.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(context_bound = "crate::codec::Known")]
pub struct Record {
    /// Its position.
    #[n(0)]
    pub revision: Revision,
    /// When.
    #[n(1)]
    pub time: Timestamp,
    /// The request that caused it; none if the server did.
    #[n(2)]
    pub request_id: Option<RequestId>,
    /// Who caused it; empty if the server did.
    #[cbor(n(3), with = "crate::codec::shared_str")]
    pub principal: Arc<str>,
    /// What happened, in order.
    #[n(4)]
    pub events: Vec<Event>,
    /// What must be known besides of what the events are about; see [`Facts`]. Records of before it was kept have none.
    #[cbor(n(5), default)]
    pub facts: Vec<Facts>,
}
