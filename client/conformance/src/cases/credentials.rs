//! What became of the credentials is told in so many words, and nobody's word but a Semel server's is taken for it.

use std::time::Duration;

use semel_core::{
    app::{AppPattern, Grant, Role},
    id::AppName,
};
use semel_proto::v1::AuthStatus;
use semel_server::auth::Mode;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::Made,
    ground::{APP, Ground},
    refusals::Refusal,
    relay::Relay,
};

pub(super) const CASES: &[Case] = &[
    case!(missing, "No credentials where they are asked for: CREDENTIALS_MISSING, and nothing is sent again."),
    case!(malformed, "Credentials that are none: CREDENTIALS_MALFORMED, and nothing is sent again."),
    case!(foreign, "A token of another server: CREDENTIALS_INVALID, and nothing is sent again."),
    case!(wrong_secret, "A wrong secret: the call fails with CREDENTIALS_INVALID, bears its id, and is never made."),
    case!(revoked, "A token that was taken back: CREDENTIALS_REVOKED, nothing is executed."),
    case!(revoked_secret, "The client's token was taken back and it holds the secret: renewed, and executed once."),
    case!(forbidden, "Known, but not allowed: FORBIDDEN, and neither renewed nor sent again."),
    case!(
        permissive,
        "A server that does not insist serves a caller without credentials: NOT_REQUIRED, executed once."
    ),
    case!(permissive_bad, "A server that does not insist refuses bad credentials all the same."),
    case!(
        off,
        "A server that does not ask for credentials: NOT_REQUIRED, executed once, and no token is fetched again."
    ),
    case!(off_stripped, "The same where a proxy takes every optional header away: executed once."),
    case!(
        throttled,
        "Too many failed attempts: AUTH_THROTTLED, and the call succeeds after the delay that was asked for."
    ),
    case!(
        throttled_verdict,
        "Bad credentials too often: AUTH_THROTTLED is no verdict; it is waited out, and then the verdict comes."
    ),
    case!(
        authority_away,
        "The authority cannot be asked: AUTH_UNAVAILABLE is no verdict, and the same id succeeds later."
    ),
    case!(
        proxy_unauthenticated,
        "A proxy's UNAUTHENTICATED is no verdict of a Semel server: not_semel, no token is renewed."
    ),
    case!(
        stripped_credentials,
        "A proxy takes the credentials away once: with a secret the call succeeds, and is made once."
    ),
    case!(shared_renewal, "Many calls at once need a token: they share one renewal."),
    case!(check_auth, "CheckAuth tells the verdict as its answer."),
];

/// A call by these credentials is refused so, is sent so often, and executes nothing.
async fn is_refused(cx: &mut Cx, ground: Standing, by: Value, reason: &str, status: &str, sent: u64) -> Verdict {
    cx.nothing_may_happen();
    let relay = Relay::to(ground.get().await.address()).await;
    let client = cx.connect(&relay.endpoint(), by, json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("refused", "UNAUTHENTICATED", reason)?;
    failed.says(status)?;
    claim(!failed.may_retry && !failed.request_id.is_empty(), || format!("expected an id and no retry, got {failed}"))?;
    claim(relay.arrived("RunJob") == sent, || format!("it was sent {} times", relay.arrived("RunJob")))?;
    ground.has_runs(0).await.map(drop)
}

async fn missing(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    is_refused(cx, ground, Value::Null, "CREDENTIALS_MISSING", "MISSING", 1).await
}

async fn malformed(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    is_refused(cx, ground, json!({"token": "rubbish"}), "CREDENTIALS_MALFORMED", "MALFORMED", 1).await
}

async fn foreign(cx: &mut Cx) -> Verdict {
    let token = Ground::start(|_| {}).await.by_token().await;
    let ground = cx.ground().await;
    is_refused(cx, ground, token, "CREDENTIALS_INVALID", "INVALID", 1).await
}

async fn wrong_secret(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let other = ground.get().await.app("shop").await;
    let relay = Relay::to(ground.get().await.address()).await;
    let client = cx.connect(&relay.endpoint(), json!({"app": APP, "secret": other}), json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("refused", "UNAUTHENTICATED", "CREDENTIALS_INVALID")?;
    failed.says("INVALID")?;
    claim(relay.arrived("RunJob") == 0, || "the call was made without a token".to_owned())?;
    claim(!failed.message.contains(&other), || "the secret shows in the error".to_owned())
}

async fn revoke_all(ground: &Ground) {
    let target = Some(semel_proto::v1::revoke_token_request::Target::All(true));
    let request = semel_proto::v1::RevokeTokenRequest { app: APP.to_owned(), target, ..Default::default() };
    ground.admin().revoke_token(request).await.expect("tokens are taken back");
}

async fn revoked(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let token = ground.get().await.by_token().await;
    revoke_all(&*ground.get().await).await;
    is_refused(cx, ground, token, "CREDENTIALS_REVOKED", "REVOKED", 1).await
}

async fn revoked_secret(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    client.made(json!({})).await?;
    revoke_all(&*ground.get().await).await;
    // What is issued within the second of the revocation counts as before it.
    ground.get().await.advance(Duration::from_secs(2));
    client.made(json!({})).await?;
    ground.has_runs(2).await.map(drop)
}

async fn forbidden(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let secret = ground.get().await.app("shop").await;
    let relay = Relay::to(ground.get().await.address()).await;
    let client = cx.connect(&relay.endpoint(), json!({"app": "shop", "secret": secret}), json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("refused", "PERMISSION_DENIED", "FORBIDDEN")?;
    failed.says("FORBIDDEN")?;
    claim(!failed.may_retry, || format!("expected no retry, got {failed}"))?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))?;
    claim(relay.arrived("IssueToken") <= 1, || "the token was renewed".to_owned())?;
    ground.has_runs(0).await.map(drop)
}

fn is_not_required(made: &Made) -> Verdict {
    let auth = made.response.header.as_ref().and_then(|header| header.auth.clone()).unwrap_or_default();
    claim(auth.status() == AuthStatus::NotRequired, || format!("expected NOT_REQUIRED, got {auth:?}"))
}

async fn permissive_ground(cx: &mut Cx) -> Standing {
    let pay = AppName::parse(APP).expect("a good name");
    cx.ground_with(|settings| {
        settings.auth_mode = Mode::Permissive;
        settings.anonymous = vec![Grant { role: Role::Submitter, apps: AppPattern::One(pay) }];
    })
    .await
}

async fn permissive(cx: &mut Cx) -> Verdict {
    let ground = permissive_ground(cx).await;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, Value::Null, json!({})).await?;
    is_not_required(&client.made(json!({})).await?)?;
    ground.has_runs(1).await.map(drop)
}

async fn permissive_bad(cx: &mut Cx) -> Verdict {
    let ground = permissive_ground(cx).await;
    is_refused(cx, ground, json!({"token": "rubbish"}), "CREDENTIALS_MALFORMED", "MALFORMED", 1).await
}

async fn off(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with(|settings| settings.auth_mode = Mode::Off).await;
    let relay = Relay::to(ground.get().await.address()).await;
    for (number, by) in [Value::Null, ground.get().await.by_secret()].into_iter().enumerate() {
        let client = cx.connect(&relay.endpoint(), by, json!({})).await?;
        is_not_required(&client.made(json!({})).await?)?;
        ground.has_runs(number + 1).await?;
    }
    claim(relay.arrived("IssueToken") <= 1, || format!("{} tokens were fetched", relay.arrived("IssueToken")))
}

async fn off_stripped(cx: &mut Cx) -> Verdict {
    use semel_faults::{Fault, Plan, Proxy};
    let ground = cx.ground_with(|settings| settings.auth_mode = Mode::Off).await;
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    let proxy = Proxy::start(here, to, Plan::always(Fault::StripAnswer)).await.expect("a free port");
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&proxy.endpoint(), secret, json!({})).await?;
    is_not_required(&client.made(json!({})).await?)?;
    ground.has_runs(1).await.map(drop)
}

/// The first call is refused so, and asks to be let be for so long; the client goes on under the same id after `wait`.
async fn passes(cx: &mut Cx, refusal: Refusal, wait: Duration) -> Verdict {
    let ground = cx.ground().await;
    let refusal = refusal.retry_after(Duration::from_millis(400));
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 1, move || refusal.response());
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let begun = tokio::time::Instant::now();
    let made = client.made(json!({})).await?;
    claim(begun.elapsed() >= wait, || {
        format!("it was sent again after {:?}, {wait:?} was asked for", begun.elapsed())
    })?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn throttled(cx: &mut Cx) -> Verdict {
    let status = AuthStatus::Throttled as i32;
    passes(cx, Refusal::of_semel(Code::ResourceExhausted, "AUTH_THROTTLED", status), Duration::from_millis(400)).await
}

async fn throttled_verdict(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let wrong = ground.get().await.app("shop").await;
    // Ten cost nothing; the eleventh starts the delay.
    for _ in 0..11 {
        ground.get().await.tries_secret(&wrong).await;
    }
    let begun = tokio::time::Instant::now();
    is_refused(cx, ground, json!({"token": "rubbish"}), "CREDENTIALS_MALFORMED", "MALFORMED", 2).await?;
    claim(begun.elapsed() >= Duration::from_millis(500), || "the delay was not waited for".to_owned())
}

async fn authority_away(cx: &mut Cx) -> Verdict {
    let status = AuthStatus::Unavailable as i32;
    // gRPC's own retries of UNAVAILABLE, where a client has them, know nothing of the delay.
    passes(cx, Refusal::of_semel(Code::Unavailable, "AUTH_UNAVAILABLE", status), Duration::ZERO).await
}

async fn proxy_unauthenticated(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let refusal = Refusal::bare(Code::Unauthenticated);
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 64, move || refusal.response());
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("not_semel", "UNAUTHENTICATED", "")?;
    failed.says("UNSPECIFIED")?;
    claim(relay.arrived("IssueToken") == 1, || format!("{} tokens were fetched", relay.arrived("IssueToken")))?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))
}

async fn stripped_credentials(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let status = AuthStatus::Missing as i32;
    let refusal = Refusal::of_semel(Code::Unauthenticated, "CREDENTIALS_MISSING", status);
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 1, move || refusal.response());
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    let made = client.made(json!({})).await?;
    ground.has_done(&made.request_id).await?;
    claim(relay.arrived("IssueToken") == 2, || {
        format!("expected one renewal, got {} tokens", relay.arrived("IssueToken"))
    })?;
    ground.has_runs(1).await.map(drop)
}

async fn shared_renewal(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    let results = client.many("call_many", 12, json!({"concurrency": 12})).await?;
    claim(results.iter().all(|result| result.get("error").is_none()), || format!("expected 12 runs, got {results:?}"))?;
    claim(relay.arrived("IssueToken") == 1, || format!("{} tokens were fetched", relay.arrived("IssueToken")))?;
    ground.has_runs(12).await.map(drop)
}

async fn check_auth(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let endpoint = ground.get().await.endpoint();
    let token = ground.get().await.by_token().await;
    for (by, expected) in [(token, AuthStatus::Passed), (Value::Null, AuthStatus::Missing)] {
        let client = cx.connect(&endpoint, by, json!({})).await?;
        let answer = client.call("CheckAuth", json!({}), json!({})).await;
        let told: semel_proto::v1::CheckAuthResponse = answer.response("CheckAuthResponse")?;
        claim(told.auth.as_ref().is_some_and(|auth| auth.status() == expected), || {
            format!("expected {expected:?}, got {told:?}")
        })?;
    }
    Ok(())
}
