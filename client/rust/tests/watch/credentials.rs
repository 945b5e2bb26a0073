//! Credentials that end while a watch goes on.

use crate::*;

fn expired() -> Refuse {
    Refuse::new(Code::Unauthenticated, "CREDENTIALS_EXPIRED").auth(AuthStatus::Expired)
}

#[tokio::test]
async fn credentials_are_renewed_before_they_end_and_the_watch_goes_on_over_another_stream() {
    let tower = Tower::start().await;
    tower.tokens.token_lifetime(Duration::from_millis(300));
    let mut watch = client_with(&tower, secret()).watch(WatchOptions::new());
    let post = tower.open("A").await;
    tower.tokens.token_lifetime(Duration::from_secs(3600));
    assert_eq!(post.bearer.as_deref(), Some("Bearer token-1"));
    opened(&mut watch).await;
    post.events("B", &[6]).await;

    let fresh = tower.open("B").await;
    assert_eq!((fresh.bearer.as_deref(), fresh.start()), (Some("Bearer token-2"), token("B")));
    post.left().await;
    fresh.events("C", &[6, 7]).await;
    assert_eq!(revisions(&mut watch, 2).await, [6, 7]);
}

#[tokio::test]
async fn a_server_that_says_that_they_end_soon_is_believed() {
    let tower = Tower::start().await;
    tower.tokens.token_lifetime(Duration::ZERO);
    let mut watch = client_with(&tower, secret()).watch(WatchOptions::new());
    let post = tower.accept().await;
    tower.tokens.token_lifetime(Duration::from_secs(3600));
    post.say("A", Kind::Opened(WatchOpened { revision: 5, oldest_revision: 1, ..WatchOpened::default() })).await;
    opened(&mut watch).await;
    post.notice("A", AuthStatus::Expiring).await;
    let fresh = tower.open("A").await;
    assert_eq!(fresh.bearer.as_deref(), Some("Bearer token-2"));
    // A token that is fresh is not renewed, whatever the server takes for soon.
    fresh.notice("A", AuthStatus::Expiring).await;
    fresh.events("B", &[6]).await;
    assert_eq!(revisions(&mut watch, 1).await, [6]);
    assert_eq!(tower.tokens.tokens().len(), 2);
}

#[tokio::test]
async fn in_the_middle_of_a_snapshot_the_fresh_ones_wait_for_its_end() {
    let tower = Tower::start().await;
    tower.tokens.token_lifetime(Duration::from_millis(100));
    let mut watch = client_with(&tower, secret()).watch(WatchOptions::new().snapshot(SnapshotScope::Live));
    let post = tower.open("").await;
    tower.tokens.token_lifetime(Duration::from_secs(3600));
    opened(&mut watch).await;
    until("a fresh token", || tower.tokens.tokens().len() == 2).await;
    assert!(post.rows(&["a"]).await, "the stream is not given up");
    post.say("A", Kind::SnapshotEnd(WatchSnapshotEnd { revision: 8 })).await;
    let fresh = tower.open("A").await;
    assert_eq!((fresh.bearer.as_deref(), fresh.start()), (Some("Bearer token-2"), token("A")));
}

#[tokio::test]
async fn credentials_that_have_ended_are_renewed_once_and_nothing_is_lost() {
    let tower = Tower::start().await;
    let mut watch = client_with(&tower, secret()).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.notice("B", AuthStatus::Expired).await;
    post.refuse(expired()).await;
    let post = tower.open("B").await;
    assert_eq!((post.bearer.as_deref(), post.start()), (Some("Bearer token-2"), token("B")));
    post.events("C", &[9]).await;
    assert_eq!(revisions(&mut watch, 1).await, [9]);
    post.refuse(expired()).await;
    tower.accept().await.refuse(expired()).await;
    assert_eq!(end(&mut watch).await.auth_status(), AuthStatus::Expired);
    assert_eq!(tower.tokens.tokens().len(), 3);
}

#[tokio::test]
async fn who_cannot_renew_them_is_told_in_time() {
    let tower = Tower::start().await;
    let fixed = Credentials::Token("token-of-somebody".to_owned());
    let mut watch = client_with(&tower, fixed).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.notice("B", AuthStatus::Expiring).await;
    let item = next(&mut watch).await;
    assert!(matches!(item.told, Told::CredentialsExpiring { .. }) && text(&item) == "B", "{item:?}");
    post.notice("C", AuthStatus::Expired).await;
    post.refuse(expired()).await;
    assert_eq!(end(&mut watch).await.reason(), Some("CREDENTIALS_EXPIRED"));
}

#[tokio::test]
async fn a_secret_that_is_no_longer_good_ends_it() {
    let tower = Tower::start().await;
    let mut watch = client_with(&tower, secret()).watch(WatchOptions::new());
    let post = tower.open("A").await;
    opened(&mut watch).await;
    let invalid = Refuse::new(Code::Unauthenticated, "CREDENTIALS_INVALID").auth(AuthStatus::Invalid);
    tower.tokens.token_script([support::calls::Step::Refuse(invalid)]);
    post.refuse(expired()).await;
    assert_eq!(end(&mut watch).await.reason(), Some("CREDENTIALS_INVALID"));
}
