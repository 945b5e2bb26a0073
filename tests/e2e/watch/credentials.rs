//! The credentials of a watch: it is told before they end, told when they have, and ends. Whoever goes on with fresh ones and
//! the token has missed nothing.

use semel_client::v1::{self, AuthStatus, WatchRequest, watch_response::Kind};
use semel_core::id::Millis;
use semel_server::clock::ManualClock;
use tonic::Code;

use super::{run, with_apps};
use crate::e2e::{
    harness::TestServer,
    raw_watcher::{End, RawWatcher, of, resumed, run_of},
    wire::{PayByWire, Refused, Wire, fresh, seconds},
};

async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

async fn token(pay: &PayByWire, lifetime: i64) -> v1::IssueTokenResponse {
    let request = v1::IssueTokenRequest { lifetime: seconds(lifetime), ..Default::default() };
    pay.pay.served("", request).await
}

/// The stream says this of the credentials, and then ends with it.
fn assert_ended(end: End, code: Code, reason: &str, status: AuthStatus) {
    let Some(Kind::AuthNotice(notice)) = end.last else { panic!("no notice before the end: {end:?}") };
    assert_eq!(notice.auth.expect("a verdict").status(), status);
    Refused::of(&end.status.expect_err("it ends with a refusal")).expect_with(code, reason, status);
}

#[tokio::test]
async fn a_watch_opens_only_with_good_credentials() {
    let pay = PayByWire::start().await;
    for (wire, reason, status) in [
        (pay.nobody.clone(), "CREDENTIALS_MISSING", AuthStatus::Missing),
        (pay.nobody.bearer("rubbish"), "CREDENTIALS_MALFORMED", AuthStatus::Malformed),
    ] {
        let refused = RawWatcher::open(&wire, of("pay")).await.err().expect("it is refused");
        Refused::of(&refused).expect_with(Code::Unauthenticated, reason, status);
    }
}

#[tokio::test]
async fn a_watcher_is_warned_then_told_that_its_token_has_ended_and_misses_nothing_with_a_fresh_one() {
    let (pay, clock) = still().await;
    let mut watcher = RawWatcher::watch(&pay.nobody.bearer(&token(&pay, 300).await.token), of("pay")).await;
    let first = run(&pay.pay, "settle").await;
    assert_eq!(run_of(&watcher.event().await).run_id, first);
    clock.advance(Millis::from_secs(250));
    let notice = watcher.notice().await;
    assert_eq!((notice.status(), notice.expire_time.is_some()), (AuthStatus::Expiring, true));
    let second = run(&pay.pay, "settle").await;
    assert_eq!(run_of(&watcher.event().await).run_id, second, "a warning holds nothing up");
    clock.advance(Millis::from_secs(50));
    assert_ended(watcher.end().await, Code::Unauthenticated, "CREDENTIALS_EXPIRED", AuthStatus::Expired);
    assert!(watcher.kept().is_empty());
    let missed = run(&pay.pay, "settle").await;
    let fresh = pay.nobody.bearer(&token(&pay, 300).await.token);
    let mut watcher = RawWatcher::watch(&fresh, resumed(&of("pay"), &watcher.token)).await;
    assert_eq!(run_of(&watcher.event().await).run_id, missed);
}

#[tokio::test]
async fn a_revoked_token_ends_its_watch_within_seconds_and_no_other() {
    let pay = PayByWire::start().await;
    let issued = token(&pay, 3600).await;
    let mut watcher = RawWatcher::watch(&pay.nobody.bearer(&issued.token), of("pay")).await;
    let mut other = RawWatcher::watch(&pay.nobody.bearer(&token(&pay, 3600).await.token), of("pay")).await;
    let target = Some(v1::revoke_token_request::Target::TokenId(issued.token_id));
    pay.pay.served(&fresh(), v1::RevokeTokenRequest { target, ..Default::default() }).await;
    assert_ended(watcher.end().await, Code::Unauthenticated, "CREDENTIALS_REVOKED", AuthStatus::Revoked);
    let run_id = run(&pay.pay, "settle").await;
    assert_eq!(run_of(&other.event().await).run_id, run_id);
}

#[tokio::test]
async fn a_rotated_secret_ends_the_watches_that_were_opened_with_the_old_one() {
    let pay = PayByWire::start().await;
    let mut watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    let rotate = v1::RotateAppSecretRequest { app: "pay".to_owned(), grace: seconds(0), ..Default::default() };
    pay.admin.served(&fresh(), rotate).await;
    let end = watcher.end().await;
    let Some(Kind::AuthNotice(notice)) = &end.last else { panic!("no notice: {end:?}") };
    let status = notice.auth.as_ref().expect("a verdict").status();
    assert!(matches!(status, AuthStatus::Invalid | AuthStatus::Expired), "{status:?}");
    assert_eq!(end.status.expect_err("it ends").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_watch_ends_when_a_grant_that_it_rests_on_is_taken_back() {
    let server = TestServer::start().await;
    let (admin, [a, _b]) = with_apps(&server, ["a", "b"]).await;
    let viewer = |apps: &str| v1::Grant { role: v1::Role::Viewer.into(), apps: apps.to_owned() };
    let eye =
        v1::CreateAppRequest { app: "eye".to_owned(), grants: vec![viewer("a"), viewer("b")], ..Default::default() };
    let eye = Wire::to(&server.endpoint()).await.bearer(&admin.served(&fresh(), eye).await.secret);
    let mut both = RawWatcher::watch(&eye, WatchRequest { apps: vec!["*".to_owned()], ..Default::default() }).await;
    let mut of_a = RawWatcher::watch(&eye, of("a")).await;
    let mut of_b = RawWatcher::watch(&eye, of("b")).await;
    let update = v1::UpdateAppRequest { app: "eye".to_owned(), grants: vec![viewer("a")], ..Default::default() };
    admin.served(&fresh(), update).await;
    assert_ended(both.end().await, Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    assert_ended(of_b.end().await, Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    let run_id = run(&a, "settle").await;
    assert_eq!(run_of(&of_a.event().await).run_id, run_id, "what is still allowed goes on");
}

#[tokio::test]
async fn the_watches_of_a_deleted_app_end() {
    let pay = PayByWire::start().await;
    let create = v1::CreateAppRequest { app: "gone".to_owned(), ..Default::default() };
    let secret = pay.admin.served(&fresh(), create).await.secret;
    let mut watcher = RawWatcher::watch(&pay.nobody.bearer(&secret), of("gone")).await;
    pay.admin.served(&fresh(), v1::DeleteAppRequest { app: "gone".to_owned(), ..Default::default() }).await;
    assert_ended(watcher.end().await, Code::Unauthenticated, "CREDENTIALS_INVALID", AuthStatus::Invalid);
}
