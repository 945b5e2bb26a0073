//! Rows 1 to 10: between the caller and the server.

use std::time::Duration;

use semel_client::{
    Client, Credentials, ErrorKind, Options, RetryOptions,
    v1::{self, AuthStatus, Disposition},
};
use semel_faults::{Draw, Fault, Plan};
use semel_server::auth::Mode;
use tokio::task::JoinSet;
use tonic::Code;

use super::arrivals_of_the_one_run;
use crate::e2e::{
    faults::{faulty, passed_on},
    harness::{PATIENCE, TestServer, run_job, spec},
    valve::{Valve, Which},
    wire::{PayByWire, Refused, Wire, arrival, auth_status, essence, fresh, seconds, settle},
};

/// By which dice a lost answer becomes which status.
const LOST_502: u32 = 0;
const LOST_503: u32 = 1;
const LOST_504: u32 = 2;

/// A client of `pay` at this endpoint. It gives up an attempt after this time, and goes on for as long as tests do.
async fn client(pay: &PayByWire, endpoint: &str, request_timeout: Duration) -> Client {
    let options = Options::new(endpoint)
        .app("pay")
        .credentials(Credentials::Bearer(pay.secret.clone()))
        .request_timeout(request_timeout)
        .overall_timeout(PATIENCE);
    Client::connect(options).await.expect("connects")
}

/// There: a server with authentication off sent no header that said so, and its client took that for a refusal, fetched
/// a token and sent every call again. Here: the answer says it in the message, and the client sends once.
#[tokio::test]
async fn row_1_the_header_is_absent_and_the_call_is_sent_again() {
    let server = TestServer::with(|settings| settings.auth_mode = Mode::Off).await;
    let pay = PayByWire::on(server).await;
    let gateway = faulty(&pay.server, Plan::calm()).await;
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret: pay.secret.clone() };
    let options = Options::new(gateway.endpoint()).app("pay").credentials(credentials);
    let client = Client::connect(options).await.expect("connects");
    client.check_auth(v1::CheckAuthRequest::default()).await.expect("a verdict");
    let before = passed_on(&gateway);
    let answer = client.run_job(run_job("settle")).await.expect("a run");
    assert_eq!(auth_status(answer.header.as_ref()), AuthStatus::NotRequired);
    assert_eq!(passed_on(&gateway) - before, 1, "sent once, and no token was fetched for it");
    assert_eq!(arrivals_of_the_one_run(&pay).await, 1);
}

/// There: the header's name was looked up by its case, so HTTP/2 or a proxy that lower-cases doubled every call. Here:
/// nothing is read from a header. This is HTTP/2, where all names are lower case, and the answer bears none of ours.
#[tokio::test]
async fn row_2_the_case_of_a_header_name() {
    let pay = PayByWire::start().await;
    let answer = pay.pay.exchange(&fresh(), run_job("settle"), PATIENCE).await.expect("a run");
    let known = ["content-type", "date", "grpc-status", "grpc-encoding", "grpc-accept-encoding"];
    let names: Vec<_> = answer.metadata().clone().into_headers().keys().cloned().collect();
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    assert_eq!(auth_status(answer.into_inner().header.as_ref()), AuthStatus::Passed);
    assert_eq!(arrivals_of_the_one_run(&pay).await, 1);
}

/// There: a gateway that strips the header doubles every call. Here: it may strip all that it can.
#[tokio::test]
async fn row_3_a_gateway_strips_the_headers() {
    let pay = PayByWire::start().await;
    let gateway = faulty(&pay.server, Plan::always(Fault::StripAnswer)).await;
    let client = client(&pay, &gateway.endpoint(), PATIENCE).await;
    let before = passed_on(&gateway);
    let answer = client.run_job(run_job("settle")).await.expect("a run");
    assert_eq!(auth_status(answer.header.as_ref()), AuthStatus::Passed);
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Executed, 1));
    assert_eq!(passed_on(&gateway) - before, 1);
    assert_eq!(arrivals_of_the_one_run(&pay).await, 1);
    // A refusal that was stripped of its details is no verdict of a Semel server, and the client says so.
    let error = client.run_job(run_job("none")).await.expect_err("there is no such job");
    assert_eq!((error.kind(), error.auth_status()), (ErrorKind::NotSemel, AuthStatus::Unspecified));
    assert_eq!(pay.pay.runs().await.len(), 1);
}

/// There: after a time-out the same call went to every other address, and each of them made a run. Here: two gateways
/// lead to the server; the first takes the call and never answers; the second is sent the same call, with the same id.
#[tokio::test]
async fn row_4_after_a_time_out_the_call_goes_to_the_next_address() {
    let pay = PayByWire::start().await;
    let mute = faulty(&pay.server, Plan::always(Fault::Swallow)).await;
    let good = faulty(&pay.server, Plan::calm()).await;
    let id = fresh();
    let first = Wire::to(&mute.endpoint()).await.bearer(&pay.secret);
    first.send_within(&id, run_job("settle"), Duration::from_millis(300)).await.expect_err("nobody answers");
    let second = Wire::to(&good.endpoint()).await.bearer(&pay.secret);
    settle(&second, &id).await.expect("a run");
    assert_eq!((passed_on(&mute), passed_on(&good)), (1, 1));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 2);
}

/// The same at once: as a client does that hedges, or a mesh.
#[tokio::test]
async fn row_4_the_call_goes_to_all_addresses_at_once() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let (mut calls, mut gateways) = (JoinSet::new(), Vec::new());
    for _ in 0..4 {
        let gateway = faulty(&pay.server, Plan::calm()).await;
        let wire = Wire::to(&gateway.endpoint()).await.bearer(&pay.secret);
        let id = id.clone();
        calls.spawn(async move { settle(&wire, &id).await.expect("a run") });
        gateways.push(gateway);
    }
    let answers = calls.join_all().await;
    assert_eq!(gateways.iter().map(passed_on).sum::<u64>(), 4);
    assert!(answers.iter().all(|answer| essence(answer.clone()) == essence(answers[0].clone())));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 4);
}

/// There: one address, a time-out, and the library says "no server available" although the call was executed; the
/// program tries again. Here: the program has the id, from before the call or from the error, and tries again under it.
#[tokio::test]
async fn row_5_the_program_tries_again_after_a_time_out() {
    let pay = PayByWire::start().await;
    let gateway = faulty(&pay.server, Plan::first([Draw::new(Fault::Swallow, 0)])).await;
    let options = Options::new(gateway.endpoint()).app("pay").request_timeout(Duration::from_millis(500));
    let options = options.credentials(Credentials::Bearer(pay.secret.clone())).retry(RetryOptions::none());
    let client = Client::connect(options).await.expect("connects");
    let error = client.run_job(run_job("settle")).await.expect_err("nobody answers");
    assert_eq!((error.kind(), error.may_retry()), (ErrorKind::Transport, true));
    let id = error.request_id().parse().expect("the id stands in the error");
    let answer = client.with_request_id(id).run_job(run_job("settle")).await.expect("a run");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Replayed, 2));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 2);
}

/// There: the HTTP library sends a call again by itself when a connection fails. Here: whatever lies below may; the id
/// is in the message. The client's own retries, after answers that got lost, are of that kind too.
#[tokio::test]
async fn row_6_the_transport_sends_the_call_again_by_itself() {
    let pay = PayByWire::start().await;
    let lost = [(Fault::Swallow, 0), (Fault::LoseAnswer, LOST_503), (Fault::Swallow, 0)];
    let gateway = faulty(&pay.server, Plan::first(lost.map(|(fault, dice)| Draw::new(fault, dice)))).await;
    let client = client(&pay, &gateway.endpoint(), Duration::from_secs(1)).await;
    let answer = client.run_job(run_job("settle")).await.expect("a run in the end");
    let (disposition, arrivals) = arrival(answer.header.as_ref());
    assert_eq!(disposition, Disposition::Replayed);
    assert!(arrivals > 3, "three answers were lost: {arrivals} arrivals");
    assert_eq!(arrivals_of_the_one_run(&pay).await, arrivals);
}

/// There: a server passes the call on and waits 5 s while the client gives up after 2; either may fail after the owner
/// has executed it. Here: the caller gives up while the commit is under way, which it ends under its id all the same.
#[tokio::test]
async fn row_7_the_caller_gives_up_before_the_owner_is_done() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let gateway = faulty(&pay.server, Plan::calm()).await;
    let wire = Wire::to(&gateway.endpoint()).await.bearer(&pay.secret);
    valve.shut(Which::Requests);
    let id = fresh();
    for _ in 0..3 {
        wire.send_within(&id, run_job("settle"), Duration::from_millis(200)).await.expect_err("it takes too long");
    }
    valve.holds().await;
    valve.open();
    let answer = settle(&wire, &id).await.expect("a run");
    assert_eq!(answer.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 4);
}

/// There: a gateway's 502 or 504 becomes an error, and the program tries again. Here: the client does it itself, under
/// the same id, and knows that no Semel server spoke.
#[tokio::test]
async fn row_8_a_gateway_answers_in_the_servers_stead() {
    let pay = PayByWire::start().await;
    let lost = [LOST_502, LOST_504].map(|dice| Draw::new(Fault::LoseAnswer, dice));
    let gateway = faulty(&pay.server, Plan::first(lost)).await;
    let patient = client(&pay, &gateway.endpoint(), PATIENCE).await;
    let answer = patient.run_job(run_job("settle")).await.expect("a run in the end");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Replayed, 3));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 3);

    let broken = faulty(&pay.server, Plan::always(Fault::LoseAnswer)).await;
    let options = Options::new(broken.endpoint()).app("pay").retry(RetryOptions::none());
    let blunt = Client::connect(options.credentials(Credentials::Bearer(pay.secret.clone()))).await.expect("connects");
    let id = blunt.mint_request_id();
    let error = blunt.with_request_id(id).run_job(run_job("settle")).await.expect_err("only the gateway answers");
    assert_eq!((error.kind(), error.auth_status()), (ErrorKind::NotSemel, AuthStatus::Unspecified));
    let found = patient.with_request_id(id).run_job(run_job("settle")).await.expect("it was executed");
    assert_eq!(arrival(found.header.as_ref()), (Disposition::Replayed, 2));
}

/// There: the login call is sent two to four times at the start, which does no harm; a rejected token is refused before
/// anything is executed. Here: issuing a token is no mutation; and a call whose token has run out is refused, sent again
/// with a fresh one under its id, and executed once.
#[tokio::test]
async fn row_9_the_login_is_sent_several_times() {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let info = || async { pay.admin.served("", v1::GetServerInfoRequest::default()).await };
    let before = info().await;
    let issue = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        lifetime: seconds(60),
        ..Default::default()
    };
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(pay.nobody.served("", issue.clone()).await.token);
    }
    let after = info().await;
    assert_eq!((before.revision, before.window_record_count), (after.revision, after.window_record_count));

    clock.advance(semel_core::id::Millis::from_secs(60));
    let id = fresh();
    let refused = pay.nobody.bearer(&tokens[0]).refused(&id, run_job("settle")).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_EXPIRED", AuthStatus::Expired);
    assert!(pay.pay.runs().await.is_empty());
    let token = pay.nobody.served("", issue).await.token;
    let answer = settle(&pay.nobody.bearer(&token), &id).await.expect("a run");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Executed, 1));
    assert_eq!(arrivals_of_the_one_run(&pay).await, 1);
}

/// There: a job saved without an id is made anew with each repeat, for names are not unique. Here: the repeat is a
/// replay; and another request for the same name is told that there is such a job.
#[tokio::test]
async fn row_10_a_job_is_saved_twice() {
    let pay = PayByWire::start().await;
    let create = || v1::CreateJobRequest { job: "close".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    let id = fresh();
    let first = pay.pay.served(&id, create()).await;
    let again = pay.pay.served(&id, create()).await;
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
    assert_eq!(first.job, again.job);
    let refused = pay.pay.refused(&fresh(), create()).await;
    refused.expect(Code::FailedPrecondition, "ALREADY_EXISTS").says("what", "job");
    let jobs = pay.pay.served("", v1::ListJobsRequest::default()).await.jobs;
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["close", "settle"]);
}

/// What no id can help against: a program that forgot its id and mints another. For this there are business keys.
#[tokio::test]
async fn beyond_the_rows_a_program_that_lost_its_id() {
    let pay = PayByWire::start().await;
    let gateway = faulty(&pay.server, Plan::first([Draw::new(Fault::Swallow, 0)])).await;
    let wire = Wire::to(&gateway.endpoint()).await.bearer(&pay.secret);
    let keyed = || {
        let unique_key = Some(v1::UniqueKey { key: "invoice-7".to_owned(), hold: None });
        v1::RunJobRequest { unique_key, ..run_job("settle") }
    };
    let lost = wire.send_within(&fresh(), keyed(), Duration::from_millis(300)).await;
    assert!(lost.expect_err("nobody answers").details().is_empty());
    let found = wire.served(&fresh(), keyed()).await;
    assert!(found.existing);
    assert_eq!(pay.pay.runs().await.len(), 1);
}

/// A refusal that reaches the caller is a refusal: nothing was executed, whatever the gateway did to it.
#[tokio::test]
async fn beyond_the_rows_a_refusal_executes_nothing() {
    let pay = PayByWire::start().await;
    let gateway = faulty(&pay.server, Plan::calm()).await;
    let wire = Wire::to(&gateway.endpoint()).await.nobody();
    let refused = Refused::of(&settle(&wire, &fresh()).await.expect_err("no credentials"));
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
    assert!(pay.pay.runs().await.is_empty());
}
