//! The credentials of a stream of runs: judged as it opens, before every message, and renewed on it. What comes after
//! their end is refused and not executed.

use semel_client::v1::{self, AuthStatus, Disposition};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::Millis,
};
use semel_server::{auth::Mode, clock::ManualClock};
use tonic::Code;

use crate::e2e::{
    harness::{MODES, TestServer, run_job},
    raw_submitter::{RawSubmitter, ids, item, items, refusal_of, under},
    valve::{Valve, Which},
    wire::{PayByWire, Refused, fresh, seconds},
};

async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

async fn token(pay: &PayByWire, lifetime: i64) -> v1::IssueTokenResponse {
    let request = v1::IssueTokenRequest { lifetime: seconds(lifetime), ..Default::default() };
    pay.pay.served("", request).await
}

/// The stream ends with these words: those of the items are in `results`, then comes a notice, then the status.
async fn assert_ends(submitter: &mut RawSubmitter, status: AuthStatus, reason: &str) -> Vec<v1::SubmitResult> {
    let (results, end) = submitter.end().await;
    Refused::of(&end.expect_err("it ends with a refusal")).expect_with(Code::Unauthenticated, reason, status);
    assert_eq!(submitter.notice().await.status(), status);
    results
}

#[tokio::test]
async fn a_stream_opens_only_with_good_credentials() {
    let (pay, clock) = still().await;
    let issued = token(&pay, 60).await;
    clock.advance(Millis::from_secs(60));
    for (wire, reason, status) in [
        (pay.nobody.clone(), "CREDENTIALS_MISSING", AuthStatus::Missing),
        (pay.nobody.bearer("rubbish"), "CREDENTIALS_MALFORMED", AuthStatus::Malformed),
        (pay.nobody.bearer(&issued.token), "CREDENTIALS_EXPIRED", AuthStatus::Expired),
    ] {
        let status_of = RawSubmitter::open(&wire).await.err().expect("it does not open");
        Refused::of(&status_of).expect_with(Code::Unauthenticated, reason, status);
    }
}

#[tokio::test]
async fn what_comes_after_the_end_of_a_token_is_refused_and_goes_on_elsewhere_under_its_ids() {
    let (pay, clock) = still().await;
    let mut submitter = RawSubmitter::open(&pay.nobody.bearer(&token(&pay, 300).await.token)).await.expect("opens");
    let ids = ids(6);
    submitter.send(items(&ids[..3])).await;
    for id in &ids[..3] {
        submitter.served(id).await;
    }
    clock.advance(Millis::from_secs(250));
    let notice = submitter.notice().await;
    assert_eq!(notice.status(), AuthStatus::Expiring);
    clock.advance(Millis::from_secs(50));
    submitter.send(items(&ids[3..])).await;
    let results = assert_ends(&mut submitter, AuthStatus::Expired, "CREDENTIALS_EXPIRED").await;
    // The end may have come before the message, which then has no answer.
    if !results.is_empty() {
        assert_eq!(results.len(), 3);
        for (result, id) in results.into_iter().zip(&ids[3..]) {
            let refused = refusal_of(result, id);
            refused.expect_with(Code::Unauthenticated, "CREDENTIALS_EXPIRED", AuthStatus::Expired);
        }
    }
    assert_eq!(pay.pay.runs().await.len(), 3, "nothing was executed");

    let mut submitter = RawSubmitter::open(&pay.nobody.bearer(&token(&pay, 300).await.token)).await.expect("opens");
    submitter.send(items(&ids)).await;
    for (number, id) in ids.iter().enumerate() {
        let expected = if number < 3 { Disposition::Replayed } else { Disposition::Executed };
        assert_eq!(submitter.served(id).await.disposition(), expected);
    }
    assert_eq!(pay.pay.runs().await.len(), ids.len());
}

#[tokio::test]
async fn a_stream_goes_on_with_fresh_credentials() {
    let (pay, clock) = still().await;
    let mut submitter = RawSubmitter::open(&pay.nobody.bearer(&token(&pay, 300).await.token)).await.expect("opens");
    submitter.submit(&fresh()).await;
    submitter.reauthenticate(&token(&pay, 3600).await.token).await;
    submitter.submit(&fresh()).await;
    clock.advance(Millis::from_secs(1800));
    submitter.submit(&fresh()).await;
    // In one message with items: they are under the fresh ones.
    let (token, id) = (token(&pay, 7200).await.token, fresh());
    let reauthenticate = Some(v1::Reauthenticate { token });
    submitter.say(v1::SubmitRunsRequest { runs: vec![item(&id)], reauthenticate, ..Default::default() }).await;
    submitter.served(&id).await;
    clock.advance(Millis::from_secs(3600));
    submitter.submit(&fresh()).await;
}

#[tokio::test]
async fn bad_fresh_credentials_end_the_stream_and_what_came_with_them_is_refused() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let (good, bad) = (fresh(), fresh());
    submitter.send(vec![item(&good)]).await;
    let reauthenticate = Some(v1::Reauthenticate { token: "rubbish".to_owned() });
    submitter.say(v1::SubmitRunsRequest { runs: vec![item(&bad)], reauthenticate, ..Default::default() }).await;
    submitter.served(&good).await;
    let results = assert_ends(&mut submitter, AuthStatus::Malformed, "CREDENTIALS_MALFORMED").await;
    let [result] = results.try_into().expect("one result");
    let refused = refusal_of(result, &bad);
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MALFORMED", AuthStatus::Malformed);
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn a_revoked_token_takes_effect_with_the_next_message_and_others_go_on() {
    let pay = PayByWire::start().await;
    let issued = token(&pay, 3600).await;
    let mut submitter = RawSubmitter::open(&pay.nobody.bearer(&issued.token)).await.expect("opens");
    let mut other = RawSubmitter::open(&pay.nobody.bearer(&token(&pay, 3600).await.token)).await.expect("opens");
    submitter.submit(&fresh()).await;
    let target = Some(v1::revoke_token_request::Target::TokenId(issued.token_id));
    pay.pay.served(&fresh(), v1::RevokeTokenRequest { target, ..Default::default() }).await;
    submitter.send(items(&ids(5))).await;
    let results = assert_ends(&mut submitter, AuthStatus::Revoked, "CREDENTIALS_REVOKED").await;
    assert!(results.iter().all(|result| !matches!(result.outcome, Some(v1::submit_result::Outcome::Run(_)))));
    other.submit(&fresh()).await;
    assert_eq!(pay.pay.runs().await.len(), 2);
}

#[tokio::test]
async fn what_was_taken_before_the_end_of_the_credentials_is_answered() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let (before, after) = (fresh(), fresh());
    valve.shut(Which::Requests);
    submitter.send(vec![item(&before)]).await;
    valve.holds().await;
    let reauthenticate = Some(v1::Reauthenticate { token: "rubbish".to_owned() });
    submitter.say(v1::SubmitRunsRequest { runs: vec![item(&after)], reauthenticate, ..Default::default() }).await;
    valve.open();
    assert_eq!(submitter.served(&before).await.disposition(), Disposition::Executed);
    let results = assert_ends(&mut submitter, AuthStatus::Malformed, "CREDENTIALS_MALFORMED").await;
    assert_eq!(results.len(), 1);
}

#[tokio::test]
async fn a_right_that_is_missing_is_the_items_matter() {
    let pay = PayByWire::start().await;
    let viewer = v1::Grant { role: v1::Role::Viewer.into(), apps: "pay".to_owned() };
    let create = v1::CreateAppRequest { app: "eye".to_owned(), grants: vec![viewer], ..Default::default() };
    let eye = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let mut submitter = RawSubmitter::open(&eye).await.expect("opens");
    for _ in 0..2 {
        let id = fresh();
        submitter.send(vec![under(&id, v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") })]).await;
        let refused = submitter.refused(&id).await;
        refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("role", "submitter");
    }
    assert!(pay.pay.runs().await.is_empty());
}

#[tokio::test]
async fn in_every_mode_every_message_says_what_became_of_the_credentials() {
    for mode in MODES {
        let server = TestServer::with(|settings| {
            settings.auth_mode = mode;
            settings.anonymous = vec![Grant { role: Role::Admin, apps: AppPattern::All }];
        });
        let pay = PayByWire::on(server.await).await;
        let (wire, expected) = match mode {
            Mode::Enforce => (&pay.pay, AuthStatus::Passed),
            Mode::Permissive | Mode::Off => (&pay.nobody, AuthStatus::NotRequired),
        };
        let count = async || pay.pay.served("", v1::GetServerInfoRequest::default()).await.anonymous_call_count;
        let before = count().await;
        let mut submitter = RawSubmitter::open_as(wire, expected).await.expect("opens");
        let (good, bad) = (fresh(), fresh());
        let unknown = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("unknown") };
        let known = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
        submitter.send(vec![under(&good, known), under(&bad, unknown)]).await;
        submitter.served(&good).await;
        submitter.refused(&bad).await.expect_with(Code::NotFound, "NOT_FOUND", expected);
        if mode == Mode::Permissive {
            assert_eq!(count().await, before + 2, "each item is a call");
        }
    }
}
