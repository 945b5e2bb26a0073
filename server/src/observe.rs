//! What is known of a call by its end, and who is told of it: whoever counts, writes or traces calls. Knows no transport, which
//! tells what it finds out while the call goes on. If nobody wants to know, nothing of this is made.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{HeaderValue, Uri, Version};
use semel_core::{
    id::{AppName, Revision, RunId},
    trace::TraceContext,
    window::Told,
};

use crate::{
    auth::{self, Verdict},
    engine::{Answer, Disposition},
    otlp::Place,
};

/// The codes of gRPC, by their numbers.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// The code of a call whose end does not say one, or says one that does not exist.
const UNKNOWN: usize = 2;

/// The place of a code among [`CODES`].
pub(crate) fn code_index(code: Option<usize>) -> usize {
    code.filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN)
}

/// Who is told of each call when it begins and once it has ended, be it by its caller's leaving. Is called where the call was
/// served, so it must be quick and must not wait.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// This call has begun.
    fn begun(&self, _head: &Head) {}

    /// This call has ended.
    fn ended(&self, ending: &Ending<'_>);
}

/// All who are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// These, in this order.
    pub(crate) fn new(observers: impl IntoIterator<Item = Arc<dyn Observer>>) -> Self {
        Self(observers.into_iter().collect())
    }

    /// Whether nobody wants to know.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all that a call has begun.
    pub(crate) fn begun(&self, head: &Head) {
        for observer in &*self.0 {
            observer.begun(head);
        }
    }

    /// Tells all that a call has ended.
    pub(crate) fn ended(&self, ending: &Ending<'_>) {
        for observer in &*self.0 {
            observer.ended(ending);
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ending<'a> {
    /// What it said before its first message.
    pub head: &'a Head,
    /// What was found out about it.
    pub facts: &'a Facts,
    /// The gRPC status code; none if its end does not say one that there is.
    pub code: Option<usize>,
    /// From its head to its end.
    pub took: Duration,
}

/// What a call says before its first message. All of it is the caller's word, and bounded only by the bound on headers.
#[derive(Clone, Debug)]
pub struct Head {
    /// Whose path names the method: `/package.Service/Method`.
    pub uri: Uri,
    /// Of HTTP. Calls of browsers may come by 1.1.
    pub version: Version,
    /// Whether it came by gRPC-Web.
    pub is_web: bool,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// `user-agent`
    pub user_agent: Option<HeaderValue>,
    /// `traceparent`
    pub traceparent: Option<HeaderValue>,
    /// `tracestate`
    pub tracestate: Option<HeaderValue>,
}

/// What is found out about a call while it goes on. What nobody came to stays at its default.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What became of the credentials; of a stream, the last verdict.
    pub verdict: Option<Verdict>,
    /// As it was sent, so it may be no id at all.
    pub request_id: String,
    /// The name and version that the caller's library gives itself, its word.
    pub client: Option<(String, String)>,
    /// What it says of other tries of itself, its word.
    pub tries: Option<Told>,
    /// Which app is meant.
    pub app: Option<AppName>,
    /// Whether it took effect now or earlier; none for what has no effect.
    pub disposition: Option<Disposition>,
    /// How often its id was seen.
    pub arrivals: u64,
    /// Where in the log its effect stands.
    pub revision: Option<Revision>,
    /// Why it was refused, as `ErrorInfo.reason` has it.
    pub reason: Option<&'static str>,
    /// Which run it made, or found.
    pub run_id: Option<RunId>,
    /// Where it stands in a trace.
    pub place: Option<Place>,
    /// Where the call stands that took effect, if this one repeats it.
    pub first: Option<TraceContext>,
}

/// Where facts of one call are told. A clone is the same place; without an observer there is none, and telling does nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Option<Arc<Mutex<Facts>>>);

impl Slot {
    /// One with nothing in it.
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Tells something, if anybody wants to know.
    pub(crate) fn tell(&self, tell: impl FnOnce(&mut Facts)) {
        if let Some(facts) = &self.0 {
            tell(&mut lock(facts));
        }
    }

    /// Tells that it took effect, now or earlier.
    pub(crate) fn tell_answer(&self, answer: &Answer) {
        self.tell(|facts| {
            facts.disposition = Some(answer.disposition);
            facts.arrivals = answer.arrivals;
            facts.revision = Some(answer.revision);
            facts.run_id = answer.reply.run_id();
            if answer.disposition == Disposition::Replayed {
                facts.first = answer.trace.as_deref().cloned();
            }
        });
    }

    /// What was told.
    pub(crate) fn facts(&self) -> Facts {
        self.0.as_ref().map(|facts| std::mem::take(&mut *lock(facts))).unwrap_or_default()
    }
}

fn lock(facts: &Mutex<Facts>) -> MutexGuard<'_, Facts> {
    // What was told before somebody panicked is told all the same.
    facts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Facts {
    /// Who called, if it could be served.
    pub fn principal(&self) -> Option<&str> {
        Some(&*self.verdict.as_ref()?.principal.as_ref()?.name)
    }

    /// What became of its credentials.
    pub fn auth_status(&self) -> Option<auth::Status> {
        Some(self.verdict.as_ref()?.status)
    }
}
