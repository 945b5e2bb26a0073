//! The audit log: who changed what, and who was refused, in files that are only ever added to (`DATA_DIR/audit`), each line tied
//! to the one before.
//!
//! What took effect is handed over by the engine, behind the commit and in its order: so nothing that took effect goes round it,
//! be it a call, an item of a stream or what its caller did not wait for. A server that was killed before it wrote a line
//! writes it at its next start, of what the store remembers ([`recover`]).

mod book;
mod chain;
mod files;
mod flood;
mod line;
mod read;
mod recover;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use semel_core::{
    command::Method,
    id::{AppName, RequestId, Timestamp},
};
use tokio::sync::watch;

use self::{
    book::{Entry, Pages},
    files::Tail,
};
pub use self::{
    chain::Link,
    line::{Kind, Line},
    read::{Found, Lines},
    recover::recover,
    verify::{FAULTS_TOLD_MAX, Fault, Report, read, verify},
};
use super::writer::Writer;
use crate::clock::Clock;

/// The reason, and the status, of callers who may not do what they wish.
pub(crate) const FORBIDDEN: &str = "FORBIDDEN";
/// The folder of the log, in the data directory.
pub const FOLDER: &str = "audit";
/// Lines that may wait to be written.
const ROOM: usize = 16_384;

/// Of which mutations there are lines. Refusals of credentials and rights have lines under both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// What changes who may do what, and what is run when: apps, secrets, tokens, jobs, triggers.
    #[default]
    Admin,
    /// Also what is done with single runs: submissions, cancellations, reports, pieces of logs.
    All,
}

impl Events {
    /// Whether there is a line when this took effect.
    pub fn wants(self, method: Method) -> bool {
        let is_of_a_run =
            matches!(method, Method::RunJob | Method::CancelRun | Method::RetryRun | Method::Report | Method::Log);
        self == Self::All || !is_of_a_run
    }
}

/// The log that a wish is written into when it takes effect, and what is written there of its caller.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The log.
    pub audit: Audit,
    /// Who calls.
    pub caller: Caller,
}

/// What an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of what there are lines; none for no log at all.
    pub events: Option<Events>,
    /// How many bytes the log may have before its oldest lines go.
    pub bytes_max: u64,
    /// Whether the server stops when a line is lost.
    pub is_required: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { events: Some(Events::Admin), bytes_max: 256 << 20, is_required: false }
    }
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of it.
    #[error(
        "the audit log {path} cannot be opened to write to its end: check its rights and the free space, or turn it off by audit.events"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nothing in the last file is a line.
    #[error("no line of {path} is one of an audit log, so nothing can be added to it: move it away, and keep it")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

/// Who calls and from where, as far as it goes beyond the principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
    /// By what the caller proved who it is, by its name in the protocol.
    pub auth_method: Option<&'static str>,
}

/// Something took effect, now or earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// When this arrival was decided.
    pub time: Timestamp,
    /// Who did it.
    pub principal: Arc<str>,
    /// By what the caller proved who it is.
    pub auth_method: Option<&'static str>,
    /// Where the connection came from.
    pub address: Option<IpAddr>,
    /// What.
    pub method: Method,
    /// To which app.
    pub app: AppName,
    /// To what of it: a job, a trigger, a run.
    pub target: Option<String>,
    /// Under which id.
    pub request_id: RequestId,
    /// Whether it had taken effect before.
    pub is_replayed: bool,
    /// Where in the log of events.
    pub revision: u64,
    /// When it took effect.
    pub execute_time: Timestamp,
    /// How often its id was seen.
    pub arrivals: u64,
    /// Whether this is told from what the store remembers.
    pub is_recovered: bool,
}

/// Somebody was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub time: Timestamp,
    /// What was called.
    pub rpc_method: String,
    /// How the call ended, by the code's name.
    pub code: &'static str,
    /// Why.
    pub reason: &'static str,
    /// What became of the credentials.
    pub auth_status: Option<&'static str>,
    /// By what the caller proved who it is.
    pub auth_method: Option<&'static str>,
    /// Who it is, if it was recognised.
    pub principal: Option<Arc<str>>,
    /// The app that it was about.
    pub app: Option<String>,
    /// To what of it, if the refusal says so.
    pub target: Option<String>,
    /// The id of the request, as it was sent.
    pub request_id: Option<String>,
    /// Where the connection came from.
    pub address: Option<IpAddr>,
}

/// The audit log of a server. A clone is the same.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: Events,
    writer: Writer<Entry>,
    failed: watch::Receiver<Option<String>>,
}

/// Where the log had ended when it was opened.
#[derive(Clone, Debug)]
pub struct Before(Tail);

impl Audit {
    /// Opens it, if it is wanted; its `folder` is made if it is not there. Gives where it had ended too.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(folder: &Path, settings: &Settings, clock: Clock) -> Result<Option<(Self, Before)>, Error> {
        let Some(events) = settings.events else { return Ok(None) };
        let (fails, failed) = watch::channel(None);
        let (pages, tail) = Pages::open(folder.to_owned(), settings, clock, fails)?;
        let writer = Writer::start("semel-audit", ROOM, pages);
        Ok(Some((Self(Arc::new(Inner { events, writer, failed })), Before(tail))))
    }

    /// Of which mutations there are lines.
    pub fn events(&self) -> Events {
        self.0.events
    }

    /// Something took effect. To be told in the order of the log of events.
    pub fn did(&self, deed: Deed) {
        self.0.writer.offer(Entry::Deed(Box::new(deed)));
    }

    /// Writes down that nothing is missing up to this position: all that took effect up to there was told before.
    pub fn mark(&self, revision: u64) {
        self.0.writer.offer(Entry::Mark(revision));
    }

    /// Writes down what was found later, and waits for room.
    fn insist(&self, deed: Deed) {
        self.0.writer.insist(Entry::Deed(Box::new(deed)));
    }

    /// Waits until all that was told is written. For a thread of its own.
    fn settle(&self) {
        self.0.writer.settle();
    }

    /// Writes down that nothing is known between these positions, and waits for room.
    fn insist_on_gap(&self, from: u64, to: u64) {
        self.0.writer.insist(Entry::Gap(from, to));
    }

    /// Whether there is a line when a call of this method is refused for this reason. What says nothing of the caller or of its
    /// wish, as that the server is overloaded, has none.
    pub fn wants_refusal(&self, reason: &str, rpc_method: &str) -> bool {
        match reason {
            FORBIDDEN | "AUTH_THROTTLED" => true,
            "AUTH_UNAVAILABLE" | "OVERLOADED" | "DRAINING" | "NO_OWNER" | "OUTCOME_UNKNOWN" | "INTERNAL" => false,
            credentials if credentials.starts_with("CREDENTIALS_") => true,
            _ => Method::ALL.iter().any(|method| method.as_str() == rpc_method && self.0.events.wants(*method)),
        }
    }

    /// Writes down that somebody was refused, or counts it where there are many.
    pub fn refused(&self, refusal: Refusal) {
        self.0.writer.offer(Entry::Refusal(Box::new(refusal)));
    }

    /// Comes back when a line was lost, and says why.
    pub async fn failed(&self) -> String {
        let mut failed = self.0.failed.clone();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            // The writer has ended, and nothing was lost.
            None => std::future::pending().await,
        }
    }

    /// Has everything written, and that nothing is missing up to this position; waits for it no longer than this.
    pub async fn close(&self, revision: u64, at_most: Duration) -> bool {
        self.0.writer.offer(Entry::Stands(revision));
        self.0.writer.close(at_most).await
    }
}
