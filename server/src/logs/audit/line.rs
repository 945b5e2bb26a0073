//! A line of the audit log, as it is written and as it is read again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The `disposition` of what took effect earlier.
pub(super) const REPLAYED: &str = "REPLAYED";
/// And of what took effect now.
pub(super) const EXECUTED: &str = "EXECUTED";

/// What a line tells. Names that a later version writes are read as [`Kind::Unknown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A server begins to write. `revision` is where its store stands.
    Opened,
    /// A server has ended well: nothing is missing up to `revision`.
    Closed,
    /// The log goes on in a new file.
    Continued,
    /// Something took effect, now or (`REPLAYED`) earlier.
    Mutation,
    /// A caller was refused.
    Refusal,
    /// So many refusals of one reason were not written one by one.
    RefusalsLeftOut,
    /// All mutations up to `revision` are written.
    Mark,
    /// So many lines were lost: there was no room for them, or they could not be written.
    Missed,
    /// Nothing is known of the mutations from `from_revision` to `revision`: the server was killed before it wrote them, and the
    /// store has forgotten them, or they are too many to look through.
    Gap,
    /// One of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// See the module. What does not apply is left out. Texts that a caller chose are cut to 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The number of the line: the first has 1, and no number is left out.
    pub seq: u64,
    /// When, in UTC: of a mutation when it was decided, of a refusal when the call ended.
    pub time: String,
    /// What the line tells.
    #[serde(default)]
    pub kind: Kind,
    /// In the first line of a file, the `hash` of the line before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// Who did it, or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// By what the caller proved who it is, as in `AuthMethod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<Cow<'static, str>>,
    /// What became of the credentials, as in `AuthStatus`; in refusals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_status: Option<Cow<'static, str>>,
    /// What was called, as `semel.v1.JobService/CreateJob`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_method: Option<Cow<'static, str>>,
    /// The app that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What of the app, by its name or id: a job, a trigger as `job/trigger`, a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The id of the request: with it `semel request get` tells more, as long as the request is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// `EXECUTED` or `REPLAYED`; in mutations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Cow<'static, str>>,
    /// Where in the log of events it took effect; in other lines, up to where nothing is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where a gap begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_revision: Option<u64>,
    /// When it had taken effect, if it was earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_time: Option<String>,
    /// How often its id was seen, if more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<u64>,
    /// How a refused call ended, by the code's name in gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_response_status_code: Option<Cow<'static, str>>,
    /// Why it was refused, by the reason's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// The address that the connection came from, which may be a proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_peer_address: Option<String>,
    /// How many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// True if the line was made by the next start of the server, of what its store remembers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recovered: bool,
    /// How many bytes of a line that a crash had cut off stand before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn_bytes: Option<u64>,
    /// The version of the server that opened the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<Cow<'static, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Line {
    /// Whether it tells that somebody was refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind, Kind::Refusal | Kind::RefusalsLeftOut)
    }

    /// Up to where no mutation is missing, if the line says so.
    pub(super) fn stands(&self) -> Option<u64> {
        let is_old = self.disposition.as_deref() == Some(REPLAYED);
        self.revision.filter(|_| !is_old)
    }
}
