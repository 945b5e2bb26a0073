//! JSON and tables of every resource, held against the protocol's own field names.

use bytes::Bytes;
use semel_proto::v1::{
    self, App, Attempt, DedupWindow, Event, Grant, Job, JobEvent, JobSpec, LogChunk, Progress, RequestRecord,
    RetryPolicy, Run, RunEvent, RunExplanation, RunState, Worker,
};

use super::*;

/// The field names of a message, read from the text of its file.
fn fields_of(file: &str, message: &str) -> Vec<String> {
    let start = file.find(&format!("message {message} {{")).expect("the message is there");
    let mut depth = 0;
    let mut names = Vec::new();
    for line in file[start..].lines() {
        let code = line.split("//").next().unwrap_or_default().trim();
        depth += code.matches('{').count();
        depth -= code.matches('}').count();
        if depth == 0 {
            break;
        }
        let words: Vec<&str> = code.split(" = ").next().unwrap_or_default().split_whitespace().collect();
        if depth == 1 && code.contains(" = ") && words.len() >= 2 {
            names.push(words[words.len() - 1].to_owned());
        }
    }
    names.sort();
    names
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn json_has_every_field_of_the_protocol_by_its_name() {
    let app = include_str!("../../../../proto/semel/v1/app.proto");
    let header = include_str!("../../../../proto/semel/v1/header.proto");
    let job = include_str!("../../../../proto/semel/v1/job.proto");
    let run = include_str!("../../../../proto/semel/v1/run.proto");
    let run_service = include_str!("../../../../proto/semel/v1/run_service.proto");
    let request = include_str!("../../../../proto/semel/v1/request_service.proto");
    let event = include_str!("../../../../proto/semel/v1/event.proto");
    let worker = include_str!("../../../../proto/semel/v1/worker.proto");
    for (file, message, json) in [
        (app, "App", app::app_json(&App::default())),
        (header, "ResponseHeader", ResponseHeader::default().json()),
        (header, "AuthResult", auth_json(&AuthResult::default())),
        (header, "DedupWindow", server::window_json(&DedupWindow::default())),
        (job, "Job", job::job_json(&Job::default())),
        (job, "JobSpec", job::spec_json(&JobSpec::default())),
        (job, "RetryPolicy", job::retry_json(&RetryPolicy::default())),
        (run, "Run", run::run_json(&Run::default())),
        (run, "Attempt", run::attempt_json(&Attempt::default())),
        (run, "Progress", run::progress_json(&Progress::default())),
        (run_service, "RunExplanation", run::explanation_json(&RunExplanation::default())),
        (run_service, "LogChunk", run::chunk_json(&LogChunk::default())),
        (event, "Event", watch::event_json(&Event::default())),
        (event, "RunEvent", watch::run_event_json(&RunEvent::default())),
        (event, "JobEvent", watch::job_event_json(&JobEvent::default())),
        (worker, "Worker", watch::worker_json(&Worker::default())),
        (request, "RequestRecord", request::record_json(&RequestRecord::default())),
    ] {
        assert_eq!(keys(&json), fields_of(file, message), "{message}");
    }
}

#[test]
fn json_of_answers_has_every_field_of_the_protocol_by_its_name() {
    let app = include_str!("../../../../proto/semel/v1/app_service.proto");
    let auth = include_str!("../../../../proto/semel/v1/auth_service.proto");
    let job = include_str!("../../../../proto/semel/v1/job_service.proto");
    let run = include_str!("../../../../proto/semel/v1/run_service.proto");
    let request = include_str!("../../../../proto/semel/v1/request_service.proto");
    let server = include_str!("../../../../proto/semel/v1/server_service.proto");
    macro_rules! check {
        ($($file:ident: $($answer:ident)*;)*) => {$($(
            assert_eq!(
                keys(&Show::json(&v1::$answer::default())),
                fields_of($file, stringify!($answer)),
                stringify!($answer)
            );
            // No answer without content breaks a table.
            _ = Show::text(&v1::$answer::default());
        )*)*};
    }
    check! {
        app: CreateAppResponse GetAppResponse ListAppsResponse UpdateAppResponse DeleteAppResponse
            RotateAppSecretResponse;
        auth: IssueTokenResponse CheckAuthResponse RevokeTokenResponse;
        job: CreateJobResponse GetJobResponse ListJobsResponse UpdateJobResponse DeleteJobResponse PauseJobResponse
            ResumeJobResponse RunJobResponse;
        run: GetRunResponse ListRunsResponse CancelRunResponse RetryRunResponse WaitRunResponse ExplainRunResponse
            GetRunLogsResponse;
        request: GetRequestResponse ListRequestsResponse;
        server: GetServerInfoResponse;
    }
}

#[test]
fn values_are_as_programs_want_them() {
    let run = Run {
        run_id: "r".to_owned(),
        state: RunState::Succeeded.into(),
        create_time: crate::cli::parse::time("2026-01-31T08:00:00.25Z").ok().map(Into::into),
        revision: 9_007_199_254_740_993,
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        result: Some(Payload {
            data: Bytes::from_static(b"{\"ok\":true}"),
            content_type: "application/json".to_owned(),
        }),
        payload: Some(Payload { data: Bytes::from_static(&[0xff]), content_type: String::new() }),
        ..Run::default()
    };
    let json = run::run_json(&run);
    assert_eq!(json["state"], "SUCCEEDED");
    assert_eq!(json["create_time"], "2026-01-31T08:00:00.250Z");
    assert_eq!(json["end_time"], Value::Null);
    assert_eq!(json["revision"], 9_007_199_254_740_993_i64);
    assert_eq!(json["labels"]["env"], "prod");
    assert_eq!(json["result"]["text"], "{\"ok\":true}");
    assert_eq!(json["result"]["json"]["ok"], true);
    assert_eq!((&json["payload"]["base64"], json["payload"].get("text")), (&json!("/w=="), None));
    let newer = Run { state: 99, ..Run::default() };
    assert_eq!(run::run_json(&newer)["state"], "99");
}

#[test]
fn a_payload_that_only_claims_to_be_json_stays_text() {
    let payload = Payload { data: Bytes::from_static(b"{oops"), content_type: "application/json".to_owned() };
    let json = payload_json(Some(&payload));
    assert_eq!((&json["text"], json.get("json")), (&json!("{oops"), None));
    assert!(
        is_json("application/JSON; charset=utf-8") && is_json("application/problem+json") && !is_json("text/plain")
    );
}

#[test]
fn the_line_of_a_call_says_what_became_of_it() {
    let auth = AuthResult { principal: "app:pay".to_owned(), ..AuthResult::default() };
    let mut header = ResponseHeader {
        request_id: "0199".to_owned(),
        auth: Some(AuthResult { status: AuthStatus::Passed.into(), ..auth }),
        disposition: Disposition::Executed.into(),
        arrivals: 1,
        ..ResponseHeader::default()
    };
    assert_eq!(header_line(&header), "request 0199 EXECUTED (arrival 1), auth PASSED as app:pay");
    header.disposition = Disposition::Replayed.into();
    header.arrivals = 3;
    header.execute_time = crate::cli::parse::time("2026-01-31T08:00:00.5Z").ok().map(Into::into);
    assert_eq!(
        header_line(&header),
        "request 0199 REPLAYED (arrival 3, took effect 2026-01-31T08:00:00Z), auth PASSED as app:pay"
    );
}

#[test]
fn a_table_has_no_borders_and_no_trailing_space() {
    let rows = vec![vec!["a".to_owned(), "b".to_owned()], vec!["longer".to_owned(), String::new()]];
    assert_eq!(list(&["ONE", "TWO"], rows), "ONE     TWO\na       b\nlonger");
    assert_eq!(list(&["ONE"], Vec::new()), "none");
    assert_eq!(
        fields(vec![("name", "a".to_owned()), ("nothing", String::new()), ("x", "b".to_owned())]),
        "name  a\nx     b"
    );
}

#[test]
fn what_a_job_says_is_shown_to_people() {
    let spec = JobSpec {
        processor: "exec".to_owned(),
        retry: Some(RetryPolicy { max_attempts: 3, ..RetryPolicy::default() }),
        attempt_timeout: std::time::Duration::from_secs(300).try_into().ok(),
        ..JobSpec::default()
    };
    let job = Job { name: "settle\u{7}".to_owned(), spec: Some(spec), ..Job::default() };
    let text = v1::GetJobResponse { job: Some(job), ..Default::default() }.text();
    for expected in ["settle\\u{7}", "exec", "up to 3, 1s apart, times 2 each, at most 10m", "attempt timeout  5m"] {
        assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
    }
}

#[test]
fn a_grant_is_shown_as_it_is_given() {
    let grant = Grant { role: v1::Role::Submitter.into(), apps: "pay/*".to_owned() };
    assert_eq!(app::grant_text(&grant), "submitter:pay/*");
    assert_eq!(app::grants_json(&[grant])[0], json!({ "role": "SUBMITTER", "apps": "pay/*" }));
}

#[test]
fn only_known_answers_are_taken_apart() {
    let unknown = v1::GetRequestResponse {
        request: Some(RequestRecord { request_id: "0199".to_owned(), state: 3, ..RequestRecord::default() }),
        ..Default::default()
    };
    assert_eq!(unknown.json()["response"], Value::Null);
    assert!(unknown.text().contains("DONE: it took effect"));
}
