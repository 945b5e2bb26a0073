//! The credentials of a stream: told before they end, renewed on the stream, and its end when they have ended.

use semel_client::v1::{self, AuthStatus, work_request::Kind, work_response};
use semel_core::id::Millis;
use tonic::Code;

use crate::e2e::{
    crew::PayByClient,
    harness::{job, spec},
    raw_worker::{RawWorker, hello, succeeded},
    wire::{Refused, seconds},
};

async fn token(pay: &PayByClient, lifetime: i64) -> v1::IssueTokenResponse {
    let request = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        lifetime: seconds(lifetime),
        ..Default::default()
    };
    pay.client.issue_token(request).await.expect("a token")
}

/// The stream ends with these words: first in a message, then in its status.
async fn assert_ends(worker: &mut RawWorker, code: Code, status: AuthStatus, because: &str) {
    worker.expect(status);
    let (last, ended) = worker.end().await;
    Refused::of(&ended.expect_err("it ends with a refusal")).expect_with(code, because, status);
    let Some(work_response::Kind::AuthNotice(notice)) = last.last() else {
        panic!("no notice before the end: {last:?}")
    };
    assert_eq!(notice.auth.as_ref().expect("a verdict").status(), status);
}

#[tokio::test]
async fn a_stream_says_that_its_token_ends_and_ends_with_it() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    let issued = token(&pay, 300).await;
    let mut worker = pay.worker_with(&issued.token, hello("p", 1)).await;
    assert!(worker.unasked().await.is_empty());
    clock.advance(Millis::from_secs(250));
    let notice = worker.notice().await;
    assert_eq!((notice.status(), notice.expire_time), (AuthStatus::Expiring, issued.expire_time));
    clock.advance(Millis::from_secs(50));
    assert_ends(&mut worker, Code::Unauthenticated, AuthStatus::Expired, "CREDENTIALS_EXPIRED").await;
}

#[tokio::test]
async fn a_stream_goes_on_with_fresh_credentials() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker_with(&token(&pay, 100).await.token, hello("p", 1)).await;
    clock.advance(Millis::from_secs(50));
    assert_eq!(worker.notice().await.status(), AuthStatus::Expiring);
    let renewed = token(&pay, 3600).await;
    worker.say(Kind::Reauthenticate(v1::Reauthenticate { token: renewed.token })).await;
    worker.beat().await;
    clock.advance(Millis::from_secs(100));
    worker.beat().await;
    pay.submit("settle").await;
    let work = worker.assignment().await;
    let header = worker.report(succeeded(&work, "")).await;
    let auth = header.auth.expect("a verdict");
    assert_eq!((auth.status(), auth.expire_time), (AuthStatus::Passed, renewed.expire_time));
}

#[tokio::test]
async fn bad_fresh_credentials_end_the_stream() {
    let pay = PayByClient::start().await;
    for (bad, code, status, because) in [
        ("garbage".to_owned(), Code::Unauthenticated, AuthStatus::Malformed, "CREDENTIALS_MALFORMED"),
        (narrow(&pay).await, Code::PermissionDenied, AuthStatus::Forbidden, "FORBIDDEN"),
    ] {
        let mut worker = pay.worker_with(&token(&pay, 3600).await.token, hello("p", 1)).await;
        worker.say(Kind::Reauthenticate(v1::Reauthenticate { token: bad })).await;
        assert_ends(&mut worker, code, status, because).await;
    }
}

async fn narrow(pay: &PayByClient) -> String {
    let request = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        roles: vec![v1::Role::Viewer.into()],
        ..Default::default()
    };
    pay.client.issue_token(request).await.expect("a token").token
}

#[tokio::test]
async fn a_revoked_token_ends_the_stream_and_the_others_go_on() {
    let pay = PayByClient::start().await;
    let issued = token(&pay, 3600).await;
    let mut worker = pay.worker_with(&issued.token, hello("p", 1)).await;
    let mut other = pay.worker_with(&token(&pay, 3600).await.token, hello("p", 1)).await;
    let target = Some(v1::revoke_token_request::Target::TokenId(issued.token_id));
    let request = v1::RevokeTokenRequest { target, ..Default::default() };
    pay.client.revoke_token(request).await.expect("revoked");
    assert_ends(&mut worker, Code::Unauthenticated, AuthStatus::Revoked, "CREDENTIALS_REVOKED").await;
    other.beat().await;
    let _ = pay.client.check_auth(v1::CheckAuthRequest::default()).await.expect("the client goes on");
}

#[tokio::test]
async fn an_app_that_loses_the_right_to_work_loses_its_stream() {
    let pay = PayByClient::start().await;
    let helper = pay.server.app("helper").await;
    let admin = pay.server.admin().await;
    let grants = |role: v1::Role| v1::Grant { role: role.into(), apps: "pay".to_owned() };
    let update =
        |role| v1::UpdateAppRequest { app: "helper".to_owned(), grants: vec![grants(role)], ..Default::default() };
    admin.update_app(update(v1::Role::Worker)).await.expect("granted");
    let mut worker = pay.worker_with(&helper, hello("p", 1)).await;
    worker.beat().await;
    admin.update_app(update(v1::Role::Viewer)).await.expect("changed");
    assert_ends(&mut worker, Code::PermissionDenied, AuthStatus::Forbidden, "FORBIDDEN").await;
}
