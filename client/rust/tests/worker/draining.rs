//! The end of a worker.

use crate::*;

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
    let (_port, address) = support::nobody();
    let client = Client::connect_lazy(Options::new(support::url(address))).unwrap();
    let echo = async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone());
    let worker = start(Worker::builder(client).processor("echo", echo));
    assert_eq!(worker.stop().await, Summary::default());
}

#[tokio::test]
async fn work_that_was_under_way_when_the_drain_began_is_given_back_and_not_left_to_its_lease() {
    let desk = Desk::start().await;
    let worker = start(builder(&desk));
    let mut session = desk.open().await;
    round_trip(&mut session).await;
    session.fall_silent();
    let (summary, ()) = tokio::join!(worker.stop(), async {
        assert!(matches!(session.next().await, Some((_, Up::Drain(_)))));
        session.assign("run-1", 1, "echo").await;
        session.send(Down::HeartbeatAck(HeartbeatAck::default())).await;
        let (id, of, outcome) = session.report().await;
        assert_eq!(of.run_id, "run-1");
        assert!(matches!(outcome, Outcome::Released(_)), "{outcome:?}");
        session.ack(&id).await;
        assert_eq!(session.next().await, None);
    });
    assert_eq!(summary.released, 1);
}
