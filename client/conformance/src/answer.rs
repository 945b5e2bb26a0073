//! What a driver answers, read once, and what a case expects of it. It judges nothing but form and the fields that it is
//! told.

use prost::Message;
use serde_json::Value;

use crate::json;

/// Why a case does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Short {
    /// The client says that it has no such thing.
    Unsupported(String),
    /// The client did something else than it should: what was expected, and what came.
    Gap(String),
    /// It told something that is not so, which is worse.
    Wrong(String),
}

/// What a case gives.
pub type Verdict<T = ()> = Result<T, Short>;

/// A case does not hold, for this reason.
pub fn gap<T>(what: impl Into<String>) -> Verdict<T> {
    Err(Short::Gap(what.into()))
}

/// A claim of a case.
pub fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { gap(otherwise()) }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It went well.
    Ok(Value),
    /// The client's error.
    Error(Box<Failed>),
    /// The client has no such thing.
    Unsupported(String),
    /// The driver did not understand, or is gone.
    Fault(String),
}

/// The client's error.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
pub struct Failed {
    /// Who is behind it.
    pub kind: String,
    /// The gRPC code, by name.
    pub code: String,
    /// The server's reason, or nothing.
    pub reason: String,
    /// What became of the credentials: by name, or by number if the client does not know it.
    pub auth_status: Value,
    /// Whether the same may be sent again.
    pub may_retry: bool,
    /// The id of the call.
    pub request_id: String,
    /// How often it was sent.
    pub attempts: Option<u64>,
    /// For people.
    pub message: String,
    /// Fields and what is wrong with them.
    pub violations: Vec<(String, String)>,
    /// What the reason adds.
    pub metadata: serde_json::Map<String, Value>,
    /// For `RESUME_COMPACTED`.
    pub oldest_revision: Option<i64>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it has not the form of one.
    pub fn of(value: &Value) -> Result<Self, String> {
        if let Some(ok) = value.get("ok") {
            return Ok(Self::Ok(ok.clone()));
        }
        if let Some(error) = value.get("error") {
            return Ok(Self::Error(Box::new(Failed::of(error)?)));
        }
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        if let Some(why) = text("unsupported") {
            return Ok(Self::Unsupported(why));
        }
        text("fault").map(Self::Fault).ok_or_else(|| format!("the answer {value} is none"))
    }

    /// It went well, or the case does not hold.
    ///
    /// # Errors
    /// When it did not.
    pub fn ok(self) -> Verdict<Value> {
        match self {
            Self::Ok(ok) => Ok(ok),
            Self::Error(error) => gap(format!("expected success, got {error}")),
            Self::Unsupported(why) => Err(Short::Unsupported(why)),
            Self::Fault(what) => gap(format!("the driver did not do its part: {what}")),
        }
    }

    /// It failed by the client's error, or the case does not hold.
    ///
    /// # Errors
    /// When it did not fail so.
    pub fn failed(self) -> Verdict<Failed> {
        match self {
            Self::Ok(ok) => gap(format!("expected an error, got success: {ok}")),
            Self::Error(error) => Ok(*error),
            Self::Unsupported(why) => Err(Short::Unsupported(why)),
            Self::Fault(what) => gap(format!("the driver did not do its part: {what}")),
        }
    }

    /// What it says of a watch or a worker that was to go on.
    pub fn too_early(self) -> Short {
        match self {
            Self::Unsupported(why) => Short::Unsupported(why),
            other => Short::Gap(format!("it has ended: {other:?}")),
        }
    }

    /// The response of a call that went well.
    ///
    /// # Errors
    /// When it did not go well, or the response is no such message.
    pub fn response<M: Message + Default>(self, name: &str) -> Verdict<M> {
        let ok = self.ok()?;
        json::to(name, &ok["response"]).map_err(Short::Gap)
    }
}

impl Failed {
    /// Reads an error.
    ///
    /// # Errors
    /// When it has not the form of one.
    pub fn of(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| format!("the error {value} is none: {error}"))
    }

    /// What became of the credentials.
    pub fn auth(&self) -> &str {
        self.auth_status.as_str().map_or("", |status| status.strip_prefix("AUTH_STATUS_").unwrap_or(status))
    }

    /// It is this one: kind, code and reason.
    ///
    /// # Errors
    /// When it is another.
    pub fn is(&self, kind: &str, code: &str, reason: &str) -> Verdict {
        claim((self.kind.as_str(), self.code.as_str(), self.reason.as_str()) == (kind, code, reason), || {
            format!("expected {kind} {code} {reason:?}, got {self}")
        })
    }

    /// It says this of the credentials.
    ///
    /// # Errors
    /// When it says something else.
    pub fn says(&self, auth_status: &str) -> Verdict {
        claim(self.auth() == auth_status, || format!("expected auth_status {auth_status}, got {self}"))
    }

    /// It bears this id.
    ///
    /// # Errors
    /// When it bears another.
    pub fn is_of(&self, request_id: &str) -> Verdict {
        claim(self.request_id == request_id, || format!("expected the id {request_id} in the error, got {self}"))
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, code, reason, request_id, message, .. } = self;
        write!(f, "{kind} {code} {reason:?}, auth_status {}, may_retry {}", self.auth_status, self.may_retry)?;
        write!(f, ", id {request_id:?}, attempts {:?}: {message}", self.attempts)
    }
}
