//! The table of DESIGN 2.2, each row reached through the wire: its code, its reason, its details, and the verdict on the
//! credentials. `RESUME_COMPACTED` belongs to watching, which is still to come, and is the one row that is missing.
//!
//! What every refusal has (one reason, one header with the id that was sent, the server's time, few bytes) is checked
//! where a refusal is taken apart, in `wire.rs`.

use std::time::Duration;

use semel_client::{
    Method,
    v1::{self, AuthStatus},
};
use semel_core::id::Millis;
use semel_server::{
    server,
    store::{Fault, Memory},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Code, Status};

use super::{
    harness::{TestServer, run_job, spec},
    raw_worker::{RawWorker, failed_plainly, hello, log, succeeded},
    valve::{Valve, Which},
    wire::{DETAILS_BYTES_MAX, PayByWire, Refused, Wire, fresh, id_at, millis, payload, seconds, settle, wall},
};

async fn rejected<M: Method>(wire: &Wire, message: M, code: Code, reason: &str) -> Refused {
    let refused = wire.refused(&fresh(), message).await;
    refused.expect(code, reason);
    assert!(refused.header.safe_retry_until.is_some(), "a good id says until when");
    refused
}

async fn barred(wire: &Wire, reason: &str, auth: AuthStatus) {
    let refused = wire.refused(&fresh(), run_job("settle")).await;
    refused.expect_with(Code::Unauthenticated, reason, auth);
    assert_eq!(refused.retry_after, None);
}

#[tokio::test]
async fn credentials_that_are_missing_malformed_or_invalid() {
    let pay = PayByWire::start().await;
    barred(&pay.nobody, "CREDENTIALS_MISSING", AuthStatus::Missing).await;
    barred(&pay.nobody.authorization(""), "CREDENTIALS_MISSING", AuthStatus::Missing).await;
    for rubbish in ["Basic dXNlcjpwYXNz", "Bearer", "Bearer rubbish", "Bearer sk_short"] {
        barred(&pay.nobody.authorization(rubbish), "CREDENTIALS_MALFORMED", AuthStatus::Malformed).await;
    }
    let strange = TestServer::start().await;
    barred(&pay.nobody.bearer(&strange.admin_secret), "CREDENTIALS_INVALID", AuthStatus::Invalid).await;
    let stranger = Wire::to(&strange.endpoint()).await.bearer(&strange.admin_secret);
    let token = stranger.served("", v1::IssueTokenRequest::default()).await.token;
    barred(&pay.nobody.bearer(&token), "CREDENTIALS_INVALID", AuthStatus::Invalid).await;
    assert!(pay.pay.runs().await.is_empty());
}

#[tokio::test]
async fn credentials_that_have_expired_or_were_revoked() {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let issue = v1::IssueTokenRequest { lifetime: seconds(60), ..Default::default() };
    let (short, long) = (pay.pay.served("", issue).await, pay.pay.served("", v1::IssueTokenRequest::default()).await);
    clock.advance(Millis::from_secs(60));
    barred(&pay.nobody.bearer(&short.token), "CREDENTIALS_EXPIRED", AuthStatus::Expired).await;
    settle(&pay.nobody.bearer(&long.token), &fresh()).await.expect("the other is still good");
    let target = Some(v1::revoke_token_request::Target::TokenId(long.token_id));
    pay.pay.served(&fresh(), v1::RevokeTokenRequest { target, ..Default::default() }).await;
    barred(&pay.nobody.bearer(&long.token), "CREDENTIALS_REVOKED", AuthStatus::Revoked).await;
}

#[tokio::test]
async fn the_authority_cannot_be_asked_while_the_store_is_being_loaded() {
    let valve = Valve::new();
    valve.shut_load();
    let settings = TestServer::settings(|_| {});
    let listener = TcpListener::bind(settings.listen).await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it has one"));
    let store = valve.on(Box::new(Memory::new()));
    let starting = tokio::spawn(server::start_on(settings, listener, store));
    valve.holds().await;
    let nobody = Wire::to(&endpoint).await;
    let wire = nobody.bearer("sk_whoever");
    for _ in 0..20 {
        // However often it is tried: no verdict is no failed attempt.
        let refused = wire.refused(&fresh(), run_job("settle")).await;
        refused.expect_with(Code::Unavailable, "AUTH_UNAVAILABLE", AuthStatus::Unavailable).says_when();
    }
    barred(&nobody, "CREDENTIALS_MISSING", AuthStatus::Missing).await;
    let checked = wire.served("", v1::CheckAuthRequest::default()).await;
    assert_eq!(checked.auth.expect("a verdict").status(), AuthStatus::Unavailable);
    valve.open();
    let running = starting.await.expect("no panic").expect("the server starts");
    let secret = running.first_admin_secret().expect("a first start").reveal();
    nobody.bearer(&secret).served("", v1::GetServerInfoRequest::default()).await;
}

#[tokio::test]
async fn what_is_not_allowed() {
    let pay = PayByWire::start().await;
    let refused =
        pay.pay.refused(&fresh(), v1::CreateAppRequest { app: "pay/x".to_owned(), ..Default::default() }).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    refused.says("principal", "app:pay").says("role", "admin").says("app", "pay/x");
    let auth = refused.header.auth.expect("a verdict");
    assert_eq!((auth.principal.as_str(), auth.method()), ("app:pay", v1::AuthMethod::AppSecret));
    let look = v1::ListRunsRequest { app: "system".to_owned(), ..Default::default() };
    let refused = pay.pay.refused("", look).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    assert_eq!(refused.retry_after, None, "it is of no use to try again");
}

#[tokio::test]
async fn too_many_failed_attempts() {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let guesser = pay.nobody.bearer("rubbish");
    for _ in 0..11 {
        barred(&guesser, "CREDENTIALS_MALFORMED", AuthStatus::Malformed).await;
    }
    let refused = guesser.refused(&fresh(), run_job("settle")).await;
    refused.expect_with(Code::ResourceExhausted, "AUTH_THROTTLED", AuthStatus::Throttled).says_when();
    assert_eq!(refused.pushback.as_deref(), Some("1000"), "gRPC's own retry policy waits as well");
    clock.advance(Millis(1000));
    barred(&guesser, "CREDENTIALS_MALFORMED", AuthStatus::Malformed).await;
}

#[tokio::test]
async fn ids_that_cannot_be_taken() {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let now = wall(&clock);
    let refuse = async |id: &str, code, reason: &str| {
        let refused = pay.pay.refused(id, run_job("settle")).await;
        refused.expect(code, reason);
        assert_eq!(millis(refused.header.server_time.as_ref()), now);
        refused
    };
    refuse("", Code::InvalidArgument, "REQUEST_ID_MISSING").await;
    refuse("0199c1d23e4f7a5b8c6d7e8f9a0b1c2d", Code::InvalidArgument, "REQUEST_ID_MALFORMED").await;
    let ahead = refuse(&id_at(now + 3_600_000), Code::InvalidArgument, "REQUEST_ID_IN_FUTURE").await;
    ahead.says("ahead_ms", "3600000");
    let old = now - 25 * 3_600_000;
    let late = refuse(&id_at(old), Code::FailedPrecondition, "REQUEST_ID_EXPIRED").await;
    late.says("window_ms", "86400000").says("minted_at_ms", &old.to_string());
    let id = id_at(now);
    settle(&pay.pay, &id).await.expect("a run");
    let reused = pay.pay.refused(&id, v1::RunJobRequest { payload: payload("1"), ..run_job("settle") }).await;
    reused.expect(Code::FailedPrecondition, "REQUEST_ID_REUSED").says("field", "payload");
    // A malformed id comes back cut: it may be of any length.
    let long = "x".repeat(5000);
    let Err(status) = pay.pay.send(&long, run_job("settle")).await else { panic!("it was served") };
    assert_eq!(Refused::of(&status).expect(Code::InvalidArgument, "REQUEST_ID_MALFORMED").header.request_id.len(), 64);
}

#[tokio::test]
async fn the_server_is_overloaded() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    valve.shut(Which::Requests);
    let (wire, held) = (pay.pay.clone(), fresh());
    let (first, first_id) = (wire.clone(), held.clone());
    let call = tokio::spawn(async move { settle(&first, &first_id).await });
    valve.holds().await;
    // The engine stands still: fill its queue through another door, one that needs no answer.
    let engine = pay.server.running().engine().clone();
    for _ in 0..20_000 {
        engine.poke();
    }
    let id = fresh();
    let refused = pay.pay.refused(&id, run_job("settle")).await;
    refused.expect(Code::ResourceExhausted, "OVERLOADED").says_when();
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::Unknown);
    valve.open();
    call.await.expect("no panic").expect("what was under way is served");
    engine_is_idle(&pay).await;
    settle(&pay.pay, &id).await.expect("and later so is the other, under the same id");
    assert_eq!(pay.pay.runs().await.len(), 2);
}

/// Waits until the engine takes messages again.
async fn engine_is_idle(pay: &PayByWire) {
    while pay.server.running().engine().read(|_| ()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_app_has_reached_its_quota() {
    let server = TestServer::with(|settings| settings.engine.limits.live_runs_per_app_max = 2).await;
    let pay = PayByWire::on(server).await;
    for _ in 0..2 {
        settle(&pay.pay, &fresh()).await.expect("within the bound");
    }
    let id = fresh();
    let refused = pay.pay.refused(&id, run_job("settle")).await;
    refused.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("app", "pay").says("limit", "2").says_when();
    let run_id = pay.pay.runs().await[0].run_id.clone();
    pay.pay.served(&fresh(), v1::CancelRunRequest { run_id, ..Default::default() }).await;
    settle(&pay.pay, &id).await.expect("there is room again");
}

#[tokio::test]
async fn the_server_drains() {
    let pay = PayByWire::start().await;
    let done = fresh();
    settle(&pay.pay, &done).await.expect("a run");
    let mut worker = RawWorker::open(&pay.pay, hello("other", 1)).await.expect("opens");
    pay.server.running().drain().await;
    worker.going_away().await;
    let id = fresh();
    pay.pay.refused(&id, run_job("settle")).await.expect(Code::Unavailable, "DRAINING");
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::Unknown);
    let status = RawWorker::open(&pay.pay, hello("echo", 1)).await.err().expect("no new worker either");
    Refused::of(&status).expect(Code::Unavailable, "DRAINING");
}

#[tokio::test]
async fn nobody_owns_the_shard() {
    let (server, _) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    pay.server.memory().inject(Fault::FailNextCommit { applied: false });
    for _ in 0..3 {
        pay.pay.refused(&fresh(), run_job("settle")).await.expect(Code::Unavailable, "NO_OWNER");
    }
    let info = pay.pay.refused("", v1::GetServerInfoRequest::default()).await;
    info.expect(Code::Unavailable, "NO_OWNER");
}

#[tokio::test]
async fn the_deadline_passes_while_the_call_is_under_way() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    valve.shut(Which::Requests);
    let id = fresh();
    let refused = Refused::of(&timed_out(&pay.pay, &id).await);
    refused.expect(Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    assert_eq!(refused.header.request_id, id);
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::UnderWay);
    valve.open();
    settle(&pay.pay, &id).await.expect("the retry is served");
    assert_eq!(pay.pay.runs().await.len(), 1);
}

/// The server's own word that a deadline has passed. It comes 50 ms before the client's timer; where the machine is too
/// slow for that, the client's timer wins, and the call is sent again.
async fn timed_out(wire: &Wire, id: &str) -> Status {
    for _ in 0..20 {
        let timeout = Duration::from_millis(700);
        let status = wire.send_within(id, run_job("settle"), timeout).await.expect_err("nothing is committed");
        if !status.details().is_empty() {
            return status;
        }
    }
    panic!("the client's timer was always first");
}

#[tokio::test]
async fn an_attempt_that_is_no_longer_the_workers() {
    let pay = PayByWire::start().await;
    settle(&pay.pay, &fresh()).await.expect("a run");
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    let (id, late) = (fresh(), fresh());
    worker.submit(&id, succeeded(&assignment, "")).await.expect("the first report is taken");
    let refused = worker.submit(&late, failed_plainly(&assignment)).await.expect_err("the state binds");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert_eq!(refused.header.request_id, late);
    let refused = worker.submit(&fresh(), log(&assignment, "late")).await.expect_err("so does the log");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    let other = v1::Assignment { run_id: fresh(), ..assignment };
    let refused = worker.submit(&fresh(), succeeded(&other, "")).await.expect_err("no such run");
    refused.expect(Code::FailedPrecondition, "LEASE_STALE");
    assert_eq!(pay.pay.runs().await[0].state(), v1::RunState::Succeeded);
}

#[tokio::test]
async fn invalid_fields_are_told_all_at_once() {
    let pay = PayByWire::start().await;
    let spec = v1::JobSpec {
        processor: String::new(),
        max_running: -1,
        priority: 101,
        attempt_timeout: seconds(0),
        run_timeout: seconds(-5),
        lost_worker: 77,
        retry: Some(v1::RetryPolicy { max_attempts: 101, multiplier: 0.5, ..Default::default() }),
        labels: [(String::new(), "x".repeat(256))].into(),
        description: "d".repeat(1025),
        payload: Some(v1::Payload { content_type: "t".repeat(256), ..Default::default() }),
        triggers: [("Not A Name".to_owned(), v1::TriggerSpec::default())].into(),
    };
    let request = v1::CreateJobRequest { job: "Not A Name".to_owned(), spec: Some(spec), ..Default::default() };
    let refused = rejected(&pay.pay, request, Code::InvalidArgument, "INVALID").await;
    let mut fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    fields.dedup();
    let expected = [
        "job",
        "spec.attempt_timeout",
        "spec.description",
        "spec.labels[]",
        "spec.lost_worker",
        "spec.max_running",
        "spec.payload.content_type",
        "spec.priority",
        "spec.processor",
        "spec.retry.max_attempts",
        "spec.retry.multiplier",
        "spec.run_timeout",
        "spec.triggers[\"Not A Name\"]",
        "spec.triggers[\"Not A Name\"].when",
    ];
    assert_eq!(fields, expected);
    assert!(refused.violations.iter().all(|(_, problem)| !problem.is_empty()));
    let empty = rejected(&pay.pay, v1::CreateJobRequest::default(), Code::InvalidArgument, "INVALID").await;
    assert_eq!(empty.violations.len(), 2);
    let nowhere = rejected(&pay.admin, v1::CreateAppRequest::default(), Code::InvalidArgument, "INVALID").await;
    assert_eq!(nowhere.violations[0].0, "app");
}

#[tokio::test]
async fn details_stay_small_whatever_the_caller_sends() {
    let pay = PayByWire::start().await;
    let labels = (0..500).map(|number| (format!("{number:0>200}"), "v".repeat(500))).collect();
    let request = v1::RunJobRequest { labels, ..run_job(&"j".repeat(3000)) };
    let Err(status) = pay.pay.send(&fresh(), request).await else { panic!("it was served") };
    assert!(status.details().len() < DETAILS_BYTES_MAX);
    assert!(!Refused::of(&status).expect(Code::InvalidArgument, "INVALID").violations.is_empty());
    let long = "n".repeat(120);
    let missing = rejected(&pay.pay, run_job(&long), Code::NotFound, "NOT_FOUND").await;
    missing.says("what", "job");
    let large = v1::Payload { data: vec![7; (1 << 20) + 1].into(), ..Default::default() };
    let large = v1::RunJobRequest { payload: Some(large), ..run_job("settle") };
    let refused = rejected(&pay.pay, large, Code::InvalidArgument, "INVALID").await;
    assert_eq!(refused.violations[0].0, "payload.data");
}

#[tokio::test]
async fn wrong_state_no_such_thing_etag_lost() {
    let pay = PayByWire::start().await;
    let job = |job: &str| v1::GetJobRequest { job: job.to_owned(), ..Default::default() };
    rejected(&pay.pay, job("none"), Code::NotFound, "NOT_FOUND").await.says("what", "job").says("name", "pay/none");
    let run_id = fresh();
    let missing = v1::GetRunRequest { run_id: run_id.clone(), ..Default::default() };
    rejected(&pay.pay, missing, Code::NotFound, "NOT_FOUND").await.says("what", "run").says("name", &run_id);
    let app = v1::GetAppRequest { app: "none".to_owned(), ..Default::default() };
    rejected(&pay.admin, app, Code::NotFound, "NOT_FOUND").await.says("what", "app");

    let create = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    rejected(&pay.pay, create, Code::FailedPrecondition, "ALREADY_EXISTS").await.says("what", "job");
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    rejected(&pay.admin, create, Code::FailedPrecondition, "ALREADY_EXISTS").await.says("what", "app");

    let current = pay.pay.served("", job("settle")).await.job.expect("a job").etag;
    let stale = v1::UpdateJobRequest {
        job: "settle".to_owned(),
        etag: "1".to_owned(),
        spec: Some(spec("echo")),
        ..Default::default()
    };
    rejected(&pay.pay, stale, Code::Aborted, "ETAG_MISMATCH").await.says("current", &current);
    let delete = v1::DeleteAppRequest { app: "pay".to_owned(), ..Default::default() };
    rejected(&pay.admin, delete, Code::FailedPrecondition, "APP_NOT_EMPTY").await.says("count", "1");

    let run_id = settle(&pay.pay, &fresh()).await.expect("a run").run_id;
    let retry = v1::RetryRunRequest { run_id: run_id.clone(), ..Default::default() };
    rejected(&pay.pay, retry, Code::FailedPrecondition, "RUN_NOT_RETRYABLE").await.says("state", "QUEUED");
    let delete = v1::DeleteJobRequest { job: "settle".to_owned(), ..Default::default() };
    rejected(&pay.pay, delete, Code::FailedPrecondition, "JOB_HAS_LIVE_RUNS").await.says("count", "1");
    let cancel = v1::CancelRunRequest { run_id, ..Default::default() };
    pay.pay.served(&fresh(), cancel.clone()).await;
    rejected(&pay.pay, cancel, Code::FailedPrecondition, "RUN_FINISHED").await.says("state", "CANCELLED");
}

#[tokio::test]
async fn a_refused_stream_is_refused_like_a_call() {
    let pay = PayByWire::start().await;
    let refuse =
        async |wire: &Wire, hello| Refused::of(&RawWorker::open(wire, hello).await.err().expect("it is refused"));
    let missing = refuse(&pay.nobody, hello("echo", 1)).await;
    missing.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
    let foreign = v1::Hello { app: "system".to_owned(), ..hello("echo", 1) };
    let foreign = refuse(&pay.pay, foreign).await;
    foreign.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("role", "worker");
    let bad = v1::Hello { worker_id: "me".to_owned(), processors: Vec::new(), slots: -1, ..hello("echo", 1) };
    let bad = refuse(&pay.pay, bad).await;
    let fields: Vec<&str> =
        bad.expect(Code::InvalidArgument, "INVALID").violations.iter().map(|v| v.0.as_str()).collect();
    assert_eq!(fields, ["hello.worker_id", "hello.processors", "hello.slots"]);
}

#[tokio::test]
async fn a_refusal_answers_the_request_that_it_refuses() {
    let pay = PayByWire::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let wire = pay.pay.clone();
        // Each checks that it got its own id back.
        calls.spawn(
            async move { wire.refused(&fresh(), run_job("none")).await.expect(Code::NotFound, "NOT_FOUND").code },
        );
    }
    assert_eq!(calls.join_all().await.len(), 100);
}
