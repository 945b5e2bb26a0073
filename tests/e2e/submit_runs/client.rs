//! The Rust client under load against a real server: its runs share a stream by themselves, and every promise of a call
//! holds.

use std::collections::{BTreeSet, VecDeque};

use semel_client::{Client, v1};
use semel_core::id::Millis;
use tokio::task::JoinSet;

use crate::e2e::{
    crew::PayByClient,
    harness::{TestServer, in_time, job, run_job, spec},
};

async fn crowd(client: &Client, size: usize) -> Vec<v1::RunJobResponse> {
    let mut calls = JoinSet::new();
    for _ in 0..size {
        let client = client.clone();
        calls.spawn(async move { client.run_job(run_job("settle")).await.expect("it is served") });
    }
    in_time(calls.join_all()).await
}

fn distinct_runs(answers: &[v1::RunJobResponse]) -> usize {
    answers.iter().map(|answer| &answer.run_id).collect::<BTreeSet<_>>().len()
}

async fn live_runs(server: &TestServer) -> i64 {
    let info = server.admin().await.get_server_info(v1::GetServerInfoRequest::default()).await;
    info.expect("it is served").live_run_count
}

#[tokio::test]
async fn under_load_runs_go_over_the_stream_and_each_makes_one_run() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("nobody")).await;
    let answers = crowd(&pay.client, 1000).await;
    assert!(pay.client.streamed_runs() > 900, "{} went over the stream", pay.client.streamed_runs());
    assert_eq!(distinct_runs(&answers), 1000);
    assert_eq!(live_runs(&pay.server).await, 1000);
    for answer in &answers {
        let header = answer.header.as_ref().expect("a header");
        assert_eq!(header.disposition(), v1::Disposition::Executed);
        assert_eq!(header.auth.as_ref().expect("a verdict").principal, "app:pay");
        assert!(!header.server_id.is_empty() && header.safe_retry_until.is_some() && header.revision > 0);
    }
}

#[tokio::test]
async fn an_id_that_went_over_the_stream_is_replayed_to_a_call() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("nobody")).await;
    let submission = pay.client.submit_runs().submit(run_job("settle")).await.expect("it is in line");
    let id = submission.request_id().parse().expect("an id");
    let first = in_time(submission).await.expect("it is served");
    assert_eq!(pay.client.streamed_runs(), 1);
    let again = pay.client.with_request_id(id).run_job(run_job("settle")).await.expect("a replay");
    assert_eq!((again.run_id, again.create_time), (first.run_id, first.create_time));
    let (first, again) = (first.header.expect("a header"), again.header.expect("a header"));
    assert_eq!(again.disposition(), v1::Disposition::Replayed);
    assert_eq!((first.execute_time, first.revision), (again.execute_time, again.revision));
    assert_eq!(first.safe_retry_until, again.safe_retry_until);
}

#[tokio::test]
async fn tokens_that_end_or_are_taken_back_half_way_lose_and_double_nothing() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("nobody")).await;
    let submitter = pay.client.submit_runs();
    let submit = async |count: usize| {
        let mut submissions = VecDeque::new();
        for _ in 0..count {
            submissions.push_back(submitter.submit(run_job("settle")).await.expect("it is in line"));
        }
        submissions
    };
    // The token ends while some are answered, some under way, and some not yet sent.
    let mut answers = Vec::new();
    let mut submissions = submit(400).await;
    for _ in 0..100 {
        answers.push(in_time(submissions.pop_front().expect("one more")).await.expect("it is served"));
    }
    clock.advance(Millis::from_secs(2 * 3600));
    submissions.extend(submit(200).await);
    for submission in submissions {
        answers.push(in_time(submission).await.expect("it is served"));
    }
    // All tokens are taken back, and so is the one by which the stream was opened.
    let request = v1::RevokeTokenRequest {
        app: "pay".to_owned(),
        target: Some(v1::revoke_token_request::Target::All(true)),
        ..Default::default()
    };
    pay.server.admin().await.revoke_token(request).await.expect("revoked");
    // A token of the same moment would count as revoked as well.
    clock.advance(Millis::from_secs(1));
    for submission in submit(400).await {
        answers.push(in_time(submission).await.expect("it is served"));
    }
    assert_eq!(distinct_runs(&answers), 1000);
    assert_eq!(live_runs(&pay.server).await, 1000);
    assert!(pay.client.streamed_runs() >= 1000, "those that were refused were answered as well");
}

#[tokio::test]
async fn what_binds_comes_through_as_it_would_from_a_call() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("nobody")).await;
    let submitter = pay.client.submit_runs();
    let unknown = submitter.submit(run_job("unknown")).await.expect("it is in line");
    let good = submitter.submit(run_job("settle")).await.expect("it is in line");
    let by_stream = in_time(unknown).await.expect_err("there is no such job");
    let by_call = pay.client.run_job(run_job("unknown")).await.expect_err("there is no such job");
    assert_eq!((by_stream.code(), by_stream.reason()), (by_call.code(), by_call.reason()));
    assert_eq!((by_stream.message(), by_stream.kind()), (by_call.message(), by_call.kind()));
    assert_eq!(by_stream.metadata(), by_call.metadata());
    assert_eq!(by_stream.auth_status(), by_call.auth_status());
    assert_eq!(by_stream.header().expect("a header").request_id, by_stream.request_id());
    in_time(good).await.expect("it is served");
}
