//! What can be done to a call, by name. It owns the list; nothing here does anything.

use std::{fmt, str::FromStr};

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal;)*) => {
        /// What is done to one call. Where it says "executed", the server has had the whole call; where it says "never",
        /// nothing of it has reached the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
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
        }
    };
}

faults! {
    /// Every header and trailer of the answer goes that HTTP/2 and gRPC can do without: `grpc-message`,
    /// `grpc-status-details-bin`, custom ones.
    StripAnswer = "strip-answer";
    /// The same for the request: `grpc-timeout`, `user-agent`, custom ones. Credentials stay.
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
