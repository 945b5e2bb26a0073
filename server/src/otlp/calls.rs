//! Calls, drawn: a span for each that has one of its own, by OpenTelemetry's conventions for RPC, with what is Semel's in it.

use super::{
    span::{Kind, Span, Value},
    tracer::{OwnSpan, Place, Tracer},
};
use crate::{
    clock,
    observe::{CODES, Ending, Facts, Observer, code_index},
};

/// The codes that say that the server is at fault. Wrong credentials and the like are the caller's affair.
const FAULTS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
/// An id is not longer; what is, is none.
const ID_BYTES_MAX: usize = 64;

impl Observer for Tracer {
    fn ended(&self, ending: &Ending<'_>) {
        if let Some(Place::Own(own)) = &ending.facts.place {
            self.record(of_call(own, ending, clock::wall_nanos()));
        }
    }
}

fn of_call(own: &OwnSpan, ending: &Ending<'_>, now: u64) -> Span {
    let method = ending.head.uri.path().trim_start_matches('/').to_owned();
    let mut attributes = rpc(&method, ending.code);
    if let Some(peer) = ending.head.peer {
        attributes.push(("network.peer.address", peer.ip().to_string().into()));
    }
    attributes.extend(semels(ending.facts));
    let took = u64::try_from(ending.took.as_nanos()).unwrap_or(u64::MAX);
    let from = now.saturating_sub(took);
    Span {
        attributes,
        link: ending.facts.first.clone(),
        error: fault(ending.code, ending.facts.reason),
        ..served(own, method, from, now)
    }
}

/// A span of something that was served, with nothing said of it yet.
pub(crate) fn served(own: &OwnSpan, name: String, from: u64, to: u64) -> Span {
    Span {
        context: own.context.clone(),
        parent: own.parent,
        is_parent_remote: true,
        name: name.into(),
        kind: Kind::Server,
        from,
        to,
        attributes: Vec::new(),
        events: Vec::new(),
        link: None,
        error: None,
    }
}

/// What the conventions want to be said of a call.
pub(crate) fn rpc(method: &str, code: Option<usize>) -> Vec<(&'static str, Value)> {
    let (name, is_fault) = named(code);
    let mut attributes = vec![
        ("rpc.system.name", "grpc".into()),
        ("rpc.method", method.to_owned().into()),
        ("rpc.response.status_code", name.into()),
    ];
    attributes.extend(is_fault.then(|| ("error.type", name.into())));
    attributes
}

/// Why a call is a fault of the server's; none if it is not.
pub(crate) fn fault(code: Option<usize>, reason: Option<&'static str>) -> Option<String> {
    named(code).1.then(|| reason.unwrap_or_default().to_owned())
}

fn named(code: Option<usize>) -> (&'static str, bool) {
    let name = CODES[code_index(code)];
    (name, FAULTS.contains(&name))
}

fn semels(facts: &Facts) -> Vec<(&'static str, Value)> {
    let mut attributes: Vec<(&'static str, Value)> = Vec::new();
    if !facts.request_id.is_empty() && facts.request_id.len() <= ID_BYTES_MAX {
        attributes.push(("semel.request_id", facts.request_id.clone().into()));
    }
    attributes.extend(facts.app.as_ref().map(|app| ("semel.app", app.to_string().into())));
    attributes.extend(facts.principal().map(|principal| ("semel.principal", principal.to_owned().into())));
    attributes.extend(facts.run_id.map(|run_id| ("semel.run_id", run_id.to_string().into())));
    if let Some(disposition) = facts.disposition {
        attributes.push(("semel.disposition", disposition.as_str().into()));
        attributes.push(("semel.arrivals", i64::try_from(facts.arrivals).unwrap_or(i64::MAX).into()));
    }
    attributes.extend(facts.reason.map(|reason| ("semel.reason", reason.into())));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_of_the_server_are_errors() {
        let faults: Vec<&str> =
            (0..CODES.len()).filter(|code| fault(Some(*code), None).is_some()).map(|code| CODES[code]).collect();
        assert_eq!(faults, FAULTS, "each is a code that there is");
        assert!(fault(None, None).is_some() && fault(Some(99), None).is_some(), "an end without a code is one");
        let of = |code| rpc("a.B/C", code).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(of(Some(16)), ["rpc.system.name", "rpc.method", "rpc.response.status_code"]);
        assert_eq!(of(Some(13)).last(), Some(&"error.type"));
    }
}
