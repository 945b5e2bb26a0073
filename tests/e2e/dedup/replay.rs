//! D1 to D5, D7 to D9 and D13: one call, one effect, whatever happens on the way.

use std::time::Duration;

use semel_client::v1::{self, Disposition, work_request};
use semel_server::store::Fault;
use tokio::task::JoinSet;
use tonic::Code;

use super::{revision, still};
use crate::e2e::{
    harness::{TestServer, run_job, spec},
    raw_worker::{RawWorker, hello, log, succeeded},
    valve::{Valve, Which},
    wire::{PayByWire, Refused, arrival, essence, fresh, payload, seconds, settle},
};

#[tokio::test]
async fn d1_a_mutation_without_an_id_is_refused_and_none_is_invented() {
    let pay = PayByWire::start().await;
    let before = revision(&pay).await;
    pay.pay.refused("", run_job("settle")).await.expect(Code::InvalidArgument, "REQUEST_ID_MISSING");
    let empty = v1::RunJobRequest { header: Some(v1::RequestHeader::default()), ..run_job("settle") };
    pay.pay.refused("", empty).await.expect(Code::InvalidArgument, "REQUEST_ID_MISSING");
    let random = "0f9d4f1c-6c1b-4b43-9f4a-0b6a5a3a1d11";
    for malformed in ["1", random, &fresh().replace('-', ""), &format!("{{{}}}", fresh())] {
        pay.pay.refused(malformed, run_job("settle")).await.expect(Code::InvalidArgument, "REQUEST_ID_MALFORMED");
    }
    assert_eq!((revision(&pay).await, pay.pay.runs().await.len()), (before, 0));
}

#[tokio::test]
async fn d1_a_report_of_a_worker_needs_an_id_as_well() {
    let pay = PayByWire::start().await;
    let run_id = settle(&pay.pay, &fresh()).await.expect("a run").run_id;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    for (id, reason) in [("", "REQUEST_ID_MISSING"), ("x", "REQUEST_ID_MALFORMED")] {
        let refused = worker.submit(id, succeeded(&assignment, "")).await.expect_err("refused");
        refused.expect(Code::InvalidArgument, reason);
        let refused = worker.submit(id, log(&assignment, "a line")).await.expect_err("refused");
        refused.expect(Code::InvalidArgument, reason);
    }
    let run = pay.pay.served("", v1::GetRunRequest { run_id, ..Default::default() }).await.run.expect("a run");
    assert_eq!(run.state(), v1::RunState::Running);
}

#[tokio::test]
async fn d2_a_crash_before_the_commit_leaves_neither_effect_nor_record() {
    let (mut pay, _) = still().await;
    pay.server.memory().inject(Fault::FailNextCommit { applied: false });
    let id = fresh();
    let refused = Refused::of(&settle(&pay.pay, &id).await.expect_err("the engine fails"));
    refused.expect(Code::Unavailable, "NO_OWNER");
    pay.revive().await;
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::Unknown);
    let again = settle(&pay.pay, &id).await.expect("the retry is served");
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Executed, 1));
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn d2_a_crash_after_the_commit_leaves_both_effect_and_record() {
    let (mut pay, _) = still().await;
    pay.server.memory().inject(Fault::FailNextCommit { applied: true });
    let id = fresh();
    let refused = Refused::of(&settle(&pay.pay, &id).await.expect_err("the engine fails"));
    refused.expect(Code::Unavailable, "NO_OWNER");
    pay.revive().await;
    let runs = pay.pay.runs().await;
    let again = settle(&pay.pay, &id).await.expect("the retry is served");
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
    assert_eq!(runs.iter().map(|run| &run.run_id).collect::<Vec<_>>(), [&again.run_id]);
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn d3_the_same_request_again_gets_the_first_answer() {
    let mut pay = PayByWire::start().await;
    let request = || v1::RunJobRequest {
        payload: payload("42"),
        labels: [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..run_job("settle")
    };
    let id = fresh();
    let first = pay.pay.served(&id, request()).await;
    assert_eq!(arrival(first.header.as_ref()), (Disposition::Executed, 1));
    let before = revision(&pay).await;
    for arrivals in 2..5 {
        let again = pay.pay.served(&id, request()).await;
        assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, arrivals));
        assert_eq!(essence(again), essence(first.clone()));
    }
    // An app that is named is the app of the caller that is not.
    let named = pay.pay.served(&id, v1::RunJobRequest { app: "pay".to_owned(), ..request() }).await;
    assert_eq!(essence(named), essence(first.clone()));
    assert_eq!((revision(&pay).await, pay.pay.runs().await.len()), (before, 1), "nothing else happened");
    pay.restart().await;
    let after = pay.pay.served(&id, request()).await;
    assert_eq!(after.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    assert_eq!(essence(after), essence(first));
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn d3_a_replay_shows_what_was_answered_and_not_what_is() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let first = settle(&pay.pay, &id).await.expect("a run");
    let cancel = v1::CancelRunRequest { run_id: first.run_id.clone(), ..Default::default() };
    pay.pay.served(&fresh(), cancel).await;
    let again = settle(&pay.pay, &id).await.expect("a replay");
    assert_eq!(again.state(), v1::RunState::Queued);
    assert_eq!(essence(again), essence(first));
}

#[tokio::test]
async fn d4_a_second_arrival_while_the_first_is_under_way_waits_for_it() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    valve.shut(Which::Requests);
    let id = fresh();
    let (wire, first_id) = (pay.pay.clone(), id.clone());
    let first = tokio::spawn(async move { settle(&wire, &first_id).await });
    valve.holds().await;
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let (wire, id) = (pay.connect_again().await, id.clone());
        others.spawn(async move { settle(&wire, &id).await });
    }
    // The others may or may not have arrived by now: in both cases they get the answer of the first.
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::UnderWay);
    valve.open();
    let first = first.await.expect("no panic").expect("it is served");
    assert_eq!(first.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Executed));
    while let Some(other) = others.join_next().await {
        let other = other.expect("no panic").expect("it is served");
        assert_eq!(other.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
        assert_eq!(essence(other), essence(first.clone()));
    }
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn d5_the_same_id_for_another_request_is_refused_and_names_what_differs() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let first = settle(&pay.pay, &id).await.expect("a run");
    let reused = |refused: Refused, field: &str| {
        refused.expect(Code::FailedPrecondition, "REQUEST_ID_REUSED").says("field", field);
        assert!(!format!("{refused:?}").contains(&first.run_id), "the stored answer is not shown");
    };
    let pause = v1::PauseJobRequest { job: "settle".to_owned(), ..Default::default() };
    reused(pay.pay.refused(&id, pause).await, "method");
    let by_admin = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    reused(pay.admin.refused(&id, by_admin).await, "principal");
    let other_job = v1::CreateJobRequest { job: "other".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    pay.pay.served(&fresh(), other_job).await;
    reused(pay.pay.refused(&id, run_job("other")).await, "job");
    let with = |payload, priority| v1::RunJobRequest { payload, priority, ..run_job("settle") };
    reused(pay.pay.refused(&id, with(payload("1"), None)).await, "payload");
    reused(pay.pay.refused(&id, with(None, Some(0))).await, "priority");
    reused(pay.pay.refused(&id, with(payload("1"), Some(9))).await, "payload");
    assert_eq!(pay.pay.runs().await.len(), 1);
    let again = settle(&pay.pay, &id).await.expect("the right one is still replayed");
    assert_eq!(again.run_id, first.run_id);
}

#[tokio::test]
async fn d5_an_id_belongs_to_its_app() {
    let pay = PayByWire::start().await;
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let shop = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let job = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    shop.served(&fresh(), job).await;
    let id = fresh();
    let first = settle(&pay.pay, &id).await.expect("a run");
    let other = settle(&shop, &id).await.expect("another app's request under the same id is another request");
    assert_eq!(arrival(other.header.as_ref()), (Disposition::Executed, 1));
    assert_ne!(first.run_id, other.run_id);
}

#[tokio::test]
async fn d7_a_refusal_records_nothing() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let refused = pay.pay.refused(&id, run_job("later")).await;
    refused.expect(Code::NotFound, "NOT_FOUND");
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::Unknown);
    let create = v1::CreateJobRequest { job: "later".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    pay.pay.served(&fresh(), create).await;
    let mended = pay.pay.served(&id, run_job("later")).await;
    assert_eq!(arrival(mended.header.as_ref()), (Disposition::Executed, 1));
}

#[tokio::test]
async fn d7_even_another_content_may_follow_a_refusal() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let bad = v1::RunJobRequest { priority: Some(1000), ..run_job("settle") };
    pay.pay.refused(&id, bad).await.expect(Code::InvalidArgument, "INVALID");
    let good = v1::RunJobRequest { priority: Some(100), ..run_job("settle") };
    let answer = pay.pay.served(&id, good).await;
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Executed, 1));
}

#[tokio::test]
async fn d8_a_caller_that_lost_its_right_is_refused_and_shown_no_replay() {
    let pay = PayByWire::start().await;
    let grant = v1::Grant { role: v1::Role::Submitter.into(), apps: "pay".to_owned() };
    let create = v1::CreateAppRequest { app: "ops".to_owned(), grants: vec![grant.clone()], ..Default::default() };
    let ops = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let id = fresh();
    let request = || v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    let first = ops.served(&id, request()).await;
    let update = |grants| v1::UpdateAppRequest { app: "ops".to_owned(), grants, ..Default::default() };
    pay.admin.served(&fresh(), update(Vec::new())).await;
    let refused = ops.refused(&id, request()).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", v1::AuthStatus::Forbidden);
    assert!(!format!("{refused:?}").contains(&first.run_id));
    pay.admin.served(&fresh(), update(vec![grant])).await;
    let again = ops.served(&id, request()).await;
    assert_eq!(again.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    assert_eq!(again.run_id, first.run_id);
}

#[tokio::test]
async fn d9_a_cancelled_call_still_takes_effect_once() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    valve.shut(Which::Requests);
    let id = fresh();
    let (wire, cancelled) = (pay.pay.clone(), id.clone());
    let call = tokio::spawn(async move { settle(&wire, &cancelled).await });
    valve.holds().await;
    call.abort();
    assert!(call.await.expect_err("it was cut off").is_cancelled());
    assert_eq!(pay.pay.look_up(&id).await.request.expect("a record").state(), v1::RequestState::UnderWay);
    valve.open();
    let again = settle(&pay.pay, &id).await.expect("the retry is served");
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn d9_deadlines_of_a_millisecond_neither_lose_nor_double_anything() {
    let pay = PayByWire::start().await;
    let ids: Vec<String> = (0..50).map(|_| fresh()).collect();
    let mut calls = JoinSet::new();
    for id in &ids {
        let (wire, id) = (pay.pay.clone(), id.clone());
        // Whatever comes of it: some never leave, some are cut on the way, some are answered.
        calls.spawn(async move { wire.send_within(&id, run_job("settle"), Duration::from_millis(1)).await });
    }
    calls.join_all().await;
    for id in &ids {
        settle(&pay.pay, id).await.expect("the retry is served");
        let again = settle(&pay.pay, id).await.expect("and the next one");
        assert_eq!(again.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    }
    assert_eq!(pay.pay.runs().await.len(), ids.len());
}

#[tokio::test]
async fn d9_the_death_of_a_worker_does_not_take_its_report_back() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let run_id = settle(&pay.pay, &fresh()).await.expect("a run").run_id;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    valve.shut(Which::Requests);
    let report = succeeded(&assignment, "");
    worker.say_as(&fresh(), work_request::Kind::Report(report)).await;
    valve.holds().await;
    drop(worker);
    valve.open();
    let wait = v1::WaitRunRequest { run_id, timeout: seconds(30), ..Default::default() };
    let run = pay.pay.served("", wait).await.run.expect("a run");
    assert_eq!((run.state(), run.attempts.len()), (v1::RunState::Succeeded, 1));
}

#[tokio::test]
async fn d13_a_business_key_keeps_two_requests_from_making_two_runs() {
    let (pay, clock) = still().await;
    let keyed = |hold| v1::RunJobRequest {
        unique_key: Some(v1::UniqueKey { key: "invoice-7".to_owned(), hold }),
        ..run_job("settle")
    };
    let first = pay.pay.served(&fresh(), keyed(None)).await;
    let second_id = fresh();
    let second = pay.pay.served(&second_id, keyed(None)).await;
    assert!(!first.existing && second.existing);
    assert_eq!(first.run_id, second.run_id);
    assert_eq!(arrival(second.header.as_ref()), (Disposition::Executed, 1), "it is a request of its own");
    let again = pay.pay.served(&second_id, keyed(None)).await;
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
    assert_eq!(essence(again), essence(second));

    let cancel = |run_id: &str| v1::CancelRunRequest { run_id: run_id.to_owned(), ..Default::default() };
    pay.pay.served(&fresh(), cancel(&first.run_id)).await;
    let third = pay.pay.served(&fresh(), keyed(seconds(60))).await;
    assert!(!third.existing && third.run_id != first.run_id, "the key is free once the run has ended");
    pay.pay.served(&fresh(), cancel(&third.run_id)).await;
    let held = pay.pay.served(&fresh(), keyed(None)).await;
    assert!(held.existing && held.run_id == third.run_id, "unless it is held for a time");
    super::pass(&pay, &clock, semel_core::id::Millis::from_secs(61)).await;
    assert!(!pay.pay.served(&fresh(), keyed(None)).await.existing);
    assert_eq!(pay.pay.runs().await.len(), 3);
}

#[tokio::test]
async fn d13_many_requests_at_once_with_one_key_make_one_run() {
    let pay = PayByWire::on(TestServer::start().await).await;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let wire = pay.pay.clone();
        let unique_key = Some(v1::UniqueKey { key: "once".to_owned(), hold: None });
        let request = v1::RunJobRequest { unique_key, ..run_job("settle") };
        calls.spawn(async move { wire.served(&fresh(), request).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.existing).count(), 1);
    assert!(answers.iter().all(|answer| answer.run_id == answers[0].run_id));
    assert_eq!(pay.pay.runs().await.len(), 1);
}
