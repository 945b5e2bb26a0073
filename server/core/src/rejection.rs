//! Why a wish is not fulfilled. A rejection is the caller's to handle, it is expected, and it changes nothing.

use crate::{
    app::Role,
    id::{AppName, Millis, Revision, Timestamp},
    run::Phase,
    window::Difference,
};

/// A closed list. What code each becomes on the wire is decided in one place, `transport/status.rs`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The caller is known, but may not do this.
    #[error("{principal} may not do this: it needs the role {} on {app}", needs.as_str())]
    Forbidden {
        /// Who.
        principal: std::sync::Arc<str>,
        /// What it needs.
        needs: Role,
        /// Where.
        app: AppName,
    },
    /// The id was used before for another request.
    #[error("this request id was used before for another request; mint a new id for a new request")]
    RequestIdReused {
        /// The first thing that differs.
        difference: Difference,
    },
    /// The id is older than the window.
    #[error("this request id is older than the window of {} s; look up what became of it, then decide", window.0 / 1000)]
    RequestIdExpired {
        /// How far back ids are remembered.
        window: Millis,
        /// When the id was minted.
        minted_at: Timestamp,
    },
    /// The id was minted before the store was restored from a backup, which does not know it.
    #[error(
        "this request id was minted before the store was restored from a backup, which does not know it: it may have \
         taken effect after the backup was made; look at what is there, then decide"
    )]
    RequestIdBeforeRestore {
        /// When the store was restored.
        restored_at: Timestamp,
        /// When the id was minted.
        minted_at: Timestamp,
    },
    /// The id lies too far in the future.
    #[error("this request id lies {} ms in the future; correct your clock by server_time", ahead.0)]
    RequestIdInFuture {
        /// How far.
        ahead: Millis,
    },
    /// The app has used up what it may.
    #[error("{app} has reached its limit of {limit} {what}; wait until some have gone")]
    QuotaExceeded {
        /// Which app.
        app: AppName,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// There is no such thing.
    #[error("there is no {what} {name}")]
    NotFound {
        /// A kind of thing.
        what: &'static str,
        /// The name that was given.
        name: String,
    },
    /// There is such a thing already.
    #[error("there is a {what} {name} already")]
    AlreadyExists {
        /// A kind of thing.
        what: &'static str,
        /// The name that was given.
        name: String,
    },
    /// Somebody else changed it since it was read.
    #[error("the {what} {name} was changed since you read it; read it again, then decide")]
    EtagMismatch {
        /// A kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its etag now.
        current: Revision,
    },
    /// The run has ended.
    #[error("the run has ended already: it is {}", phase.as_str())]
    RunFinished {
        /// How.
        phase: Phase,
    },
    /// The run is under way.
    #[error("the run is {}; only a run that is RETRYING or has ended can be retried", phase.as_str())]
    RunNotRetryable {
        /// Where it stands.
        phase: Phase,
    },
    /// The job still has unfinished runs.
    #[error("the job has {count} unfinished runs; cancel them or wait for them first")]
    JobHasLiveRuns {
        /// How many.
        count: u64,
    },
    /// The app still has jobs.
    #[error("the app has {count} jobs; delete them first")]
    AppNotEmpty {
        /// How many.
        count: u64,
    },
    /// The job would follow its own runs, and run for ever.
    #[error(
        "the job {job} would follow its own runs, directly or by way of others, and run for ever; to repeat it, give it a \
         trigger with a rate or a delay"
    )]
    TriggerCycle {
        /// Which job.
        job: String,
    },
    /// The trigger makes up for another range just now.
    #[error("a backfill of {trigger} is under way; wait for it, or cancel it first")]
    BackfillUnderWay {
        /// Which trigger.
        trigger: String,
    },
    /// The range cannot be made up for.
    #[error("{problem}")]
    BackfillUnfit {
        /// Why not.
        problem: String,
    },
    /// The attempt is no longer this worker's.
    #[error("this attempt is no longer yours: {why}; stop working on it")]
    LeaseStale {
        /// What became of it.
        why: String,
    },
}

impl Rejection {
    /// All reasons that there are.
    pub const REASONS: [&str; 16] = [
        "FORBIDDEN",
        "REQUEST_ID_REUSED",
        "REQUEST_ID_EXPIRED",
        "REQUEST_ID_IN_FUTURE",
        "QUOTA_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "ETAG_MISMATCH",
        "RUN_FINISHED",
        "RUN_NOT_RETRYABLE",
        "JOB_HAS_LIVE_RUNS",
        "APP_NOT_EMPTY",
        "TRIGGER_CYCLE",
        "BACKFILL_UNDER_WAY",
        "BACKFILL_UNFIT",
        "LEASE_STALE",
    ];

    /// Why, in a word for programs: what callers read as the reason, and what is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "FORBIDDEN",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            // To a caller both are one: the id can no longer be answered for.
            Self::RequestIdExpired { .. } | Self::RequestIdBeforeRestore { .. } => "REQUEST_ID_EXPIRED",
            Self::RequestIdInFuture { .. } => "REQUEST_ID_IN_FUTURE",
            Self::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::AlreadyExists { .. } => "ALREADY_EXISTS",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::RunFinished { .. } => "RUN_FINISHED",
            Self::RunNotRetryable { .. } => "RUN_NOT_RETRYABLE",
            Self::JobHasLiveRuns { .. } => "JOB_HAS_LIVE_RUNS",
            Self::AppNotEmpty { .. } => "APP_NOT_EMPTY",
            Self::TriggerCycle { .. } => "TRIGGER_CYCLE",
            Self::BackfillUnderWay { .. } => "BACKFILL_UNDER_WAY",
            Self::BackfillUnfit { .. } => "BACKFILL_UNFIT",
            Self::LeaseStale { .. } => "LEASE_STALE",
        }
    }
}
