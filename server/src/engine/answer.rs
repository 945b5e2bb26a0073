//! What comes out of the engine for an envelope.

use semel_core::{
    command::Method,
    id::{Millis, Revision, Timestamp},
    rejection::Rejection,
    reply::Reply,
    trace::TraceContext,
    window::DedupRecord,
};

/// What became of an envelope.
pub type Submitted = Result<Answer, Refused>;

/// It took effect, now or earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Now or earlier.
    pub disposition: Disposition,
    /// By which method.
    pub method: Method,
    /// What is answered.
    pub reply: Reply,
    /// When it took effect.
    pub execute_time: Timestamp,
    /// Where in the log.
    pub revision: Revision,
    /// How often its id was seen.
    pub arrivals: u64,
    /// Where what took effect stands in a trace: a worker's report in that of its run, any other call where it was made.
    pub trace: Option<Box<TraceContext>>,
}

/// Whether a call took effect now or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Now.
    Executed,
    /// Earlier; this is the answer that was given then.
    Replayed,
}

impl Disposition {
    /// Its name, as in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "EXECUTED",
            Self::Replayed => "REPLAYED",
        }
    }
}

impl Answer {
    /// The answer that a record holds.
    pub fn of(record: &DedupRecord, disposition: Disposition) -> Self {
        Self {
            disposition,
            method: record.method,
            reply: record.reply.clone(),
            execute_time: record.execute_time,
            revision: record.revision,
            arrivals: record.arrivals,
            trace: record.trace.clone(),
        }
    }
}

/// It took no effect.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The rules say no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Its caller's deadline was over before it began. Nothing was applied.
    #[error(
        "the deadline passed before the call was begun, and nothing was applied; it may be sent again under its id"
    )]
    TooLate,
    /// The queue is full.
    #[error("the server is overloaded; wait and send it again under the same request id")]
    Overloaded {
        /// When to come again.
        retry_after: Millis,
    },
    /// The server is about to stop.
    #[error("the server is about to stop; send it to another one, or again, under the same request id")]
    Draining,
    /// Nobody serves this shard just now. Whether a call that was under way took effect is not known; sending it again
    /// under its id finds out.
    #[error("nobody serves this shard just now; send it again under the same request id")]
    NoOwner,
}

impl Refused {
    /// All reasons for which the engine refuses what has come to it.
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Rejection::REASONS.into_iter().chain([TOO_LATE])
    }

    /// Why, in a word for programs: what callers read as the reason, and what is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.reason(),
            Self::TooLate => TOO_LATE,
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Draining => "DRAINING",
            Self::NoOwner => "NO_OWNER",
        }
    }
}

/// To a caller, its deadline has passed without an answer.
const TOO_LATE: &str = "OUTCOME_UNKNOWN";
