//! The items of a stream: each once, each answered, in order, by the rules of `RunJob`; one that is refused is refused
//! alone.

use semel_client::v1::{self, AuthStatus, Disposition};
use tonic::Code;

use crate::e2e::{
    harness::{TestServer, run_job, spec},
    raw_submitter::{RawSubmitter, ids, item, items, run_of, under},
    valve::{Valve, Which},
    wire::{PayByWire, arrival, fresh, id_at, payload, seconds, settle, wall},
};

/// What a call would have answered, in the words of an item.
fn essence(run: &v1::SubmittedRun) -> (String, i32, bool, Option<prost_types::Timestamp>, i64) {
    (run.run_id.clone(), run.state, run.existing, run.execute_time, run.revision)
}

fn essence_of_call(answer: &v1::RunJobResponse) -> (String, i32, bool, Option<prost_types::Timestamp>, i64) {
    let header = answer.header.as_ref().expect("a header");
    (answer.run_id.clone(), answer.state, answer.existing, header.execute_time, header.revision)
}

#[tokio::test]
async fn every_item_is_answered_once_in_order_and_as_a_call_would_be() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    assert!(submitter.opened_header.server_time.is_some() && !submitter.opened_header.server_id.is_empty());
    let ids = ids(1108);
    for part in [&ids[..1], &ids[1..101], &ids[101..108], &[], &ids[108..]] {
        submitter.send(items(part)).await;
    }
    let mut answers = Vec::new();
    for id in &ids {
        let run = submitter.served(id).await;
        assert_eq!((run.disposition(), run.arrivals, run.existing), (Disposition::Executed, 1, false));
        assert!(run.safe_retry_until.is_some() && run.create_time.is_some());
        answers.push(run);
    }
    assert!(answers.windows(2).all(|pair| pair[0].revision < pair[1].revision), "the order of the items is theirs");
    let info = pay.admin.served("", v1::GetServerInfoRequest::default()).await;
    assert_eq!(info.live_run_count, 1108);
    for (id, run) in ids.iter().zip(&answers).step_by(100) {
        let again = settle(&pay.pay, id).await.expect("a replay");
        assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
        assert_eq!(essence_of_call(&again), essence(run));
        assert_eq!(again.header.expect("a header").safe_retry_until, run.safe_retry_until);
    }
    submitter.close();
    let (rest, end) = submitter.end().await;
    assert!(rest.is_empty());
    end.expect("a good end");
}

#[tokio::test]
async fn a_caller_that_has_said_all_gets_all_answers_before_the_end() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    valve.shut(Which::Requests);
    let ids = ids(50);
    submitter.send(items(&ids)).await;
    submitter.close();
    valve.holds().await;
    valve.open();
    let (results, end) = submitter.end().await;
    end.expect("a good end");
    assert_eq!(results.len(), ids.len());
    for (result, id) in results.into_iter().zip(&ids) {
        run_of(result, id);
    }
}

#[tokio::test]
async fn one_id_is_one_run_within_a_message_over_messages_and_over_streams_and_calls() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let id = fresh();
    submitter.send(vec![item(&id), item(&fresh()), item(&id)]).await;
    let first = submitter.served(&id).await;
    submitter.result().await;
    let mut arrivals = 2;
    let mut expect = |run: v1::SubmittedRun| {
        assert_eq!((run.disposition(), run.arrivals), (Disposition::Replayed, arrivals));
        assert_eq!(essence(&run), essence(&first));
        arrivals += 1;
    };
    expect(submitter.served(&id).await);
    expect(submitter.submit(&id).await);
    let mut other = RawSubmitter::open(&pay.connect_again().await).await.expect("opens");
    expect(other.submit(&id).await);
    let called = settle(&pay.pay, &id).await.expect("a replay");
    assert_eq!(arrival(called.header.as_ref()), (Disposition::Replayed, 5));
    assert_eq!(essence_of_call(&called), essence(&first));

    // And the other way round.
    let id = fresh();
    let called = settle(&pay.pay, &id).await.expect("it is served");
    let replayed = submitter.submit(&id).await;
    assert_eq!((replayed.disposition(), replayed.arrivals), (Disposition::Replayed, 2));
    assert_eq!(essence(&replayed), essence_of_call(&called));
    assert_eq!(pay.pay.runs().await.len(), 3);
}

#[tokio::test]
async fn one_id_by_streams_and_calls_at_once_is_one_run() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let id = fresh();
    let mut submitters = Vec::new();
    for _ in 0..4 {
        submitters.push(RawSubmitter::open(&pay.connect_again().await).await.expect("opens"));
    }
    valve.shut(Which::Requests);
    for submitter in &submitters {
        submitter.send(vec![item(&id), item(&id)]).await;
    }
    let (wire, same) = (pay.pay.clone(), id.clone());
    let call = tokio::spawn(async move { settle(&wire, &same).await });
    valve.holds().await;
    valve.open();
    let called = call.await.expect("no panic").expect("it is served");
    let mut dispositions = vec![called.header.as_ref().expect("a header").disposition()];
    for submitter in &mut submitters {
        for _ in 0..2 {
            let run = submitter.served(&id).await;
            assert_eq!(essence(&run), essence_of_call(&called));
            dispositions.push(run.disposition());
        }
    }
    let executed = dispositions.iter().filter(|disposition| **disposition == Disposition::Executed);
    assert_eq!((executed.count(), dispositions.len()), (1, 9));
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn a_used_id_is_refused_for_another_request_and_the_stream_goes_on() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let (used, before, after, of_job) = (fresh(), fresh(), fresh(), fresh());
    submitter.submit(&used).await;
    let create = v1::CreateJobRequest { job: "other".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    pay.pay.served(&of_job, create).await;
    let other = v1::RunJobRequest { payload: payload("other"), ..run_job("settle") };
    submitter.send(vec![item(&before), under(&used, other), item(&of_job), item(&after)]).await;
    submitter.served(&before).await;
    let refused = submitter.refused(&used).await;
    refused.expect(Code::FailedPrecondition, "REQUEST_ID_REUSED").says("field", "payload");
    let refused = submitter.refused(&of_job).await;
    refused.expect(Code::FailedPrecondition, "REQUEST_ID_REUSED").says("field", "method");
    submitter.served(&after).await;
    let again = submitter.submit(&used).await;
    assert_eq!((again.disposition(), pay.pay.runs().await.len()), (Disposition::Replayed, 3));
}

#[tokio::test]
async fn every_item_needs_an_id_of_its_own_that_lies_in_the_window() {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let now = wall(&clock);
    let (old, ahead, good) = (id_at(now - 25 * 3_600_000), id_at(now + 600_000), id_at(now));
    let long = "x".repeat(64);
    let headless = v1::RunJobRequest { header: None, ..run_job("settle") };
    let all = vec![headless, item(""), item("not-an-id"), item(&long), item(&old), item(&ahead), item(&good)];
    let header = Some(v1::RequestHeader { request_id: fresh(), ..Default::default() });
    // An id of the message is nobody's.
    submitter.say(v1::SubmitRunsRequest { header, runs: all, reauthenticate: None }).await;
    for (id, code, reason) in [
        ("", Code::InvalidArgument, "REQUEST_ID_MISSING"),
        ("", Code::InvalidArgument, "REQUEST_ID_MISSING"),
        ("not-an-id", Code::InvalidArgument, "REQUEST_ID_MALFORMED"),
        (&long, Code::InvalidArgument, "REQUEST_ID_MALFORMED"),
        (&old, Code::FailedPrecondition, "REQUEST_ID_EXPIRED"),
        (&ahead, Code::InvalidArgument, "REQUEST_ID_IN_FUTURE"),
    ] {
        submitter.refused(id).await.expect(code, reason);
    }
    assert_eq!(submitter.served(&good).await.disposition(), Disposition::Executed);
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn an_item_is_held_to_the_rules_of_a_call() {
    let server = TestServer::with(|settings| settings.engine.window.records_per_app_max = 3).await;
    let pay = PayByWire::on(server).await;
    pay.admin.served(&fresh(), v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() }).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let ids = ids(6);
    let invalid = v1::RunJobRequest { priority: Some(1_000_000), job: "no name".to_owned(), ..Default::default() };
    let elsewhere = v1::RunJobRequest { app: "shop".to_owned(), ..run_job("settle") };
    // The job is the first record; these take up what is left.
    let all = vec![
        under(&ids[0], invalid),
        under(&ids[1], elsewhere),
        under(&ids[2], run_job("unknown")),
        item(&ids[3]),
        item(&ids[4]),
        item(&ids[5]),
    ];
    submitter.send(all).await;
    let refused = submitter.refused(&ids[0]).await;
    refused.expect(Code::InvalidArgument, "INVALID");
    let mut fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["job", "priority"]);
    let refused = submitter.refused(&ids[1]).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("app", "shop");
    submitter.refused(&ids[2]).await.expect(Code::NotFound, "NOT_FOUND").says("what", "job");
    submitter.served(&ids[3]).await;
    submitter.served(&ids[4]).await;
    submitter.refused(&ids[5]).await.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says_when();
    let again = submitter.submit(&ids[3]).await;
    assert_eq!(again.disposition(), Disposition::Replayed);
    assert_eq!(pay.pay.runs().await.len(), 2);
}

#[tokio::test]
async fn items_with_one_business_key_make_one_run_between_them() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let ids = ids(3);
    let keyed = || v1::RunJobRequest {
        unique_key: Some(v1::UniqueKey { key: "invoice 7".to_owned(), hold: seconds(60) }),
        ..run_job("settle")
    };
    submitter.send(ids.iter().map(|id| under(id, keyed())).collect()).await;
    let first = submitter.served(&ids[0]).await;
    for id in &ids[1..] {
        let other = submitter.served(id).await;
        assert_eq!((other.existing, other.disposition()), (true, Disposition::Executed));
        assert_eq!(other.run_id, first.run_id);
    }
    assert!(!first.existing);
    assert_eq!(pay.pay.runs().await.len(), 1);
}
