//! Runs in volume against a scripted server: when they share a stream, what becomes of them when it breaks, and that it
//! is the same call by either way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use semel_client::{
    Client, Code, Credentials, Error, RetryOptions,
    v1::{Disposition, Payload, RunJobRequest, RunJobResponse},
};
use support::{
    calls::{Fake, Step, client, options},
    refusals::Refuse,
    soon,
    streams::Stream,
};

/// So many calls at once are a load: the first 16 go by calls of their own, as nobody could know of the others yet.
const CROWD: usize = 200;
const ALONE: usize = 16;

fn run() -> RunJobRequest {
    RunJobRequest { job: "settle".to_owned(), ..Default::default() }
}

/// Many calls at once. All are under way before the first of them can end.
async fn crowd(client: &Client, size: usize) -> Vec<Result<RunJobResponse, Error>> {
    let mut calls = Vec::new();
    for _ in 0..size {
        let client = client.clone();
        calls.push(tokio::spawn(async move { client.run_job(run()).await }));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(soon("an answer", call).await.unwrap());
    }
    answers
}

/// The ids that were answered, each with how often it had arrived.
fn arrivals(fake: &Fake, answers: &[Result<RunJobResponse, Error>]) -> Vec<usize> {
    let mut seen = BTreeMap::new();
    for id in fake.ids() {
        *seen.entry(id).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), answers.len(), "each call kept its id");
    let ids = answers.iter().map(|answer| match answer {
        Ok(answer) => answer.header.as_ref().unwrap().request_id.clone(),
        Err(error) => error.request_id().to_owned(),
    });
    ids.map(|id| seen.remove(&id).expect("each id is answered once")).collect()
}

fn assert_served(fake: &Fake, answers: &[Result<RunJobResponse, Error>]) {
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.run_id == "run-1")));
    assert!(arrivals(fake, answers).iter().all(|arrivals| *arrivals == 1), "each was sent once");
}

#[tokio::test]
async fn under_load_runs_share_a_stream_and_their_callers_see_no_difference() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let client = client(&fake).await;
    let answers = crowd(&client, CROWD).await;
    assert_served(&fake, &answers);
    assert_eq!(client.streamed_runs(), (CROWD - ALONE) as u64);
    assert_eq!(fake.streams_opened(), 1);
    let streamed = answers.last().unwrap().as_ref().unwrap().header.clone().unwrap();
    assert_eq!((streamed.disposition(), streamed.arrivals, streamed.revision), (Disposition::Executed, 1, 7));
    assert!(streamed.auth.is_some() && streamed.server_time.is_some());
    assert!(fake.seen().iter().all(|seen| seen.app == "pay"));
}

#[tokio::test]
async fn a_few_runs_at_a_time_go_by_calls_of_their_own() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let client = client(&fake).await;
    for _ in 0..5 {
        crowd(&client, ALONE).await;
    }
    assert_eq!((client.streamed_runs(), fake.streams_opened()), (0, 0));
}

#[tokio::test]
async fn the_stream_can_be_switched_off() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let client = Client::connect(options(&fake).stream_under_load(false)).await.unwrap();
    assert_served(&fake, &crowd(&client, CROWD).await);
    assert_eq!(fake.streams_opened(), 0);
}

#[tokio::test]
async fn a_server_that_knows_no_stream_is_asked_once_and_called_then() {
    let fake = Fake::start([]).await;
    let client = client(&fake).await;
    assert_served(&fake, &crowd(&client, CROWD).await);
    assert_served_again(&fake, &client).await;
    assert_eq!((client.streamed_runs(), fake.streams_opened()), (0, 1));
}

async fn assert_served_again(fake: &Fake, client: &Client) {
    let before = fake.seen().len();
    assert!(crowd(client, CROWD).await.iter().all(Result::is_ok));
    assert_eq!(fake.seen().len(), before + CROWD);
}

#[tokio::test]
async fn whatever_stands_in_the_way_of_a_stream_does_not_stand_in_the_way_of_calls() {
    for stream in [
        Stream::Proxy(Code::Unavailable),
        Stream::Proxy(Code::Internal),
        Stream::Proxy(Code::PermissionDenied),
        Stream::Hang,
        Stream::NoHeader,
    ] {
        let fake = Fake::start([]).await;
        fake.streams([stream]);
        // The stream is given up after half of the time that a call has.
        let client = Client::connect(options(&fake).request_timeout(Duration::from_secs(2))).await.unwrap();
        let answers = crowd(&client, CROWD).await;
        assert!(answers.iter().all(Result::is_ok), "{stream:?}");
        assert_eq!((client.streamed_runs(), fake.streams_opened()), (0, 1), "{stream:?}");
        assert_served(&fake, &answers);
    }
}

#[tokio::test]
async fn a_stream_that_makes_no_sense_is_left_and_its_runs_are_sent_again_under_their_ids() {
    for stream in [Stream::Mute, Stream::Swapped] {
        let fake = Fake::start([]).await;
        fake.streams([stream]);
        let client = Client::connect(options(&fake).request_timeout(Duration::from_secs(2))).await.unwrap();
        let answers = crowd(&client, CROWD).await;
        assert!(answers.iter().all(Result::is_ok), "{stream:?}");
        let arrivals = arrivals(&fake, &answers);
        assert!(arrivals.contains(&2), "some had gone over the stream");
        assert_eq!(fake.streams_opened(), 1, "{stream:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_lost_is_made_again_and_what_has_no_answer_is_sent_again_under_its_id() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Cut(50), Stream::Cut(20), Stream::Serve]);
    let client = client(&fake).await;
    let submitter = client.submit_runs();
    let mut submissions = Vec::new();
    for _ in 0..CROWD {
        submissions.push(submitter.submit(run()).await.unwrap());
    }
    for submission in submissions {
        let id = submission.request_id().to_owned();
        let answer = soon("an answer", submission).await.unwrap();
        assert_eq!(answer.header.unwrap().request_id, id);
    }
    let ids: std::collections::BTreeSet<_> = fake.ids().into_iter().collect();
    assert_eq!(ids.len(), CROWD, "no id is made for a second attempt");
    assert_eq!(fake.streams_opened(), 3);
    assert_eq!(client.streamed_runs(), CROWD as u64);
}

#[tokio::test]
async fn what_is_submitted_by_hand_goes_over_the_stream_in_order() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let client = client(&fake).await;
    let submitter = client.submit_runs();
    let mut submissions = Vec::new();
    for _ in 0..1000 {
        submissions.push(submitter.submit(run()).await.unwrap());
    }
    let ids: Vec<String> = submissions.iter().map(|submission| submission.request_id().to_owned()).collect();
    for submission in submissions {
        soon("an answer", submission).await.unwrap();
    }
    assert_eq!(fake.ids(), ids);
    assert_eq!(client.streamed_runs(), 1000);
}

#[tokio::test]
async fn what_is_submitted_goes_on_when_nobody_waits_for_it() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Cut(0)]);
    let client = client(&fake).await;
    drop(client.submit_runs().submit(run()).await.unwrap());
    support::until("the run", || fake.seen().len() == 1).await;
}

#[tokio::test]
async fn a_refusal_of_an_item_is_that_items_alone_and_the_same_as_that_of_a_call() {
    let over = Refuse::new(Code::FailedPrecondition, "REQUEST_ID_REUSED").adding("field", "payload");
    let wait = Refuse::new(Code::ResourceExhausted, "OVERLOADED").after(Duration::from_millis(1));
    let fake = Fake::start([Step::Answer, Step::Refuse(over), Step::Refuse(wait), Step::Answer]).await;
    fake.streams([Stream::Serve]);
    let client = client(&fake).await;
    let submitter = client.submit_runs();
    let mut submissions = Vec::new();
    for _ in 0..4 {
        submissions.push(submitter.submit(run()).await.unwrap());
    }
    let mut answers = Vec::new();
    for submission in submissions {
        answers.push(soon("an answer", submission).await);
    }
    let error = answers.remove(1).unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, Some("REQUEST_ID_REUSED")));
    assert_eq!(error.metadata().get("field").map(String::as_str), Some("payload"));
    assert_eq!(error.attempts(), 1, "what binds is not sent again");
    assert!(answers.iter().all(Result::is_ok), "what may pass is: {answers:?}");
    assert_eq!((fake.seen().len(), fake.streams_opened()), (5, 1));
}

#[tokio::test]
async fn credentials_that_end_half_way_are_renewed_on_the_stream_and_every_run_keeps_its_id() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() };
    let client = Client::connect(options(&fake).credentials(credentials)).await.unwrap();
    let submitter = client.submit_runs();
    soon("an answer", submitter.submit(run()).await.unwrap()).await.unwrap();
    fake.expire_tokens();
    let mut submissions = Vec::new();
    for _ in 0..CROWD {
        submissions.push(submitter.submit(run()).await.unwrap());
    }
    for submission in submissions {
        soon("an answer", submission).await.unwrap();
    }
    assert_eq!(fake.tokens().len(), 2, "all share one renewal");
    assert_eq!(fake.streams_opened(), 1, "the stream goes on with the fresh token");
    let by_fresh = fake.seen().iter().filter(|seen| seen.bearer.as_deref() == Some("Bearer token-2")).count();
    assert_eq!(by_fresh, CROWD);
    let ids: std::collections::BTreeSet<_> = fake.ids().into_iter().collect();
    assert_eq!(ids.len(), CROWD + 1);
}

#[tokio::test]
async fn a_stream_that_is_refused_for_its_token_is_opened_with_a_fresh_one() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Unauthenticated, Stream::Serve]);
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() };
    let client = Client::connect(options(&fake).credentials(credentials)).await.unwrap();
    let submission = client.submit_runs().submit(run()).await.unwrap();
    soon("an answer", submission).await.unwrap();
    assert_eq!((fake.tokens().len(), fake.streams_opened(), client.streamed_runs()), (2, 2, 1));
}

#[tokio::test]
async fn a_large_run_does_not_keep_its_neighbours_waiting() {
    let fake = Fake::start([]).await;
    fake.streams([Stream::Serve]);
    let client = client(&fake).await;
    let payload = Some(Payload { data: vec![0; 512 * 1024].into(), content_type: String::new() });
    let submission = client.submit_runs().submit(RunJobRequest { payload, ..run() }).await.unwrap();
    soon("an answer", submission).await.unwrap();
    assert_eq!((client.streamed_runs(), fake.seen().len()), (0, 1));
}

#[tokio::test]
async fn with_retries_off_an_item_is_sent_once() {
    let fake = Fake::start([Step::Refuse(Refuse::new(Code::Unavailable, "DRAINING"))]).await;
    fake.streams([Stream::Serve]);
    let client = Client::connect(options(&fake).retry(RetryOptions::none())).await.unwrap();
    let error = soon("an answer", client.submit_runs().submit(run()).await.unwrap()).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts(), fake.seen().len()), (Some("DRAINING"), 1, 1));
}

#[tokio::test]
async fn many_runs_from_an_iterator_are_answered_in_their_order() {
    let fake = Fake::start([]).await;
    let client = client(&fake).await;
    let mut results = client.submit_many((0..CROWD).map(|_| run()));
    let mut answers = Vec::new();
    while let Some(result) = soon("a result", results.next()).await {
        answers.push(result);
    }
    assert_eq!(answers.len(), CROWD);
    assert_served(&fake, &answers);
}

#[tokio::test]
async fn an_endless_iterator_is_taken_no_further_than_there_is_room() {
    const ROOM: usize = 4096;
    let taken = Arc::new(AtomicUsize::new(0));
    let fake = Fake::start([]).await;
    fake.streams([Stream::Mute]);
    let client = client(&fake).await;
    let counted = taken.clone();
    let _results = client.submit_many(std::iter::repeat_with(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        run()
    }));
    let full = async {
        while taken.load(Ordering::SeqCst) <= ROOM {
            tokio::task::yield_now().await;
        }
    };
    soon("as many as there is room for", full).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(taken.load(Ordering::SeqCst), ROOM + 1, "the one more waits for room");
}
