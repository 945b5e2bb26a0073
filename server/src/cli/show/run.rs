//! Runs, shown.

use semel_proto::v1::{
    Attempt, AttemptState, CancelRunResponse, ExplainRunResponse, GetRunLogsResponse, GetRunResponse, ListRunsResponse,
    LogChunk, LogStream, Progress, RetryRunResponse, Run, RunExplanation, RunJobResponse, RunState, TraceContext,
    WaitRunResponse, run_explanation,
};
use serde_json::{Value, json};

use super::{
    Show, enum_name, fields, header_json, labels_cell, list, page_json, payload_cell, payload_json, string, time_cell,
};
use crate::cli::out;

/// The state of a run, by its name.
pub(crate) fn run_state(state: i32) -> String {
    enum_name!(RunState, "RUN_STATE_", state)
}

/// Where a run stands, in one line.
pub(crate) fn state_line(run: &Run) -> String {
    let state = run_state(run.state);
    let attempt = match run.attempts.last() {
        Some(attempt) if run.max_attempts > 1 => format!(", attempt {} of {}", attempt.attempt, run.max_attempts),
        _ => String::new(),
    };
    let reason = if run.reason.is_empty() { String::new() } else { format!(": {}", out::cell(&run.reason)) };
    format!("{state}{attempt}{reason}")
}

pub(super) fn run_json(run: &Run) -> Value {
    json!({
        "run_id": run.run_id,
        "app": run.app,
        "job": run.job,
        "state": run_state(run.state),
        "labels": run.labels,
        "priority": run.priority,
        "create_time": string(run.create_time.as_ref()),
        "start_time": string(run.start_time.as_ref()),
        "deadline": string(run.deadline.as_ref()),
        "end_time": string(run.end_time.as_ref()),
        "attempts": run.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
        "max_attempts": run.max_attempts,
        "retry_time": string(run.retry_time.as_ref()),
        "reason": run.reason,
        "result": payload_json(run.result.as_ref()),
        "payload": payload_json(run.payload.as_ref()),
        "processor": run.processor,
        "unique_key": run.unique_key,
        "retry_of": run.retry_of,
        "request_id": run.request_id,
        "progress": run.progress.as_ref().map(progress_json),
        "revision": run.revision,
        "trigger": run.trigger,
        "scheduled_time": string(run.scheduled_time.as_ref()),
        "trace_context": run.trace_context.as_ref().map(trace_json),
    })
}

pub(super) fn trace_json(context: &TraceContext) -> Value {
    json!({ "traceparent": context.traceparent, "tracestate": context.tracestate })
}

/// The id of a trace, by which people look it up.
pub(super) fn trace_id(context: Option<&TraceContext>) -> String {
    let id = context.and_then(|context| context.traceparent.split('-').nth(1));
    id.map(out::cell).unwrap_or_default()
}

pub(super) fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "state": enum_name!(AttemptState, "ATTEMPT_STATE_", attempt.state),
        "worker_id": attempt.worker_id,
        "worker_name": attempt.worker_name,
        "start_time": string(attempt.start_time.as_ref()),
        "end_time": string(attempt.end_time.as_ref()),
        "error": attempt.error,
    })
}

pub(super) fn progress_json(progress: &Progress) -> Value {
    json!({
        "fraction": progress.fraction,
        "message": progress.message,
        "update_time": string(progress.update_time.as_ref()),
    })
}

fn run_text(run: Option<&Run>) -> String {
    let Some(run) = run else { return String::new() };
    let progress = |progress: &Progress| format!("{:.0} % {}", progress.fraction * 100.0, out::cell(&progress.message));
    let mut text = fields(vec![
        ("run", out::cell(&run.run_id)),
        ("job", out::cell(&run.job)),
        ("app", out::cell(&run.app)),
        ("state", run_state(run.state)),
        ("reason", out::clean(&run.reason)),
        ("progress", run.progress.as_ref().map(progress).unwrap_or_default()),
        ("processor", out::cell(&run.processor)),
        ("labels", labels_cell(&run.labels)),
        ("priority", if run.priority == 0 { String::new() } else { run.priority.to_string() }),
        ("unique key", out::cell(&run.unique_key)),
        ("retry of", out::cell(&run.retry_of)),
        ("made by request", out::cell(&run.request_id)),
        ("made by trigger", out::cell(&run.trigger)),
        ("made for", time_cell(run.scheduled_time.as_ref())),
        ("trace", trace_id(run.trace_context.as_ref())),
        ("created", time_cell(run.create_time.as_ref())),
        ("starts", time_cell(run.start_time.as_ref())),
        ("deadline", time_cell(run.deadline.as_ref())),
        ("next attempt", time_cell(run.retry_time.as_ref())),
        ("ended", time_cell(run.end_time.as_ref())),
        ("payload", payload_cell(run.payload.as_ref())),
        ("result", payload_cell(run.result.as_ref())),
    ]);
    if !run.attempts.is_empty() {
        let head = ["ATTEMPT", "STATE", "WORKER", "STARTED", "ENDED", "ERROR"];
        text.push_str("\n\n");
        text.push_str(&list(&head, run.attempts.iter().map(attempt_row).collect()));
    }
    text
}

fn attempt_row(attempt: &Attempt) -> Vec<String> {
    let worker = if attempt.worker_name.is_empty() { &attempt.worker_id } else { &attempt.worker_name };
    vec![
        attempt.attempt.to_string(),
        enum_name!(AttemptState, "ATTEMPT_STATE_", attempt.state),
        out::cell(worker),
        time_cell(attempt.start_time.as_ref()),
        time_cell(attempt.end_time.as_ref()),
        out::cell(&attempt.error),
    ]
}

impl Show for GetRunResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()), "run": self.run.as_ref().map(run_json) })
    }

    fn text(&self) -> String {
        run_text(self.run.as_ref())
    }
}

impl Show for WaitRunResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "run": self.run.as_ref().map(run_json),
            "finished": self.finished,
        })
    }

    fn text(&self) -> String {
        run_text(self.run.as_ref())
    }
}

impl Show for ListRunsResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "runs": self.runs.iter().map(run_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
        })
    }

    fn text(&self) -> String {
        let row = |run: &Run| {
            vec![
                out::cell(&run.run_id),
                out::cell(&run.job),
                run_state(run.state),
                run.attempts.len().to_string(),
                time_cell(run.create_time.as_ref()),
                time_cell(run.end_time.as_ref()),
                out::cell(&run.reason),
            ]
        };
        list(&["RUN", "JOB", "STATE", "ATTEMPTS", "CREATED", "ENDED", "REASON"], self.runs.iter().map(row).collect())
    }
}

impl Show for RunJobResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "run_id": self.run_id,
            "state": run_state(self.state),
            "existing": self.existing,
            "create_time": string(self.create_time.as_ref()),
        })
    }

    fn text(&self) -> String {
        let existing = "yes: another request with this unique key made it".to_owned();
        fields(vec![
            ("run", out::cell(&self.run_id)),
            ("state", run_state(self.state)),
            ("existing", if self.existing { existing } else { String::new() }),
            ("created", time_cell(self.create_time.as_ref())),
        ])
    }
}

impl Show for CancelRunResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()), "state": run_state(self.state) })
    }

    fn text(&self) -> String {
        fields(vec![("state", run_state(self.state))])
    }
}

impl Show for RetryRunResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "run_id": self.run_id,
            "created": self.created,
            "state": run_state(self.state),
        })
    }

    fn text(&self) -> String {
        let which = if self.created { "a new run" } else { "the same run, its next attempt" };
        fields(vec![("run", out::cell(&self.run_id)), ("which is", which.to_owned()), ("state", run_state(self.state))])
    }
}

pub(super) fn explanation_json(explanation: &RunExplanation) -> Value {
    json!({
        "kind": enum_name!(run_explanation::Kind, "KIND_", explanation.kind),
        "message": explanation.message,
        "until": string(explanation.until.as_ref()),
    })
}

impl Show for ExplainRunResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "state": run_state(self.state),
            "explanations": self.explanations.iter().map(explanation_json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let row = |explanation: &RunExplanation| {
            vec![
                enum_name!(run_explanation::Kind, "KIND_", explanation.kind),
                out::cell(&explanation.message),
                time_cell(explanation.until.as_ref()),
            ]
        };
        let why = list(&["WHY", "IN WORDS", "UNTIL"], self.explanations.iter().map(row).collect());
        format!("{}\n\n{why}", run_state(self.state))
    }
}

pub(super) fn chunk_json(chunk: &LogChunk) -> Value {
    let mut value = json!({
        "attempt": chunk.attempt,
        "stream": enum_name!(LogStream, "LOG_STREAM_", chunk.stream),
        "time": string(chunk.time.as_ref()),
    });
    let data = semel_proto::v1::Payload { data: chunk.data.clone(), content_type: String::new() };
    value["data"] = payload_json(Some(&data));
    if let Some(data) = value["data"].as_object_mut() {
        data.remove("content_type");
    }
    value
}

impl Show for LogChunk {
    fn json(&self) -> Value {
        chunk_json(self)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

impl Show for GetRunLogsResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "chunks": self.chunks.iter().map(chunk_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
            "complete": self.complete,
        })
    }

    fn text(&self) -> String {
        self.chunks.iter().map(Show::text).collect()
    }
}
