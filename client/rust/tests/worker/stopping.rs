//! Attempts that are told to stop, or are over: what is reported of them, and what is not.

use crate::*;

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
