//! A call that failed, in words and as JSON. What a refusal is, the client says; what a reason means, the hints.

use semel_client::{Error, ErrorKind, Refusal, details::FieldViolation, retry};
use semel_proto::v1::AuthStatus;
use serde_json::{Value, json};

use crate::{
    cli::{
        hints::{self, Again, Exit, Hint},
        out,
        show::{self, Show as _},
    },
    config::show_duration,
};

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Call {
    /// Who is behind it.
    pub(super) kind: ErrorKind,
    /// What was answered, if anything.
    pub(super) refusal: Refusal,
    /// The id under which it was made.
    pub(super) request_id: String,
    /// How often it was sent.
    pub(super) attempts: u32,
    /// Whether it would have changed something.
    pub(super) mutation: bool,
    /// What to do next, where the reason does not say it.
    pub(super) next: Option<String>,
}

impl Call {
    pub(super) fn new(error: &Error, mutation: bool) -> Self {
        Self {
            kind: error.kind(),
            refusal: error.refusal().clone(),
            request_id: error.request_id().to_owned(),
            attempts: error.attempts(),
            mutation,
            next: None,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        if self.kind == ErrorKind::Usage {
            return Exit::Usage;
        }
        self.hint().map_or_else(|| exit_of_code(&self.code()), |hint| hint.exit)
    }

    /// What its reason means, if it has one that is known.
    pub(super) fn hint(&self) -> Option<&'static Hint> {
        self.refusal.reason().and_then(hints::of)
    }

    /// The code as gRPC spells it, for instance `NOT_FOUND`.
    fn code(&self) -> String {
        let camel = format!("{:?}", self.refusal.code);
        let mut name = String::with_capacity(camel.len() + 4);
        for (at, c) in camel.char_indices() {
            if at > 0 && c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    }

    /// Whether it is open what became of a call that changes something: by its last attempt, or by an earlier one when the
    /// last was turned away before anybody looked whether its id was there already.
    fn outcome_open(&self) -> bool {
        let turned_away = self.attempts > 1 && matches!(self.exit(), Exit::Later | Exit::Denied);
        self.mutation && (turned_away || !self.refusal.nothing_happened())
    }

    fn again(&self) -> String {
        let again = match self.hint() {
            Some(hint) => hint.again,
            None if self.may_retry() || self.outcome_open() => Again::Yes,
            None => Again::No,
        };
        let words = if self.mutation || again != Again::Yes { again.words() } else { "yes" };
        match self.refusal.retry_delay {
            Some(delay) => format!("{words}, after {}", show_duration(delay)),
            None => words.to_owned(),
        }
    }

    pub(super) fn next(&self) -> Option<String> {
        let id = &self.request_id;
        if let Some(hint) = self.hint() {
            return Some(hint.next.to_owned());
        }
        if self.outcome_open() && !id.is_empty() {
            return Some(format!(
                "it may or may not have taken effect: send it again with --request-id {id}, which is safe, or ask \
                 `semel request get {id}`"
            ));
        }
        self.next.clone().or_else(|| match self.kind {
            ErrorKind::NotSemel => Some("check --server, and what stands between here and there".to_owned()),
            ErrorKind::Transport => {
                Some("check --server, whether it is http:// or https://, and what stands in between".to_owned())
            }
            ErrorKind::Refused | ErrorKind::Usage => None,
        })
    }

    fn may_retry(&self) -> bool {
        self.kind != ErrorKind::Usage && retry::classify(&self.refusal).is_hopeful()
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.refusal.reason()
    }

    pub(super) fn violations(&self) -> impl Iterator<Item = &FieldViolation> {
        self.refusal.bad_request.iter().flat_map(|bad| &bad.field_violations)
    }

    fn headline(&self) -> String {
        let message = out::clean(&self.refusal.message);
        match self.kind {
            ErrorKind::Refused => format!("refused: {message}"),
            ErrorKind::NotSemel => format!("no Semel server answered: {message}"),
            ErrorKind::Transport | ErrorKind::Usage => message,
        }
    }

    fn credentials(&self) -> String {
        let status = self.refusal.auth_status();
        let principal =
            self.refusal.header.as_ref().and_then(|header| header.auth.as_ref()).map(|auth| auth.principal.as_str());
        match principal.filter(|name| !name.is_empty()) {
            Some(name) => format!("{} as {}: {}", show::auth_status(status), out::cell(name), auth_words(status)),
            None if status == AuthStatus::Unspecified => auth_words(status).to_owned(),
            None => format!("{}: {}", show::auth_status(status), auth_words(status)),
        }
    }

    pub(super) fn block(&self) -> String {
        let mut rows = Vec::new();
        if self.kind != ErrorKind::Usage {
            rows.push(("code", self.code()));
            rows.extend(self.refusal.reason().map(|reason| ("reason", out::cell(reason))));
            rows.push(("credentials", self.credentials()));
        }
        for violation in self.violations() {
            rows.push(("field", format!("{}: {}", out::cell(&violation.field), out::cell(&violation.description))));
        }
        for (name, value) in self.refusal.info.iter().flat_map(|info| &info.metadata) {
            rows.push(("detail", format!("{} = {}", out::cell(name), out::cell(value))));
        }
        if self.kind != ErrorKind::Usage {
            rows.push(("send again?", self.again()));
        }
        rows.extend(self.next().map(|next| ("next", next)));
        if !self.request_id.is_empty() {
            let times = if self.attempts == 1 { "time" } else { "times" };
            rows.push(("request", format!("{} (sent {} {times})", self.request_id, self.attempts)));
        }
        super::block(&self.headline(), &rows)
    }

    /// The reason, or the code without one, and what is wrong with which field, or the message.
    pub(super) fn brief(&self) -> String {
        let reason = self.refusal.reason().map_or_else(|| self.code(), str::to_owned);
        let fields: Vec<String> =
            self.violations().map(|wrong| format!("{}: {}", wrong.field, wrong.description)).collect();
        let what = if fields.is_empty() { self.refusal.message.clone() } else { fields.join("; ") };
        out::cell(&format!("{reason}: {what}"))
    }

    pub(super) fn json(&self) -> Value {
        let refusal = &self.refusal;
        let violations: Vec<Value> = self
            .violations()
            .map(|violation| json!({ "field": violation.field, "description": violation.description }))
            .collect();
        let wait = refusal.retry_delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        json!({
            "kind": format!("{:?}", self.kind).to_uppercase(),
            "message": refusal.message,
            "code": self.code(),
            "reason": refusal.reason(),
            "auth_status": show::auth_status(refusal.auth_status()),
            "may_retry": self.may_retry(),
            "outcome_known": !self.outcome_open(),
            "retry_after_ms": wait,
            "send_again": self.again(),
            "next": self.next(),
            "violations": violations,
            "metadata": refusal.info.as_ref().map(|info| &info.metadata),
            "request_id": self.request_id,
            "attempts": self.attempts,
            "header": refusal.header.as_ref().map(|header| header.json()),
            "exit_code": self.exit() as u8,
        })
    }
}

/// For refusals without a reason, or with one that is newer than this program.
fn exit_of_code(code: &str) -> Exit {
    match code {
        "INVALID_ARGUMENT" => Exit::Usage,
        "NOT_FOUND" | "FAILED_PRECONDITION" | "ABORTED" | "ALREADY_EXISTS" | "OUT_OF_RANGE" => Exit::State,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Exit::Denied,
        "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "RESOURCE_EXHAUSTED" | "CANCELLED" => Exit::Later,
        _ => Exit::General,
    }
}

/// A verdict in words.
pub(crate) fn auth_words(status: AuthStatus) -> &'static str {
    match status {
        AuthStatus::Unspecified => "no verdict: no Semel server spoke",
        AuthStatus::Passed => "they are good",
        AuthStatus::NotRequired => "this server asked for none",
        AuthStatus::Missing => "none were sent",
        AuthStatus::Malformed => "they cannot be read",
        AuthStatus::Invalid => "they are not known here, or wrongly signed",
        AuthStatus::Expired => "they have ended",
        AuthStatus::Revoked => "they were taken back",
        AuthStatus::Forbidden => "the caller is known, but not allowed to do this",
        AuthStatus::Throttled => "no verdict: too many failed attempts",
        AuthStatus::Unavailable => "no verdict: the authority could not be asked",
        AuthStatus::Expiring => "they end soon",
    }
}
