//! An attempt that this worker holds: whether its processor runs, why it is to stop, and what is still to be sent about
//! it. Plain state and its small transitions; what drives them stands in `lifecycle`, `inbound` and `outbound`.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use semel_proto::v1::{
    AttemptRef, Payload, Report,
    report::{Cancelled, Failed, Outcome as Reported, Released, Succeeded},
};
use tokio::{task::AbortHandle, time::Instant};

use super::{
    context::{Ended, Shared, cut},
    log::Chunk,
    processor::ProcessError,
};
use crate::transport::MESSAGE_BYTES_MAX;

/// What the server takes of an error text.
const ERROR_CHARACTERS_MAX: usize = 4096;
/// A result must fit into a message together with what is around it; the server's own limit is lower still.
const RESULT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64 * 1024;

/// Names an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptKey {
    pub(crate) run_id: Arc<str>,
    pub(crate) attempt: i64,
}

impl AttemptKey {
    pub(crate) fn new(run_id: &str, attempt: i64) -> Self {
        Self { run_id: run_id.into(), attempt }
    }

    pub(crate) fn to_ref(&self) -> AttemptRef {
        AttemptRef { run_id: self.run_id.to_string(), attempt: self.attempt }
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run_id, self.attempt)
    }
}

/// Why a processor was told to stop, the stronger one later: a stronger reason takes the place of a weaker one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It was not.
    #[default]
    No,
    /// The server was not heard of for as long as the lease lasts.
    LeaseLost,
    /// The worker shuts down.
    Draining,
    /// Somebody cancelled the run: say so when it has stopped.
    Cancelled,
    /// The attempt is over for the server: say nothing.
    Over,
}

/// An attempt that this worker holds.
pub(crate) struct Held {
    pub(crate) shared: Arc<Shared>,
    /// Set while the processor runs.
    pub(crate) task: Option<AbortHandle>,
    pub(crate) stop: Stop,
    /// What is to be sent, in order. Only the first one is ever under way, so the order holds whatever is refused.
    pub(crate) queue: VecDeque<Outgoing>,
    pub(crate) in_flight: bool,
    /// When progress may be sent again.
    pub(crate) progress_from: Option<Instant>,
}

/// A message that changes something, and so is sent until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) content: Content,
    /// Minted when it is sent for the first time.
    pub(crate) request_id: Option<String>,
    /// How often it was sent under that id.
    pub(crate) sends: u32,
    /// How often it was refused in a way that may pass.
    pub(crate) refusals: u32,
    pub(crate) sent_at: Option<Instant>,
    pub(crate) not_before: Option<Instant>,
}

#[derive(Debug)]
pub(crate) enum Content {
    Log(Chunk),
    Report {
        outcome: Reported,
        /// Whether it stands in for a report that the server would not take.
        stand_in: bool,
    },
}

impl Outgoing {
    pub(crate) fn log(chunk: Chunk) -> Self {
        Self::new(Content::Log(chunk))
    }

    pub(crate) fn report(outcome: Reported) -> Self {
        Self::new(Content::Report { outcome, stand_in: false })
    }

    /// A failure, reported in place of something that the server would not take.
    pub(crate) fn stand_in(error: String) -> Self {
        let error = ProcessError::permanent(error);
        Self::new(Content::Report { outcome: failed(error), stand_in: true })
    }

    fn new(content: Content) -> Self {
        Self { content, request_id: None, sends: 0, refusals: 0, sent_at: None, not_before: None }
    }
}

impl Held {
    pub(crate) fn new(shared: Arc<Shared>, task: Option<AbortHandle>) -> Self {
        Self { shared, task, stop: Stop::No, queue: VecDeque::new(), in_flight: false, progress_from: None }
    }

    /// Moves the log that has gathered into the queue.
    pub(crate) fn gather_log(&mut self) {
        let chunks = self.shared.log.take();
        self.queue.extend(chunks.into_iter().map(Outgoing::log));
    }

    /// Forgets what is still to be sent.
    pub(crate) fn clear_queue(&mut self) {
        self.shared.log.close();
        self.queue.clear();
        self.in_flight = false;
    }
}

impl Drop for Held {
    /// A worker that goes away leaves no processor behind.
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            self.shared.cancelled.send_replace(true);
            task.abort();
        }
    }
}

/// What is reported of an attempt whose processor has ended. Nothing if it is over for the server.
pub(crate) fn outcome(stop: Stop, ended: Ended) -> Option<Reported> {
    Some(match (stop, ended) {
        (Stop::Over, _) => return None,
        (_, Ended::Returned(Ok(result))) => succeeded(result),
        (Stop::Cancelled, _) => Reported::Cancelled(Cancelled {}),
        (_, Ended::Panicked(message)) => failed(ProcessError::failed(format!("the processor panicked: {message}"))),
        (Stop::No, Ended::Returned(Err(error))) => failed(error),
        (Stop::No, Ended::Aborted) => released("the processor was aborted"),
        (Stop::Draining, _) => released("the worker shut down"),
        (Stop::LeaseLost, _) => released("the worker lost touch with the server"),
    })
}

pub(crate) fn released(reason: &str) -> Reported {
    Reported::Released(Released { reason: reason.to_owned() })
}

pub(crate) fn failed(error: ProcessError) -> Reported {
    Reported::Failed(Failed {
        error: cut(error.message, ERROR_CHARACTERS_MAX),
        permanent: error.permanent,
        retry_after: error.retry_after.and_then(|wait: Duration| wait.try_into().ok()),
    })
}

fn succeeded(result: Payload) -> Reported {
    let bytes = result.data.len() + result.content_type.len();
    if bytes > RESULT_BYTES_MAX {
        let message =
            format!("the result of {bytes} bytes is larger than a message can be; give back a reference to it");
        return failed(ProcessError::permanent(message));
    }
    Reported::Succeeded(Succeeded { result: Some(result) })
}

/// The report of an attempt.
pub(crate) fn report(key: &AttemptKey, outcome: Reported) -> Report {
    Report { run_id: key.run_id.to_string(), attempt: key.attempt, outcome: Some(outcome) }
}
