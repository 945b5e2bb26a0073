//! A token ends at each point of a call: with a secret the call goes on under a new one, without it is told so; it is never
//! made twice.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    answer::{Answer, Verdict},
    case::{Case, Client, Cx, Standing, case, made},
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
