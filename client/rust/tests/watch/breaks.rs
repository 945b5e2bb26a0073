//! Streams that are lost, by whatever: no event twice, and no gap.

use crate::*;

#[tokio::test]
async fn it_goes_on_behind_the_last_token_whatever_ends_a_stream() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let mut post = tower.open("A0").await;
    assert_eq!((post.request.app.as_str(), post.start()), ("pay", None));
    opened(&mut watch).await;
    let ends = [
        Status::unavailable("upstream reset"),
        Status::internal("stream reset"),
        Status::cancelled("a mesh"),
        Status::deadline_exceeded("a proxy's longest stream"),
    ];
    for (number, status) in ends.into_iter().enumerate() {
        let revision = i64::try_from(number).unwrap() + 10;
        let place = format!("A{revision}");
        post.events(&place, &[revision]).await;
        assert_eq!(revisions(&mut watch, 1).await, [revision]);
        post.fail(status).await;
        lost(&mut watch).await;
        post = tower.open(&place).await;
        assert_eq!(post.start(), token(&place));
        opened(&mut watch).await;
    }
    drop(post);
    let error = lost(&mut watch).await;
    assert_eq!(error.kind(), ErrorKind::Transport, "an end without a word is none: {error}");
}

#[tokio::test]
async fn a_break_in_the_middle_of_a_revision_neither_doubles_nor_loses() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[6]).await;
    post.events("", &[7, 8, 8]).await;
    assert_eq!(revisions(&mut watch, 4).await, [6, 7, 8, 8]);
    post.fail(Status::unavailable("")).await;
    lost(&mut watch).await;

    let post = tower.open("B").await;
    assert_eq!(post.start(), token("B"));
    opened(&mut watch).await;
    post.events("", &[7, 8, 8, 8]).await;
    post.events("C", &[8, 9]).await;
    assert_eq!(revisions(&mut watch, 3).await, [8, 8, 9]);
    assert_eq!(watch.resume_token().unwrap().to_string(), "C");
}

#[tokio::test]
async fn what_is_delivered_again_is_told_once() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[6, 7, 7]).await;
    assert_eq!(revisions(&mut watch, 3).await, [6, 7, 7]);
    post.fail(Status::unavailable("")).await;
    lost(&mut watch).await;
    // As a server does that gave a token too early, or a proxy that plays back.
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[6, 7, 7]).await;
    post.events("C", &[7, 7, 8]).await;
    assert_eq!(revisions(&mut watch, 1).await, [8]);
}

#[tokio::test]
async fn a_program_that_stopped_in_the_middle_of_a_message_goes_on_with_the_next_event() {
    let tower = Tower::start().await;
    let client = client(&tower);
    let mut watch = client.watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[6, 6, 7]).await;
    next(&mut watch).await;
    let stored = text(&next(&mut watch).await);
    drop(watch);
    post.left().await;

    let mut watch = client.watch(WatchOptions::new().resume(stored.parse().unwrap()));
    assert_eq!(watch.resume_token().unwrap().to_string(), stored, "also before anything came");
    let post = tower.open("A").await;
    assert_eq!(post.start(), token("A"));
    opened(&mut watch).await;
    post.events("B", &[6, 6, 7]).await;
    assert_eq!(revisions(&mut watch, 1).await, [7]);
}

#[tokio::test]
async fn a_server_that_goes_away_is_followed_at_once_and_nobody_has_to_know() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.say("B", Kind::GoingAway(GoingAway::default())).await;
    let next_post = tower.open("B").await;
    assert_eq!(next_post.start(), token("B"));
    post.left().await;
    next_post.events("C", &[9]).await;
    assert_eq!(revisions(&mut watch, 1).await, [9]);
}

#[tokio::test]
async fn a_server_that_goes_away_may_ask_for_some_time() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    let asked = Instant::now();
    let wait = Duration::from_millis(100);
    post.say("B", Kind::GoingAway(GoingAway { reconnect_after: wait.try_into().ok() })).await;
    tower.open("B").await;
    assert!(asked.elapsed() >= wait, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.accept().await;
    let interval = Duration::from_millis(20).try_into().ok();
    post.say("A", Kind::Opened(WatchOpened { progress_interval: interval, ..WatchOpened::default() })).await;
    next(&mut watch).await;
    post.say("B", Kind::Progress(WatchProgress { revision: 6 })).await;
    assert!(matches!(next(&mut watch).await.told, Told::Progress { revision: 6 }));
    lost(&mut watch).await;
    let next_post = tower.open("B").await;
    assert_eq!(next_post.start(), token("B"));
    post.left().await;
}

#[tokio::test]
async fn what_a_later_server_tells_comes_through_or_is_passed_over() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.say_raw(WatchResponse { header: None, resume_token: "X".to_owned(), kind: None }).await;
    let unknown = Event { kind: 999, subject: None, ..event(6) };
    post.say("B", Kind::Events(WatchEvents { events: vec![unknown], more: false })).await;
    let item = next(&mut watch).await;
    assert_eq!((item.event().unwrap().kind, text(&item)), (999, "B".to_owned()));
}

#[tokio::test]
async fn a_watch_that_is_dropped_ends_its_stream() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    drop(watch);
    post.left().await;
}

#[tokio::test]
async fn what_binds_ends_it_with_the_typed_error() {
    for refuse in [
        Refuse::new(Code::PermissionDenied, "FORBIDDEN").auth(AuthStatus::Forbidden),
        Refuse::new(Code::Unauthenticated, "CREDENTIALS_REVOKED").auth(AuthStatus::Revoked),
        Refuse::new(Code::InvalidArgument, "INVALID").violation("resume_token", "is of another store"),
    ] {
        let tower = Tower::start().await;
        let mut watch = client(&tower).watch(WatchOptions::new());
        let post = tower.open("A").await;
        opened(&mut watch).await;
        post.refuse(refuse.clone()).await;
        let error = end(&mut watch).await;
        assert_eq!((error.reason(), error.auth_status()), (Some(refuse.reason), refuse.auth));
        assert_eq!(watch.resume_token().unwrap().to_string(), "A", "where to go on is still known");
    }
}

#[tokio::test]
async fn a_first_stream_that_does_not_come_about_is_an_error_in_time() {
    let nobody = Options::new("http://127.0.0.1:9").overall_timeout(Duration::from_millis(50));
    let mut watch = Client::connect_lazy(nobody).unwrap().watch(WatchOptions::new());
    assert_eq!(end(&mut watch).await.kind(), ErrorKind::Transport);

    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    tower.accept().await.refuse(Refuse::new(Code::Unavailable, "DRAINING")).await;
    let _post = tower.open("A").await;
    opened(&mut watch).await;
}

#[tokio::test]
async fn a_stream_that_no_semel_server_opened_is_none() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new());
    for _ in 0..3 {
        let post = tower.accept().await;
        let kind = Some(Kind::Opened(WatchOpened::default()));
        post.say_raw(WatchResponse { header: None, resume_token: "A".to_owned(), kind }).await;
    }
    assert_eq!(end(&mut watch).await.kind(), ErrorKind::NotSemel);
}
