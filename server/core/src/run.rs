//! Runs and their attempts, and the one table of what may follow what.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::{
    id::{AttemptNumber, JobKey, RequestId, Revision, RunId, Timestamp, TriggerKey, TriggerName, WorkerId},
    job::{Labels, Plan},
    limits,
    trace::TraceContext,
    trigger::FireSource,
};

/// One execution of a job. Input, result and log lie on disk, not here.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Run {
    /// Its id.
    #[n(0)]
    pub id: RunId,
    /// Its job.
    #[n(1)]
    pub job: JobKey,
    /// How its attempts are made.
    #[cbor(n(2), with = "crate::codec::shared")]
    pub plan: Arc<Plan>,
    /// Where it stands.
    #[n(3)]
    pub state: RunState,
    /// Its labels. Shared with what the log says of it.
    #[cbor(n(4), with = "crate::codec::shared")]
    pub labels: Arc<Labels>,
    /// Higher goes first.
    #[n(5)]
    pub priority: i32,
    /// When it was created.
    #[n(6)]
    pub create_time: Timestamp,
    /// When it may start at the earliest.
    #[n(7)]
    pub start_time: Option<Timestamp>,
    /// When it must have ended.
    #[n(8)]
    pub deadline: Option<Timestamp>,
    /// The last tries, the oldest first; at most [`limits::ATTEMPTS_KEPT_MAX`].
    #[n(9)]
    pub attempts: Vec<Attempt>,
    /// The number of the last try; also the fencing token.
    #[n(10)]
    pub attempt: AttemptNumber,
    /// Tries that failed and count towards the retry policy.
    #[n(11)]
    pub failed_count: u32,
    /// Tries whose worker was lost.
    #[n(12)]
    pub lost_count: u32,
    /// Why it ended as it did, or what the last failure was; for people.
    #[n(13)]
    pub reason: String,
    /// The business key that it was made with.
    #[n(14)]
    pub unique_key: Option<String>,
    /// The finished run that this one repeats.
    #[n(15)]
    pub retry_of: Option<RunId>,
    /// The request that made it.
    #[n(16)]
    pub request_id: Option<RequestId>,
    /// The log position of its last change.
    #[n(17)]
    pub revision: Revision,
    /// Bytes of log so far.
    #[n(18)]
    pub log_bytes: u64,
    /// Pieces of log so far; the next one gets this number.
    #[n(19)]
    pub log_chunks: u32,
    /// Whether it has input of its own on disk.
    #[n(20)]
    pub has_payload: bool,
    /// Whether it has a result on disk.
    #[n(21)]
    pub has_result: bool,
    /// The trigger that made it; none if none did.
    #[n(22)]
    pub cause: Option<Box<Cause>>,
    /// The place in a trace under which what becomes of it stands; none if whoever made it said none.
    #[n(23)]
    pub trace: Option<Box<TraceContext>>,
}

impl Run {
    /// The attempt that a worker holds now.
    pub fn held(&self) -> Option<&Attempt> {
        match self.state {
            RunState::Running | RunState::Cancelling { .. } => self.attempts.last(),
            _ => None,
        }
    }

    /// The trigger that made it.
    pub fn trigger(&self) -> Option<TriggerKey> {
        self.cause.as_ref().map(|cause| TriggerKey { job: self.job.clone(), name: cause.trigger.clone() })
    }

    /// Takes a new attempt in, and forgets the oldest beyond the bound.
    pub fn push_attempt(&mut self, attempt: Attempt) {
        if self.attempts.len() >= limits::ATTEMPTS_KEPT_MAX {
            self.attempts.remove(0);
        }
        self.attempt = attempt.number;
        self.attempts.push(attempt);
    }
}

/// That a trigger made a run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cause {
    /// Which trigger of its job.
    #[n(0)]
    pub trigger: TriggerName,
    /// For which time, by the schedule: the same however late it fired.
    #[n(1)]
    pub scheduled_time: Timestamp,
    /// By what it fired.
    #[n(2)]
    pub source: FireSource,
}

/// Where a run stands, with what belongs to just that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RunState {
    /// Waits for its start time.
    #[n(1)]
    Scheduled {
        /// That time.
        #[n(0)]
        until: Timestamp,
    },
    /// Waits for a worker, a free place, or the job to be resumed.
    #[n(2)]
    Queued {
        /// Since when.
        #[n(0)]
        since: Timestamp,
    },
    /// A worker holds it: the last attempt.
    #[n(3)]
    Running,
    /// An attempt failed; waits for the next one.
    #[n(4)]
    Retrying {
        /// When that may start.
        #[n(0)]
        until: Timestamp,
    },
    /// Asked to stop; waits for the worker to let go of the last attempt.
    #[n(5)]
    Cancelling {
        /// When the server ends it without the worker.
        #[n(0)]
        give_up_time: Timestamp,
    },
    /// Over. Binds.
    #[n(6)]
    Ended {
        /// How.
        #[n(0)]
        outcome: Outcome,
        /// When.
        #[n(1)]
        time: Timestamp,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    /// Well.
    #[n(0)]
    Succeeded,
    /// Badly, and no attempt is left.
    #[n(1)]
    Failed,
    /// Somebody wished so.
    #[n(2)]
    Cancelled,
    /// Its deadline passed.
    #[n(3)]
    Expired,
}

/// A run's state without its data: the rows and columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Phase {
    /// See [`RunState::Scheduled`].
    #[n(1)]
    Scheduled,
    /// See [`RunState::Queued`].
    #[n(2)]
    Queued,
    /// See [`RunState::Running`].
    #[n(3)]
    Running,
    /// See [`RunState::Retrying`].
    #[n(4)]
    Retrying,
    /// See [`RunState::Cancelling`].
    #[n(5)]
    Cancelling,
    /// See [`Outcome::Succeeded`].
    #[n(6)]
    Succeeded,
    /// See [`Outcome::Failed`].
    #[n(7)]
    Failed,
    /// See [`Outcome::Cancelled`].
    #[n(8)]
    Cancelled,
    /// See [`Outcome::Expired`].
    #[n(9)]
    Expired,
}

impl Phase {
    /// All of them, in the order in which a run may pass through them.
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether a run never leaves it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// The name as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Retrying => "RETRYING",
            Self::Cancelling => "CANCELLING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl From<Outcome> for Phase {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Expired => Self::Expired,
        }
    }
}

impl RunState {
    /// The state without its data.
    pub fn phase(self) -> Phase {
        match self {
            Self::Scheduled { .. } => Phase::Scheduled,
            Self::Queued { .. } => Phase::Queued,
            Self::Running => Phase::Running,
            Self::Retrying { .. } => Phase::Retrying,
            Self::Cancelling { .. } => Phase::Cancelling,
            Self::Ended { outcome, .. } => outcome.into(),
        }
    }
}

/// Whether a run may pass from one state to another. This is the table; ARCHITECTURE.md shows it, and a test holds the
/// two together.
pub fn may_follow(from: Phase, to: Phase) -> bool {
    use Phase::{Cancelled, Cancelling, Expired, Failed, Queued, Retrying, Running, Scheduled, Succeeded};
    match from {
        Scheduled => matches!(to, Queued | Cancelled | Expired),
        Queued => matches!(to, Running | Cancelled | Expired),
        Running => matches!(to, Queued | Retrying | Cancelling | Succeeded | Failed | Expired),
        Retrying => matches!(to, Queued | Cancelled | Expired),
        Cancelling => matches!(to, Succeeded | Cancelled | Expired),
        Succeeded | Failed | Cancelled | Expired => false,
    }
}

/// One try of a run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attempt {
    /// Its number.
    #[n(0)]
    pub number: AttemptNumber,
    /// The worker that has or had it.
    #[n(1)]
    pub worker_id: WorkerId,
    /// What that worker calls itself.
    #[cbor(n(2), with = "crate::codec::shared_str")]
    pub worker_name: Arc<str>,
    /// When it was handed out.
    #[n(3)]
    pub start_time: Timestamp,
    /// When it counts as timed out.
    #[n(4)]
    pub deadline: Option<Timestamp>,
    /// How it ended; none while a worker holds it.
    #[n(5)]
    pub end: Option<AttemptEnd>,
}

/// That an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptEnd {
    /// How.
    #[n(0)]
    pub how: AttemptOutcome,
    /// When.
    #[n(1)]
    pub time: Timestamp,
    /// Why, if it failed.
    #[n(2)]
    pub error: String,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum AttemptOutcome {
    /// The worker reported success.
    #[n(2)]
    Succeeded,
    /// The worker reported failure.
    #[n(3)]
    Failed,
    /// The worker let go when it was asked to, or did not answer in time.
    #[n(4)]
    Cancelled,
    /// It took longer than it may, or than its run may.
    #[n(5)]
    TimedOut,
    /// Its worker was lost.
    #[n(6)]
    Lost,
    /// The worker gave it back.
    #[n(7)]
    Released,
}

/// Where a piece of a log was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LogStream {
    /// Standard output.
    #[n(1)]
    Stdout,
    /// Standard error.
    #[n(2)]
    Stderr,
    /// A word of the system.
    #[n(3)]
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_terminal_state() {
        for from in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
            assert!(Phase::ALL.into_iter().all(|to| !may_follow(from, to)), "{from:?}");
        }
    }

    #[test]
    fn every_state_that_is_not_terminal_can_still_end() {
        for from in Phase::ALL.into_iter().filter(|phase| !phase.is_terminal()) {
            assert!(Phase::ALL.into_iter().any(|to| to.is_terminal() && may_follow(from, to)), "{from:?}");
        }
    }
}
