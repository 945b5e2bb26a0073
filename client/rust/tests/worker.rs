//! A worker against a server that each test plays by hand: reports, reconnects, cancellation, leases and the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use semel_client::{
    Client, Code, Error, ErrorKind, Options, RequestId,
    v1::{
        AttemptRef, AuthStatus, GoingAway, LogStream, Opened, Payload,
        cancel_attempt::Reason,
        report::{Failed, Outcome, Released, Succeeded},
        work_request::Kind as Up,
        work_response::Kind as Down,
    },
    worker::{Builder, Context, ProcessError, Summary, Worker},
};
use support::{
    refusals::Refuse,
    soon, until,
    work::{Desk, Session},
};
use tokio::{sync::oneshot, task::JoinHandle};

struct Running {
    task: JoinHandle<Result<Summary, Error>>,
    shutdown: oneshot::Sender<()>,
}

impl Running {
    async fn stop(self) -> Summary {
        let _ = self.shutdown.send(());
        soon("the worker's end", self.task).await.unwrap().unwrap()
    }
}

fn payload(text: &'static str) -> Payload {
    Payload { data: text.into(), content_type: "text/plain".to_owned() }
}

fn builder(desk: &Desk) -> Builder {
    let client = Client::connect_lazy(Options::new(support::url(desk.address)).app("pay")).unwrap();
    Worker::builder(client)
        .name("host-1")
        .slots(4)
        .processor("echo", async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone()))
        .processor("until-cancelled", async |cx: Context| {
            cx.cancelled().await;
            Err::<Payload, _>(ProcessError::failed("stopped"))
        })
}

fn start(builder: Builder) -> Running {
    let worker = builder.build().unwrap();
    let (shutdown, asked) = oneshot::channel();
    let task = tokio::spawn(worker.run(async {
        let _ = asked.await;
    }));
    Running { task, shutdown }
}

fn attempt(run_id: &str, attempt: i64) -> AttemptRef {
    AttemptRef { run_id: run_id.to_owned(), attempt }
}

fn short_lease() -> Opened {
    Opened {
        heartbeat_interval: Duration::from_millis(20).try_into().ok(),
        lease_duration: Duration::from_millis(150).try_into().ok(),
        stale: Vec::new(),
    }
}

fn succeeded(text: &'static str) -> Outcome {
    Outcome::Succeeded(Succeeded { result: Some(payload(text)) })
}

/// When this is over, the worker has read all that was sent before.
async fn round_trip(session: &mut Session) {
    session.assign("round-trip", 1, "echo").await;
    let (id, of, _) = session.report().await;
    assert_eq!(of.run_id, "round-trip");
    session.ack(&id).await;
}

fn overloaded() -> Refuse {
    Refuse::new(Code::ResourceExhausted, "OVERLOADED").after(Duration::from_millis(10))
}

fn lease_stale() -> Refuse {
    Refuse::new(Code::FailedPrecondition, "LEASE_STALE")
}

#[tokio::test]
async fn an_attempt_is_worked_on_and_reported_under_an_id() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    assert_eq!(session.hello.app, "pay");
    assert_eq!(session.hello.worker_name, "host-1");
    assert_eq!(session.hello.processors, ["echo", "until-cancelled"]);
    assert_eq!(session.hello.slots, 4);
    session.assign("run-1", 1, "echo").await;
    let (id, of, outcome) = session.report().await;
    assert_eq!((of, outcome), (attempt("run-1", 1), succeeded("input")));
    assert_eq!(id.parse::<RequestId>().unwrap().as_uuid().get_version_num(), 7);
    session.ack(&id).await;
    let (summary, ended) = tokio::join!(worker.stop(), async {
        assert_eq!(session.next().await.map(|(_, kind)| kind), Some(Up::Drain(Default::default())));
        session.next().await
    });
    assert_eq!(ended, None, "nothing follows the drain");
    assert_eq!(summary, Summary { attempts: 1, succeeded: 1, ..Summary::default() });
}

#[tokio::test]
async fn an_unacknowledged_report_is_sent_again_under_the_same_id_after_a_reconnect() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    let worker_id = session.hello.worker_id.clone();
    session.assign("run-1", 1, "echo").await;
    let (first, ..) = session.report().await;
    drop(session);

    let mut session = desk.open().await;
    assert_eq!(session.hello.worker_id, worker_id, "leases belong to it");
    assert_eq!(session.hello.held, [attempt("run-1", 1)]);
    let (second, of, outcome) = session.report().await;
    assert_eq!((&second, of, outcome), (&first, attempt("run-1", 1), succeeded("input")));
    session.ack(&second).await;
    assert_eq!(worker.stop().await.succeeded, 1);
}

#[tokio::test]
async fn a_report_that_is_refused_for_now_is_sent_again_under_the_same_id() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "echo").await;
    let (first, ..) = session.report().await;
    for refuse in [
        overloaded(),
        Refuse::new(Code::Unavailable, "DRAINING"),
        Refuse::new(Code::Unavailable, "NO_OWNER"),
        Refuse::new(Code::Internal, "INTERNAL"),
    ] {
        session.ack_refused(&first, &refuse).await;
        assert_eq!(session.report().await.0, first);
    }
    session.ack(&first).await;
    assert_eq!(worker.stop().await.succeeded, 1);
}

#[tokio::test]
async fn an_id_from_the_future_is_minted_anew_for_a_report_that_was_sent_once() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "echo").await;
    let (first, ..) = session.report().await;
    let in_future = Refuse::new(Code::InvalidArgument, "REQUEST_ID_IN_FUTURE");
    session.ack_refused(&first, &in_future).await;
    let (second, ..) = session.report().await;
    assert_ne!(first, second);
    session.ack_refused(&second, &overloaded()).await;
    assert_eq!(session.report().await.0, second);
    session.ack_refused(&second, &in_future).await;
    assert_eq!(session.report().await.0, second, "an id that was sent twice stays");
    session.ack(&second).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_report_that_the_server_will_never_take_is_replaced_by_a_failure() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "echo").await;
    let (first, ..) = session.report().await;
    session.ack_refused(&first, &Refuse::new(Code::InvalidArgument, "INVALID")).await;
    let (second, _, outcome) = session.report().await;
    assert_ne!(first, second, "it is another report");
    let Outcome::Failed(Failed { error, permanent: true, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error, "the server refused the report: refused with INVALID");
    session.ack(&second).await;
    assert_eq!(worker.stop().await.failed, 1);
}

#[tokio::test]
async fn a_result_too_large_for_a_message_fails_the_attempt_and_not_the_stream() {
    let desk = Desk::start().await;
    let large = async |_: Context| Ok(Payload { data: vec![0; 9 << 20].into(), ..Default::default() });
    let worker = start(builder(&desk).processor("large", large));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "large").await;
    let (id, _, outcome) = session.report().await;
    assert!(matches!(outcome, Outcome::Failed(Failed { permanent: true, .. })), "{outcome:?}");
    session.ack(&id).await;
    assert_eq!(worker.stop().await.failed, 1);
}

#[tokio::test]
async fn failures_panics_and_unknown_processors_are_reported() {
    let desk = Desk::start().await;
    let processors = builder(&desk)
        .processor("fails", async |_: Context| Err::<Payload, _>(ProcessError::failed("no luck")))
        .processor("never", async |_: Context| Err::<Payload, _>(ProcessError::permanent("no use")))
        .processor("later", async |_: Context| {
            Err::<Payload, _>(ProcessError::retry_after("busy", Duration::from_secs(7)))
        })
        .processor("errs", async |_: Context| Ok(payload(Err::<_, std::fmt::Error>(std::fmt::Error)?)))
        .processor("panics", async |_: Context| -> Result<Payload, ProcessError> { panic!("at the disco") });
    let worker = start(processors);
    let mut session = desk.open().await;
    let failed = |error: &str, permanent, retry_after: Option<u64>| {
        let retry_after = retry_after.and_then(|seconds| Duration::from_secs(seconds).try_into().ok());
        Outcome::Failed(Failed { error: error.to_owned(), permanent, retry_after })
    };
    for (processor, expected) in [
        ("fails", failed("no luck", false, None)),
        ("never", failed("no use", true, None)),
        ("later", failed("busy", false, Some(7))),
        ("errs", failed("an error occurred when formatting an argument", false, None)),
        ("panics", failed("the processor panicked: at the disco", false, None)),
        ("absent", failed("this worker has no processor \"absent\"", false, None)),
    ] {
        session.assign(processor, 1, processor).await;
        let (id, of, outcome) = session.report().await;
        assert_eq!((of, outcome), (attempt(processor, 1), expected));
        session.ack(&id).await;
    }
    assert_eq!(worker.stop().await.failed, 6);
}

#[tokio::test]
async fn a_cancelled_attempt_is_reported_once_it_has_stopped() {
    let desk = Desk::start().await;
    let stubborn = async |cx: Context| {
        cx.cancelled().await;
        Ok(payload("done all the same"))
    };
    let worker = start(builder(&desk).processor("stubborn", stubborn));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "until-cancelled").await;
    session.cancel("run-1", 1, Reason::Cancelled).await;
    let (id, _, outcome) = session.report().await;
    assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
    session.ack(&id).await;

    session.assign("run-2", 1, "stubborn").await;
    session.cancel("run-2", 1, Reason::Cancelled).await;
    let (id, _, outcome) = session.report().await;
    assert_eq!(outcome, succeeded("done all the same"));
    session.ack(&id).await;
    let summary = worker.stop().await;
    assert_eq!((summary.cancelled, summary.succeeded), (1, 1));
}

#[tokio::test]
async fn a_processor_that_does_not_stop_is_dropped() {
    let desk = Desk::start().await;
    let deaf = async |_: Context| std::future::pending::<Result<Payload, ProcessError>>().await;
    let worker = start(builder(&desk).cancel_timeout(Duration::from_millis(20)).processor("deaf", deaf));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "deaf").await;
    session.cancel("run-1", 1, Reason::Cancelled).await;
    let (id, _, outcome) = session.report().await;
    assert!(matches!(outcome, Outcome::Cancelled(_)), "{outcome:?}");
    session.ack(&id).await;
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_over_is_stopped_and_not_reported() {
    let desk = Desk::start().await;
    let stopped = Arc::new(AtomicUsize::new(0));
    let counter = stopped.clone();
    let worker = start(builder(&desk).processor("counts", move |cx: Context| {
        let counter = counter.clone();
        async move {
            cx.cancelled().await;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(payload("late"))
        }
    }));
    let mut session = desk.open().await;
    for (run_id, reason) in [("run-1", Reason::TimedOut), ("run-2", Reason::LeaseStale)] {
        session.assign(run_id, 1, "counts").await;
        session.cancel(run_id, 1, reason).await;
    }
    until("both to stop", || stopped.load(Ordering::SeqCst) == 2).await;
    // The next report is that of the next attempt: there was none of these two.
    session.assign("run-3", 1, "echo").await;
    let id = loop {
        match session.next().await {
            Some((_, Up::Credit(_))) => {}
            Some((id, Up::Report(report))) => {
                assert_eq!(report.run_id, "run-3");
                break id;
            }
            other => panic!("{other:?}"),
        }
    };
    session.ack(&id).await;
    assert_eq!(worker.stop().await, Summary { attempts: 3, succeeded: 1, stale: 2, ..Summary::default() });
}

#[tokio::test]
async fn a_later_attempt_of_the_same_run_stops_the_earlier_one() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "until-cancelled").await;
    session.assign("run-1", 2, "echo").await;
    let of = loop {
        match session.next().await {
            Some((_, Up::Credit(_))) => {}
            Some((id, Up::Report(report))) => {
                session.ack(&id).await;
                break report.attempt;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of, 2);
    assert_eq!(worker.stop().await.stale, 1);
}

#[tokio::test]
async fn a_stale_lease_in_an_acknowledgement_stops_the_attempt() {
    let desk = Desk::start().await;
    let writer = async |cx: Context| {
        cx.log(LogStream::Stdout, "hello").await;
        cx.cancelled().await;
        cx.log(LogStream::Stdout, vec![0; 1 << 20]).await;
        Ok(payload("late"))
    };
    let worker = start(builder(&desk).processor("writer", writer));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "writer").await;
    let (id, log) = session.log().await;
    assert_eq!(log.data, "hello");
    session.ack_refused(&id, &lease_stale()).await;
    let summary = worker.stop().await;
    assert_eq!(summary, Summary { attempts: 1, stale: 1, ..Summary::default() });
}

#[tokio::test]
async fn a_stale_report_is_dropped() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "echo").await;
    let (id, ..) = session.report().await;
    session.ack_refused(&id, &lease_stale()).await;
    assert_eq!(worker.stop().await, Summary { attempts: 1, stale: 1, ..Summary::default() });
}

#[tokio::test]
async fn the_log_comes_in_order_and_whole_before_the_report_whatever_is_refused_or_lost() {
    const BYTES: usize = 700 * 1024;
    let desk = Desk::start().await;
    let source: Arc<Vec<u8>> = Arc::new((0..BYTES).map(|index| (index % 251) as u8).collect());
    let data = source.clone();
    let worker = start(builder(&desk).processor("writer", move |cx: Context| {
        let data = data.clone();
        async move {
            for piece in data.chunks(5_000) {
                cx.log(LogStream::Stdout, piece).await;
            }
            Ok(payload("done"))
        }
    }));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "writer").await;
    let mut got = Vec::new();
    let mut count = 0;
    let (report_id, outcome) = loop {
        let (id, kind) = session.next().await.unwrap();
        let log = match kind {
            Up::Log(log) => log,
            Up::Report(report) => break (id, report.outcome.unwrap()),
            other => panic!("{other:?}"),
        };
        assert!(log.data.len() <= 64 * 1024);
        count += 1;
        if count % 7 == 3 {
            session.ack_refused(&id, &overloaded()).await;
            let (again, same) = session.log().await;
            assert_eq!((&again, &same), (&id, &log));
        }
        if count % 7 == 5 {
            drop(session);
            session = desk.open().await;
            let (again, same) = session.log().await;
            assert_eq!((&again, &same), (&id, &log), "the piece that was under way comes first");
        }
        got.extend_from_slice(&log.data);
        session.ack(&id).await;
    };
    assert!(count > 10, "{count}");
    assert_eq!(outcome, succeeded("done"));
    assert!(got == *source, "{} of {BYTES} bytes", got.len());
    session.ack(&report_id).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_writer_waits_while_its_log_is_not_acknowledged() {
    let desk = Desk::start().await;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let worker = start(builder(&desk).processor("writer", move |cx: Context| {
        let counter = counter.clone();
        async move {
            for _ in 0..100 {
                cx.log(LogStream::Stdout, vec![0; 10_000]).await;
                counter.fetch_add(10_000, Ordering::SeqCst);
            }
            Ok(payload("done"))
        }
    }));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "writer").await;
    let (id, log) = session.log().await;
    // The round trips of another attempt give the writer all the time that it could need.
    for round in 2..20 {
        session.assign("run-2", round, "echo").await;
        let (id, ..) = session.report().await;
        session.ack(&id).await;
    }
    assert!(written.load(Ordering::SeqCst) <= 256 * 1024, "{}", written.load(Ordering::SeqCst));
    let mut total = log.data.len();
    session.ack(&id).await;
    while let Some((id, kind)) = session.next().await {
        session.ack(&id).await;
        match kind {
            Up::Log(log) => total += log.data.len(),
            _ => break,
        }
    }
    assert_eq!(total, 1_000_000);
    worker.stop().await;
}

#[tokio::test]
async fn progress_arrives_and_the_last_word_counts() {
    let desk = Desk::start().await;
    let steps = async |cx: Context| {
        for step in 0..=1000 {
            cx.progress(f64::from(step) / 1000.0, format!("step {step}"));
        }
        cx.cancelled().await;
        Ok(payload("done"))
    };
    let worker = start(builder(&desk).processor("steps", steps));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "steps").await;
    let mut messages = 0;
    loop {
        match session.next().await {
            Some((_, Up::Progress(progress))) => {
                messages += 1;
                if progress.message == "step 1000" {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(messages < 10, "{messages} messages for what one could say");
    session.cancel("run-1", 1, Reason::Cancelled).await;
    let (id, ..) = session.report().await;
    session.ack(&id).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_silent_server_costs_the_lease_and_the_stream() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.accept().await;
    session.fall_silent();
    session.open(short_lease()).await;
    session.assign("run-1", 1, "until-cancelled").await;
    // What it says on a stream that it will give up does not matter: it says it again on the next one.
    while session.next().await.is_some() {}

    let session = desk.accept().await;
    assert_eq!(session.hello.held, [attempt("run-1", 1)], "its report is still to come");
    session.open(Opened { stale: vec![attempt("run-1", 1)], ..Opened::default() }).await;
    let summary = worker.stop().await;
    assert_eq!(summary, Summary { attempts: 1, stale: 1, ..Summary::default() });
}

#[tokio::test]
async fn a_lease_that_was_presumed_lost_and_was_not_is_given_back() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.accept().await;
    session.fall_silent();
    session.open(short_lease()).await;
    session.assign("run-1", 1, "until-cancelled").await;
    while session.next().await.is_some() {}

    let mut session = desk.open().await;
    let (id, _, outcome) = session.report().await;
    let Outcome::Released(Released { reason }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, "the worker lost touch with the server");
    session.ack(&id).await;
    assert_eq!(worker.stop().await.released, 1);
}

#[tokio::test]
async fn what_runs_goes_on_over_a_short_break() {
    let desk = Desk::start().await;
    let (finish, finished) = oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let worker = start(builder(&desk).processor("waits", move |cx: Context| {
        let finished = finished.lock().unwrap().take().unwrap();
        async move {
            finished.await.unwrap();
            assert!(!cx.is_cancelled());
            Ok(payload("done"))
        }
    }));
    let session = desk.open().await;
    session.assign("run-1", 1, "waits").await;
    session.send(Down::GoingAway(GoingAway::default())).await;
    let mut session = desk.open().await;
    assert_eq!(session.hello.held, [attempt("run-1", 1)]);
    finish.send(()).unwrap();
    let (id, _, outcome) = session.report().await;
    assert_eq!(outcome, succeeded("done"));
    session.ack(&id).await;
    worker.stop().await;
}

#[tokio::test]
async fn no_more_than_the_slots_run_at_a_time() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk).slots(1));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "until-cancelled").await;
    session.assign("run-2", 1, "echo").await;
    let (id, of, outcome) = session.report().await;
    assert_eq!(of.run_id, "run-2");
    assert!(matches!(outcome, Outcome::Released(_)), "{outcome:?}");
    session.ack(&id).await;
    session.cancel("run-1", 1, Reason::Cancelled).await;
    let (id, ..) = session.report().await;
    session.ack(&id).await;
    assert_eq!(worker.stop().await.attempts, 1);
}

#[tokio::test]
async fn a_processor_that_still_stops_costs_credit() {
    let desk = Desk::start().await;
    let (finish, finished) = oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let slow = move |_: Context| {
        let finished = finished.lock().unwrap().take().unwrap();
        async move {
            finished.await.unwrap();
            Ok(payload("late"))
        }
    };
    let worker = start(builder(&desk).processor("slow", slow));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "slow").await;
    session.cancel("run-1", 1, Reason::TimedOut).await;
    let mut finish = Some(finish);
    for expected in [3, 4] {
        match session.next().await {
            Some((_, Up::Credit(credit))) => assert_eq!(credit.slots, expected),
            other => panic!("{other:?}"),
        }
        if let Some(finish) = finish.take() {
            finish.send(()).unwrap();
        }
    }
    worker.stop().await;
}

#[tokio::test]
async fn draining_lets_what_runs_end() {
    let desk = Desk::start().await;
    let (finish, finished) = oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let waits = move |_: Context| {
        let finished = finished.lock().unwrap().take().unwrap();
        async move {
            finished.await.unwrap();
            Ok(payload("done"))
        }
    };
    let worker = start(builder(&desk).processor("waits", waits));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "waits").await;
    round_trip(&mut session).await;
    let (summary, ()) = tokio::join!(worker.stop(), async {
        assert!(matches!(session.next().await, Some((_, Up::Drain(_)))));
        session.assign("run-2", 1, "echo").await;
        let (id, of, outcome) = session.report().await;
        assert_eq!(of.run_id, "run-2");
        assert!(matches!(outcome, Outcome::Released(_)), "no new work while draining: {outcome:?}");
        session.ack(&id).await;
        // The stream breaks in the middle: the drain goes on over the next one, without credit.
        drop(session);
        let mut session = desk.open().await;
        assert_eq!((session.hello.slots, session.hello.held.len()), (0, 1));
        assert!(matches!(session.next().await, Some((_, Up::Drain(_)))));
        finish.send(()).unwrap();
        let (id, _, outcome) = session.report().await;
        assert_eq!(outcome, succeeded("done"));
        session.ack(&id).await;
        assert_eq!(session.next().await, None);
    });
    assert_eq!(summary, Summary { attempts: 2, succeeded: 2, released: 1, ..Summary::default() });
}

#[tokio::test]
async fn what_does_not_end_while_draining_is_given_back() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk).drain_timeout(Duration::from_millis(20)));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "until-cancelled").await;
    round_trip(&mut session).await;
    let (summary, ()) = tokio::join!(worker.stop(), async {
        assert!(matches!(session.next().await, Some((_, Up::Drain(_)))));
        let (id, _, outcome) = session.report().await;
        assert!(matches!(outcome, Outcome::Released(_)), "{outcome:?}");
        session.ack(&id).await;
    });
    assert_eq!(summary.released, 1);
}

#[tokio::test]
async fn an_idle_worker_without_a_server_ends_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::connect_lazy(Options::new(support::url(address))).unwrap();
    let echo = async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone());
    let worker = start(Worker::builder(client).processor("echo", echo));
    assert_eq!(worker.stop().await, Summary::default());
}

#[tokio::test]
async fn a_worker_that_may_not_work_says_so() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let forbidden = Refuse::new(Code::PermissionDenied, "FORBIDDEN").auth(AuthStatus::Forbidden);
    desk.accept().await.refuse(forbidden).await;
    let error = soon("the worker's end", worker.task).await.unwrap().unwrap_err();
    assert_eq!((error.reason(), error.auth_status()), (Some("FORBIDDEN"), AuthStatus::Forbidden));
}

#[tokio::test]
async fn a_server_that_drains_is_tried_again() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    desk.accept().await.refuse(Refuse::new(Code::Unavailable, "DRAINING")).await;
    let _session = desk.open().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_is_not_built_without_what_it_needs() {
    let client = Client::connect_lazy(Options::new("http://127.0.0.1:1")).unwrap();
    let echo = async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone());
    let bare = Worker::builder(client.clone()).build().unwrap_err();
    let slotless = Worker::builder(client).processor("echo", echo).slots(0).build().unwrap_err();
    assert_eq!((bare.kind(), slotless.kind()), (ErrorKind::Usage, ErrorKind::Usage));
}
