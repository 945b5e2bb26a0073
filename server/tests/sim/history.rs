//! What callers did and saw, line by line. This, and the reading half of the store, is all that the checker gets.

use std::fmt;

use semel_core::{
    command::{Command, Method},
    id::{AppName, AttemptNumber, RequestId, Revision, RunId, Timestamp},
    rejection::Rejection,
    run::Phase,
    window::Fingerprint,
};
use semel_server::{
    engine::{Answer, Refused},
    store::DedupKey,
};

/// The number of a call in [`History::calls`].
pub(crate) type CallNo = usize;
/// The number of an arrival in [`History::arrivals`].
pub(crate) type ArrivalNo = usize;

/// One request of one caller, however often it is sent. Calls of a faulty caller share their id.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) who: Who,
    pub(crate) command: Command,
    pub(crate) fingerprint: Fingerprint,
}

impl Call {
    pub(crate) fn new(id: RequestId, who: Who, command: Command) -> Self {
        let fingerprint = fingerprint(&command);
        Self { id, who, command, fingerprint }
    }

    pub(crate) fn key(&self) -> DedupKey {
        DedupKey { request_id: self.id, app: self.command.scope() }
    }

    /// What makes it the same request again.
    pub(crate) fn variant(&self) -> (Method, String, [u8; 16]) {
        (self.command.method(), self.who.to_string(), self.fingerprint.digest)
    }
}

/// Over the content, as the transport makes it. How it is made does not matter here: equal for equal content.
fn fingerprint(command: &Command) -> Fingerprint {
    let text = format!("{command:?}");
    let digest = [0x6c62_272e_07bb_0142_u64, 0xcbf2_9ce4_8422_2325].map(|start| {
        text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)).to_be_bytes()
    });
    let digest: [u8; 16] = std::array::from_fn(|index| digest[index / 8][index % 8]);
    let leaf = u32::from_be_bytes([digest[12], digest[13], digest[14], digest[15]]);
    Fingerprint { version: 1, digest, leaves: vec![(1, leaf)] }
}

/// Whose credentials a call bears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The first administrator.
    Admin,
    /// An app.
    App(AppName),
}

impl Who {
    pub(crate) fn app(&self) -> AppName {
        match self {
            Self::Admin => AppName::system(),
            Self::App(app) => app.clone(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app:{}", self.app())
    }
}

/// One sending of a call: by its caller, or a copy that a proxy made.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) call: CallNo,
    /// Whether its caller had any right on the app when the server looked. None if it never came so far.
    pub(crate) had_right: Option<bool>,
}

/// What was heard of an arrival. Nothing heard means that its outcome is unknown.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one for each call of a test")]
pub(crate) enum Outcome {
    /// It took effect, now or earlier.
    Ok(Answer),
    /// It did not.
    Refused(Refused),
    /// The auth layer does not know the caller.
    Unauthenticated,
}

impl Outcome {
    pub(crate) fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Refused(Refused::Rejected(rejection)) => Some(rejection),
            _ => None,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A call was sent, for the first time or again.
    Sent(ArrivalNo),
    /// An answer came, with the time of the server.
    Heard(ArrivalNo, Timestamp, Box<Outcome>),
    /// Somebody looked at a run.
    Read(RunId, Option<(Phase, AttemptNumber, Revision)>),
    /// Something else, for whoever reads the history.
    Note(String),
}

/// See the module.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) arrivals: Vec<Arrival>,
    /// What happened, each with the true time in milliseconds since the start.
    pub(crate) lines: Vec<(i64, Entry)>,
}

impl History {
    pub(crate) fn call_of(&self, arrival: ArrivalNo) -> &Call {
        &self.calls[self.arrivals[arrival].call]
    }

    /// The history as text, from this line on.
    pub(crate) fn render(&self, from: usize) -> Vec<String> {
        self.lines[from..].iter().map(|(at, entry)| format!("{at:>9} ms  {}", self.render_entry(entry))).collect()
    }

    fn render_entry(&self, entry: &Entry) -> String {
        match entry {
            Entry::Sent(arrival) => format!("sent   {} {:?}", self.name(*arrival), self.call_of(*arrival).command),
            Entry::Heard(arrival, at, outcome) => format!("heard  {} at {}: {outcome:?}", self.name(*arrival), at.0),
            Entry::Read(run_id, found) => format!("read   run {run_id}: {found:?}"),
            Entry::Note(text) => format!("note   {text}"),
        }
    }

    fn name(&self, arrival: ArrivalNo) -> String {
        let call = self.call_of(arrival);
        format!("#{arrival} of call {} {} {}", self.arrivals[arrival].call, call.id, call.who)
    }
}
