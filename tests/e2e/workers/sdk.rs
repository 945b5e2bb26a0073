//! The worker of the client library against a real server: restarts, drains, cancels, losses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use semel_client::{
    Client, Credentials, Error, RetryOptions,
    v1::{self, AttemptState, LogStream, RunState, work_response},
    worker::{Context, Outcome, ProcessError, Processor, Summary, Worker},
};
use semel_faults::Port;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};

use crate::e2e::{
    crew::PayByClient,
    harness::{in_time, job, spec},
    raw_worker::{RawWorker, hello_again},
    wire::{Refused, seconds},
};

/// A worker that runs, and how to end it.
struct Work {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<Summary, Error>>,
}

impl Work {
    fn begin(worker: semel_client::worker::Builder) -> Self {
        let worker = worker.build().expect("a worker");
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        Self { stop, ended }
    }

    async fn end(self) -> Summary {
        let _ = self.stop.send(());
        in_time(self.ended).await.expect("no panic").expect("a clean end")
    }
}

/// A processor that says when it has begun and goes on when it is told to, and how often it was started.
#[derive(Clone)]
struct Gate {
    started: Arc<AtomicU64>,
    begun: mpsc::UnboundedSender<String>,
    open: Arc<Notify>,
}

impl Gate {
    fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (begun, began) = mpsc::unbounded_channel();
        (Self { started: Arc::default(), begun, open: Arc::default() }, began)
    }
}

impl Processor for Gate {
    async fn process(&self, cx: Context) -> Outcome {
        self.started.fetch_add(1, Ordering::SeqCst);
        cx.log(LogStream::Stdout, "before\n").await;
        self.begun.send(cx.attempt_id()).expect("the test listens");
        self.open.notified().await;
        cx.log(LogStream::Stdout, "after\n").await;
        Ok(v1::Payload::default())
    }
}

/// A processor that works until it is told to stop.
struct Endless(mpsc::UnboundedSender<()>);

impl Processor for Endless {
    async fn process(&self, cx: Context) -> Outcome {
        self.0.send(()).expect("the test listens");
        cx.cancelled().await;
        Err(ProcessError::failed("stopped"))
    }
}

#[tokio::test]
async fn a_worker_keeps_its_attempts_over_a_restart_of_the_server() {
    let port = Port::reserve().expect("a free port");
    let mut pay = PayByClient::with(|settings| settings.listen = port.address()).await;
    job(&pay.client, "settle", spec("p")).await;
    let (gate, mut began) = Gate::new();
    let worker = Work::begin(Worker::builder(pay.client.clone()).slots(2).processor("p", gate.clone()));
    let runs = [pay.submit("settle").await, pay.submit("settle").await];
    for _ in 0..2 {
        in_time(began.recv()).await.expect("both begin");
    }
    pay.server.restart().await;
    // Both end while the stream is not open yet, or just after: their reports arrive all the same.
    gate.open.notify_one();
    gate.open.notify_one();
    for run_id in &runs {
        let run = pay.finished(run_id).await;
        let states: Vec<_> = run.attempts.iter().map(v1::Attempt::state).collect();
        assert_eq!((run.state(), states), (RunState::Succeeded, vec![AttemptState::Succeeded]));
        assert_eq!(pay.log(run_id).await, "before\nafter\n");
    }
    assert_eq!(gate.started.load(Ordering::SeqCst), 2, "nothing was run twice");
    // The restarted server gives it new work too.
    let third = pay.submit("settle").await;
    in_time(began.recv()).await.expect("it begins");
    gate.open.notify_one();
    assert_eq!(pay.finished(&third).await.state(), RunState::Succeeded);
    let summary = worker.end().await;
    assert_eq!((summary.attempts, summary.succeeded, summary.unreported), (3, 3, 0));
}

#[tokio::test]
async fn a_server_that_drains_tells_its_streams_to_go_elsewhere() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    worker.assignment().await;
    pay.server.running().drain().await;
    let (last, ended) = worker.end().await;
    assert!(ended.is_ok(), "{ended:?}");
    let Some(work_response::Kind::GoingAway(going)) = last.last() else { panic!("not told to go: {last:?}") };
    assert!(going.reconnect_after.is_some());
    // The drain is not the end of the lease, and new streams are told when to come again.
    let refused = RawWorker::open(&pay.wire().await, hello_again(&worker.id, "p", 1)).await.err().expect("it drains");
    Refused::of(&refused).expect(tonic::Code::Unavailable, "DRAINING");
}

#[tokio::test]
async fn outcomes_of_processors_arrive_as_they_are() {
    let pay = PayByClient::start().await;
    let retry = v1::RetryPolicy { max_attempts: 3, initial_backoff: seconds(0), ..Default::default() };
    for name in ["flaky", "hopeless", "panics"] {
        job(&pay.client, name, v1::JobSpec { retry: Some(retry), ..spec(name) }).await;
    }
    let worker = Worker::builder(pay.client.clone())
        .slots(3)
        .processor("flaky", async |cx: Context| {
            if cx.attempt() < 3 {
                return Err(ProcessError::retry_after("not yet", Duration::ZERO));
            }
            Ok(v1::Payload::default())
        })
        .processor("hopeless", async |_: Context| Err(ProcessError::permanent("no use")))
        .processor("panics", async |_: Context| -> Result<v1::Payload, ProcessError> {
            panic!("a bug of the processor")
        });
    let worker = Work::begin(worker);
    for (name, state, attempts, reason) in [
        ("flaky", RunState::Succeeded, 3, ""),
        ("hopeless", RunState::Failed, 1, "no use"),
        ("panics", RunState::Failed, 3, "a bug of the processor"),
    ] {
        let run_id = pay.submit(name).await;
        let run = pay.finished(&run_id).await;
        assert_eq!((run.state(), run.attempts.len()), (state, attempts), "{name}");
        assert!(run.reason.contains(reason), "{name}: {}", run.reason);
    }
    let summary = worker.end().await;
    assert_eq!((summary.attempts, summary.succeeded, summary.failed), (7, 1, 6));
}

#[tokio::test]
async fn a_cancelled_run_stops_its_processor() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let (begun, mut began) = mpsc::unbounded_channel();
    let worker = Work::begin(Worker::builder(pay.client.clone()).processor("p", Endless(begun)));
    let run_id = pay.submit("settle").await;
    in_time(began.recv()).await.expect("it begins");
    assert_eq!(pay.cancel(&run_id).await, RunState::Cancelling);
    let run = pay.finished(&run_id).await;
    assert_eq!((run.state(), run.attempts[0].state()), (RunState::Cancelled, AttemptState::Cancelled));
    assert_eq!(worker.end().await.cancelled, 1);
}

#[tokio::test]
async fn a_worker_that_ends_gives_back_what_it_cannot_finish() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let (begun, mut began) = mpsc::unbounded_channel();
    let builder = Worker::builder(pay.client.clone()).drain_timeout(Duration::ZERO);
    let worker = Work::begin(builder.processor("p", Endless(begun)));
    let run_id = pay.submit("settle").await;
    in_time(began.recv()).await.expect("it begins");
    let summary = worker.end().await;
    assert_eq!((summary.released, summary.unreported), (1, 0));
    let run = pay.run(&run_id).await;
    assert_eq!((run.state(), run.attempts[0].state()), (RunState::Queued, AttemptState::Released));
}

#[tokio::test]
async fn a_worker_without_the_right_to_work_ends_with_the_reason() {
    let pay = PayByClient::start().await;
    let request = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        roles: vec![v1::Role::Viewer.into()],
        ..Default::default()
    };
    let token = pay.client.issue_token(request).await.expect("a token").token;
    let options = pay.server.options().app("pay").credentials(Credentials::Token(token)).retry(RetryOptions::none());
    let client = Client::connect(options).await.expect("connects");
    let worker = Worker::builder(client).processor("p", async |_: Context| Ok(v1::Payload::default()));
    let ended = in_time(worker.build().expect("a worker").run(std::future::pending())).await;
    assert_eq!(ended.expect_err("refused").reason(), Some("FORBIDDEN"));
}

#[tokio::test]
async fn a_worker_survives_that_its_token_is_revoked() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let (gate, mut began) = Gate::new();
    let worker = Work::begin(Worker::builder(pay.client.clone()).processor("p", gate.clone()));
    let run_id = pay.submit("settle").await;
    in_time(began.recv()).await.expect("it begins");
    // All tokens are taken back: the stream of the worker ends, it gets a fresh token and comes back with its attempt.
    let target = Some(v1::revoke_token_request::Target::All(true));
    pay.client.revoke_token(v1::RevokeTokenRequest { target, ..Default::default() }).await.expect("revoked");
    gate.open.notify_one();
    let run = pay.finished(&run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Succeeded, 1));
    assert_eq!(worker.end().await.succeeded, 1);
}
