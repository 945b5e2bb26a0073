//! Requests that the server remembers, shown; with the answer that was given, if it came along.

use semel_client::Answer;
use semel_proto::v1::{self, GetRequestResponse, ListRequestsResponse, RequestRecord, RequestState};
use serde_json::{Value, json};

use super::{
    Show, enum_name, fields, header_json, header_line, list, page_json,
    run::{trace_id, trace_json},
    string, time_cell,
};
use crate::cli::out;

pub(super) fn record_json(record: &RequestRecord) -> Value {
    json!({
        "request_id": record.request_id,
        "state": enum_name!(RequestState, "REQUEST_STATE_", record.state),
        "method": record.method,
        "principal": record.principal,
        "execute_time": string(record.execute_time.as_ref()),
        "revision": record.revision,
        "safe_retry_until": string(record.safe_retry_until.as_ref()),
        "arrivals": record.arrivals,
        "previous_attempts": record.previous_attempts,
        "proxy_attempts": record.proxy_attempts,
        "trace_context": record.trace_context.as_ref().map(trace_json),
    })
}

/// What arrivals told of tries elsewhere; empty if nothing was told.
fn tries(record: &RequestRecord) -> String {
    let previous = (record.previous_attempts > 0).then(|| format!("{} of gRPC's before", record.previous_attempts));
    let proxy = (record.proxy_attempts > 0).then(|| format!("{} of a proxy", record.proxy_attempts));
    previous.into_iter().chain(proxy).collect::<Vec<_>>().join(", ")
}

/// What a state means for whoever asks.
fn meaning(state: RequestState) -> &'static str {
    match state {
        RequestState::Unspecified => "not known",
        RequestState::Unknown => "it never took effect here; sending it now executes it",
        RequestState::UnderWay => "it is being worked on",
        RequestState::Done => "it took effect; sending it again shows the same answer and does nothing else",
        RequestState::Expired => "its id is older than the window: whether it took effect is forgotten",
    }
}

/// Reads an answer of any mutation. Secrets never come here: the server leaves such answers out.
fn answer(type_url: &str, bytes: &[u8]) -> Option<Box<dyn Shown>> {
    fn read<A: Answer + Show>(bytes: &[u8]) -> Option<Box<dyn Shown>> {
        A::decode(bytes).ok().map(|answer| Box::new(answer) as Box<dyn Shown>)
    }
    let name = type_url.rsplit('/').next()?.strip_prefix("semel.v1.")?;
    match name {
        "RevokeTokenResponse" => read::<v1::RevokeTokenResponse>(bytes),
        "UpdateAppResponse" => read::<v1::UpdateAppResponse>(bytes),
        "DeleteAppResponse" => read::<v1::DeleteAppResponse>(bytes),
        "CreateJobResponse" => read::<v1::CreateJobResponse>(bytes),
        "UpdateJobResponse" => read::<v1::UpdateJobResponse>(bytes),
        "DeleteJobResponse" => read::<v1::DeleteJobResponse>(bytes),
        "PauseJobResponse" => read::<v1::PauseJobResponse>(bytes),
        "ResumeJobResponse" => read::<v1::ResumeJobResponse>(bytes),
        "RunJobResponse" => read::<v1::RunJobResponse>(bytes),
        "CancelRunResponse" => read::<v1::CancelRunResponse>(bytes),
        "RetryRunResponse" => read::<v1::RetryRunResponse>(bytes),
        _ => None,
    }
}

/// An answer of some kind.
trait Shown {
    fn json(&self) -> Value;
    fn text(&self) -> String;
}

impl<A: Answer + Show> Shown for A {
    fn json(&self) -> Value {
        Show::json(self)
    }

    fn text(&self) -> String {
        let header = Answer::header(self).map(header_line).unwrap_or_default();
        format!("{header}\n{}", Show::text(self))
    }
}

impl Show for GetRequestResponse {
    fn json(&self) -> Value {
        let response = self.response.as_ref().map(|any| {
            let body = answer(&any.type_url, &any.value).map(|answer| answer.json());
            json!({ "type_url": any.type_url, "value": body })
        });
        json!({
            "header": header_json(self.header.as_ref()),
            "request": self.request.as_ref().map(record_json),
            "response": response,
        })
    }

    fn text(&self) -> String {
        let Some(record) = &self.request else { return String::new() };
        let state = enum_name!(RequestState, "REQUEST_STATE_", record.state);
        let done = record.state() == RequestState::Done;
        let mut text = fields(vec![
            ("request", out::cell(&record.request_id)),
            ("state", format!("{state}: {}", meaning(record.state()))),
            ("method", out::cell(&record.method)),
            ("principal", out::cell(&record.principal)),
            ("took effect", time_cell(record.execute_time.as_ref())),
            ("revision", if done { record.revision.to_string() } else { String::new() }),
            ("arrivals", if done { record.arrivals.to_string() } else { String::new() }),
            ("tries told of", tries(record)),
            ("trace", trace_id(record.trace_context.as_ref())),
            ("remembered until", time_cell(record.safe_retry_until.as_ref())),
        ]);
        if let Some(answer) = self.response.as_ref().and_then(|any| answer(&any.type_url, &any.value)) {
            text.push_str("\n\nthe answer:\n");
            text.push_str(&answer.text());
        }
        text
    }
}

impl Show for ListRequestsResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "requests": self.requests.iter().map(record_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
        })
    }

    fn text(&self) -> String {
        let row = |record: &RequestRecord| {
            vec![
                out::cell(&record.request_id),
                out::cell(record.method.strip_prefix("semel.v1.").unwrap_or(&record.method)),
                out::cell(&record.principal),
                time_cell(record.execute_time.as_ref()),
                record.arrivals.to_string(),
                record.revision.to_string(),
            ]
        };
        let head = ["REQUEST", "METHOD", "PRINCIPAL", "TOOK EFFECT", "ARRIVALS", "REVISION"];
        list(&head, self.requests.iter().map(row).collect())
    }
}
