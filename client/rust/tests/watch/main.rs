//! A watch against a server that each test plays by hand: reconnects, credentials, gaps, and a program that is slow.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod breaks;
mod credentials;
mod slow;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod waits;

use std::time::{Duration, Instant};

use semel_client::{
    Client, Code, Credentials, Error, ErrorKind, Options, RetryOptions, WatchOptions,
    v1::{
        AuthStatus, Event, GoingAway, SnapshotScope, WatchEvents, WatchOpened, WatchProgress, WatchResponse,
        WatchSnapshotEnd, watch_request::Start, watch_response::Kind,
    },
    watch::{Item, SnapshotCause, Told, Watch},
};
use support::{
    PATIENCE,
    refusals::Refuse,
    soon, until,
    watch::{Post, Tower, event},
};
use tonic::Status;

pub(crate) fn client_with(tower: &Tower, credentials: Credentials) -> Client {
    let retry = RetryOptions {
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(10),
        ..RetryOptions::default()
    };
    let options = Options::new(support::url(tower.address)).app("pay").credentials(credentials);
    Client::connect_lazy(options.retry(retry).overall_timeout(PATIENCE)).unwrap()
}

pub(crate) fn client(tower: &Tower) -> Client {
    client_with(tower, Credentials::None)
}

pub(crate) fn secret() -> Credentials {
    Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() }
}

/// The next item.
pub(crate) async fn next(watch: &mut Watch) -> Item {
    soon("an item", watch.next()).await.expect("the watch goes on").unwrap()
}

/// The error with which it ends.
pub(crate) async fn end(watch: &mut Watch) -> Error {
    let error = soon("the end", watch.next()).await.expect("an error").unwrap_err();
    assert!(soon("the end", watch.next()).await.is_none(), "nothing comes after an error");
    error
}

/// The next items, which have to be events: their revisions.
pub(crate) async fn revisions(watch: &mut Watch, count: usize) -> Vec<i64> {
    let mut revisions = Vec::new();
    while revisions.len() < count {
        let item = next(watch).await;
        revisions.push(item.event().unwrap_or_else(|| panic!("an event was to come, not {:?}", item.told)).revision);
    }
    revisions
}

pub(crate) async fn opened(watch: &mut Watch) {
    let item = next(watch).await;
    assert!(matches!(item.told, Told::Opened { revision: 5, oldest_revision: 1 }), "{:?}", item.told);
}

pub(crate) async fn lost(watch: &mut Watch) -> Error {
    match next(watch).await.told {
        Told::Lost(error) => error,
        other => panic!("the loss was to be told, not {other:?}"),
    }
}

pub(crate) fn token(text: &str) -> Option<Start> {
    Some(Start::ResumeToken(text.to_owned()))
}

pub(crate) fn text(item: &Item) -> String {
    item.resume_token().unwrap().to_string()
}
