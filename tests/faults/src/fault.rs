//! What can be done to calls and to streams, by name. It owns the list; nothing here does anything.

use std::{fmt, str::FromStr};

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $fault:ident = $name:literal;)*) => {
        /// What is done to one call, or to one message of a stream. Where it says "executed", the server has had the
        /// whole call; where it says "never", nothing of it has reached the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])* $fault,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$fault),*];

            /// Its name on the command line and in counts.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)*
                }
            }

            /// What it is, for the help of the command line.
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$fault => concat!($($doc),*),)*
                }
            }
        }
    };
}

faults! {
    /// Every header and trailer of the answer goes that HTTP/2 and gRPC can do without: `grpc-message`,
    /// `grpc-status-details-bin`, custom ones.
    StripAnswer = "strip-answer";
    /// Executed; the answer loses its trailers, all of them, with the status in them: whoever speaks HTTP/1 on the way has no
    /// place for them.
    StripTrailers = "strip-trailers";
    /// The same as strip-answer for the request: `grpc-timeout`, `user-agent`, `te`, custom ones. Credentials stay.
    StripRequest = "strip-request";
    /// The request loses its `authorization`.
    StripCredentials = "strip-credentials";
    /// The answer is made to look as other servers write it: a refusal that was headers alone goes on as headers and
    /// trailers, and the content type as its plainest form. (Names are in lower case in HTTP/2 anyhow.)
    Respell = "respell";
    /// Executed; the answer comes after the caller's deadline.
    Delay = "delay";
    /// Executed; the caller hears nothing until it gives up.
    Swallow = "swallow";
    /// Executed; the caller is told 502, 503, 504 or UNAVAILABLE.
    LoseAnswer = "lose-answer";
    /// Executed; the stream is reset instead of an answer, with any of the usual codes.
    ResetAfter = "reset-after";
    /// Executed; the stream is reset within the answer: after its message, before its status.
    ResetWithin = "reset-within";
    /// The stream is reset while the server has the call and has not answered.
    ResetDuring = "reset-during";
    /// Never; the stream is reset.
    ResetBefore = "reset-before";
    /// Never; the caller is told 502, 503, 504 or UNAVAILABLE.
    Refuse = "refuse";
    /// Never; the caller's connection is cut, with all that is under way on it.
    CutBefore = "cut-before";
    /// Executed; the caller's connection is cut, with all that is under way on it.
    CutAfter = "cut-after";
    /// The connection to the server is cut while the call is under way, with all others on it.
    CutServer = "cut-server";
    /// Sent twice at once; the caller gets the answer that comes first.
    TwiceAtOnce = "twice-at-once";
    /// Sent again after the first answer; the caller gets the second.
    TwiceAfter = "twice-after";
    /// Sent, answered, kept, and sent once more much later.
    TwiceLater = "twice-later";
    /// A message of the caller is lost from a stream, and what follows it is not.
    DropMessage = "drop-message";
    /// A message of the caller comes to the server twice in a stream.
    RepeatMessage = "repeat-message";
    /// A message of the caller is held back in a stream, and all that follows it, for longer than callers wait.
    HoldMessage = "hold-message";
    /// The connection to the server is cut in place of a message of the caller, in the middle of a stream.
    CutServerWithin = "cut-server-within";
    /// A message of the server is lost from a stream, and what follows it is not.
    DropAnswer = "drop-answer";
    /// A message of the server comes to the caller twice in a stream.
    RepeatAnswer = "repeat-answer";
    /// A message of the server is held back in a stream, and all that follows it, for longer than callers wait.
    HoldAnswer = "hold-answer";
    /// From a message of the server on nothing goes through a stream any more, either way, and it stays open.
    Stall = "stall";
    /// A stream is reset towards the caller in place of a message of the server.
    ResetStream = "reset-stream";
    /// The caller's connection is cut in place of a message of the server, in the middle of a stream.
    CutWithin = "cut-within";
}

/// Which way a message of a stream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Up,
    /// To the caller.
    Down,
}

impl Fault {
    /// Which messages of a stream it happens to; none if it happens to calls.
    pub fn way(self) -> Option<Way> {
        match self {
            Self::DropMessage | Self::RepeatMessage | Self::HoldMessage | Self::CutServerWithin => Some(Way::Up),
            Self::DropAnswer
            | Self::RepeatAnswer
            | Self::HoldAnswer
            | Self::Stall
            | Self::ResetStream
            | Self::CutWithin => Some(Way::Down),
            _ => None,
        }
    }

    /// Those that happen to calls.
    pub fn of_calls() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|fault| fault.way().is_none())
    }

    /// Those of them that happen to streams as well, while they open.
    pub fn of_openings() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|fault| fault.is_of_openings())
    }

    /// Those that happen to messages of streams.
    pub fn of_messages() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|fault| fault.way().is_some())
    }

    pub(crate) fn is_of_openings(self) -> bool {
        matches!(
            self,
            Self::StripAnswer
                | Self::StripTrailers
                | Self::StripRequest
                | Self::StripCredentials
                | Self::ResetBefore
                | Self::Refuse
                | Self::CutBefore
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|fault| fault.name() == text);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("there is no fault {text:?}; there are {}", names.join(", "))
        })
    }
}
