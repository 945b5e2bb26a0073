//! A token ends at each point of a call: with a secret the call goes on under a new one, without it is told so; it is never
//! made twice.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use semel_proto::v1;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Verdict},
    case::{Case, Cx, Standing, case},
    client::{Client, made},
    messages::Way,
    refusals,
    relay::{Gate, Relay, Step},
};

pub(super) const CASES: &[Case] = &[
    case!(
        expired_before,
        "The token ends before the call, and there is no secret: CREDENTIALS_EXPIRED, nothing happens."
    ),
    case!(expired_queued, "The token ends while the call is on its way, and there is no secret: CREDENTIALS_EXPIRED."),
    case!(expired_between, "The token ends between two attempts, and there is no secret: CREDENTIALS_EXPIRED."),
    case!(
        expired_after,
        "The token ends after the call took effect and its answer was lost: CREDENTIALS_EXPIRED, one run."
    ),
    case!(renewed_before, "The token ends before the call, and the client holds the secret: renewed, executed once."),
    case!(
        renewed_queued,
        "The token ends while the call is on its way, and there is the secret: renewed, executed once."
    ),
    case!(renewed_between, "The token ends between two attempts, and there is the secret: renewed, executed once."),
    case!(renewed_after, "The token ends after the call took effect, and there is the secret: renewed, still one run."),
    case!(
        renewed_ahead,
        "A token is renewed at three quarters of its life, by the server's clock, before it is refused."
    ),
    case!(renewal_fails, "A renewal ahead of time fails: calls go on with the present token."),
];

/// Longer than any token lives, shorter than the window.
const LATER: Duration = Duration::from_secs(13 * 3600);

/// When the token ends.
#[derive(Clone, Copy)]
enum When {
    Before,
    Queued,
    Between,
    After,
}

/// Makes a call whose token ends then.
async fn call(relay: &Relay, ground: &Standing, client: &Client, when: When) -> Verdict<Answer> {
    let gate = Gate::default();
    let lost = || Arc::new(|| refusals::http_status(503));
    match when {
        When::Before => {
            ground.get().await.advance(LATER);
            return Ok(client.run(json!({})).await);
        }
        When::Queued => relay.next("RunJob", [Step::Hold(gate.clone())]),
        When::Between => relay.next("RunJob", [Step::Answer(lost()), Step::Hold(gate.clone())]),
        When::After => relay.next("RunJob", [Step::Instead(lost()), Step::Hold(gate.clone())]),
    }
    let before = relay.arrived("RunJob");
    let pending = client.start_run(json!({})).await;
    relay.wait_for("RunJob", before + if matches!(when, When::Queued) { 1 } else { 2 }).await?;
    ground.get().await.advance(LATER);
    gate.open();
    Ok(client.told(pending.answer().await))
}

async fn expires(cx: &mut Cx, when: When, runs: usize) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let token = ground.get().await.token(Duration::from_secs(3600)).await.token;
    let relay = Relay::to(ground.get().await.address()).await;
    let client = cx.connect(&relay.endpoint(), json!({"token": token}), json!({})).await?;
    let failed = call(&relay, &ground, &client, when).await?.failed()?;
    failed.is("refused", "UNAUTHENTICATED", "CREDENTIALS_EXPIRED")?;
    failed.says("EXPIRED")?;
    ground.has_runs(runs).await.map(drop)
}

async fn renews(cx: &mut Cx, when: When) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let relay = Relay::to(ground.get().await.address()).await;
    let secret: Value = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    // So that it has its token.
    client.call("ListJobs", json!({}), json!({})).await.ok()?;
    let made = made(call(&relay, &ground, &client, when).await?)?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn expired_before(cx: &mut Cx) -> Verdict {
    expires(cx, When::Before, 0).await
}

async fn expired_queued(cx: &mut Cx) -> Verdict {
    expires(cx, When::Queued, 0).await
}

async fn expired_between(cx: &mut Cx) -> Verdict {
    expires(cx, When::Between, 0).await
}

async fn expired_after(cx: &mut Cx) -> Verdict {
    expires(cx, When::After, 1).await
}

async fn renewed_before(cx: &mut Cx) -> Verdict {
    renews(cx, When::Before).await
}

async fn renewed_queued(cx: &mut Cx) -> Verdict {
    renews(cx, When::Queued).await
}

async fn renewed_between(cx: &mut Cx) -> Verdict {
    renews(cx, When::Between).await
}

async fn renewed_after(cx: &mut Cx) -> Verdict {
    renews(cx, When::After).await
}

/// How long the tokens of a short-lived ground say that they live. They live longer: it is the client that must renew.
const LIFE: Duration = Duration::from_secs(3);

/// A client that has a token of a short life, and a relay that says so.
async fn short_lived(cx: &mut Cx) -> Verdict<(Standing, Relay, Client)> {
    let ground = cx.ground().await;
    let relay = Relay::tampering(ground.get().await.address(), |method: &str, way, message: Bytes| {
        if (method, way) != ("IssueToken", Way::Down) {
            return vec![message];
        }
        let mut response = v1::IssueTokenResponse::decode(message).expect("an answer to IssueToken");
        let now = response.header.as_ref().and_then(|header| header.server_time).unwrap_or_default();
        let seconds = now.seconds + i64::try_from(LIFE.as_secs()).unwrap_or_default();
        response.expire_time = Some(prost_types::Timestamp { seconds, ..now });
        vec![response.encode_to_vec().into()]
    })
    .await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    client.made(json!({})).await?;
    // Real time has to pass, for the client measures it: into the last quarter, and not behind it.
    tokio::time::sleep(LIFE.mul_f64(0.8)).await;
    Ok((ground, relay, client))
}

async fn renewed_ahead(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = short_lived(cx).await?;
    client.made(json!({})).await?;
    // It may be renewed beside the call.
    relay.wait_for("IssueToken", 2).await?;
    ground.has_runs(2).await.map(drop)
}

async fn renewal_fails(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = short_lived(cx).await?;
    relay.next("IssueToken", (0..8).map(|_| Step::Answer(Arc::new(|| refusals::http_status(503)))));
    client.made(json!({})).await?;
    ground.has_runs(2).await.map(drop)
}
