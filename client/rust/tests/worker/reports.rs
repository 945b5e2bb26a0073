//! Attempts and their reports: under which id they are sent, how often, and what they say.

use crate::*;

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
async fn a_report_waits_as_long_as_the_server_asks() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "echo").await;
    let (id, ..) = session.report().await;
    let delay = Duration::from_millis(300);
    let refused_at = Instant::now();
    session.ack_refused(&id, &overloaded().after(delay)).await;
    assert_eq!(session.report().await.0, id);
    assert!(refused_at.elapsed() >= delay, "{:?}", refused_at.elapsed());
    session.ack(&id).await;
    worker.stop().await;
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
