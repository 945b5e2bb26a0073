//! The stream of a worker: opening it, losing it, losing the lease with it, and renewing its credentials.

use crate::*;

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

fn secret() -> Credentials {
    Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() }
}

fn expired() -> Refuse {
    Refuse::new(Code::Unauthenticated, "CREDENTIALS_EXPIRED").auth(AuthStatus::Expired)
}

async fn say_expiring(session: &Session) {
    let auth = AuthResult { status: AuthStatus::Expiring.into(), ..Default::default() };
    session.send(Down::AuthNotice(AuthNotice { auth: Some(auth) })).await;
}

async fn reauthenticated(session: &mut Session) -> String {
    match session.next().await {
        Some((_, Up::Reauthenticate(Reauthenticate { token }))) => token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credentials_that_end_soon_are_renewed_on_the_open_stream() {
    let desk = Desk::start().await;
    let worker = start(builder_with(&desk, secret()));
    let mut session = desk.open().await;
    assert_eq!(session.bearer.as_deref(), Some("Bearer token-1"));
    say_expiring(&session).await;
    assert_eq!(reauthenticated(&mut session).await, "token-2");
    say_expiring(&session).await;
    round_trip(&mut session).await;
    assert_eq!(desk.tokens.tokens().len(), 2, "a token that is fresh is not renewed");
    worker.stop().await;
}

#[tokio::test]
async fn tokens_that_live_shorter_than_the_warning_are_renewed_in_their_own_time() {
    let desk = Desk::start().await;
    let lifetime = Duration::from_millis(500);
    desk.tokens.token_lifetime(lifetime);
    let worker = start(builder_with(&desk, secret()));
    let mut session = desk.open().await;
    say_expiring(&session).await;
    assert_eq!(reauthenticated(&mut session).await, "token-2");
    let fresh = Instant::now();
    say_expiring(&session).await;
    assert_eq!(reauthenticated(&mut session).await, "token-3");
    assert!(fresh.elapsed() >= lifetime / 2, "{:?}", fresh.elapsed());
    worker.stop().await;
}

#[tokio::test]
async fn credentials_that_are_refused_at_the_opening_are_renewed_once() {
    let desk = Desk::start().await;
    let worker = start(builder_with(&desk, secret()));
    desk.accept().await.refuse(expired()).await;
    let session = desk.accept().await;
    assert_eq!(session.bearer.as_deref(), Some("Bearer token-2"));
    session.refuse(expired()).await;
    let error = soon("the worker's end", worker.task).await.unwrap().unwrap_err();
    assert_eq!(error.auth_status(), AuthStatus::Expired);
    assert_eq!(desk.tokens.tokens().len(), 2);
}

#[tokio::test]
async fn a_stream_that_no_semel_server_opened_is_none() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let session = desk.accept().await;
    session.send_bare(Down::Opened(Opened::default())).await;
    let mut session = desk.open().await;
    round_trip(&mut session).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_goes_away_leaves_no_processor_behind() {
    let desk = Desk::start().await;
    let alive = Arc::new(());
    let held = alive.clone();
    let worker = start(builder(&desk).processor("holds", move |cx: Context| {
        let held = held.clone();
        async move {
            let _held = held;
            cx.log(LogStream::Stdout, "here").await;
            std::future::pending::<Result<Payload, ProcessError>>().await
        }
    }));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "holds").await;
    session.log().await;
    worker.task.abort();
    until("the processor to be dropped", || Arc::strong_count(&alive) == 1).await;
}
