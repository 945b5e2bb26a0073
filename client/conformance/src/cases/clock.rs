//! A machine whose clock is off works all the same.

use serde_json::{Value, json};

use super::ids::time_of;
use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, case},
};

pub(super) const CASES: &[Case] = &[
    case!(clock_ahead, "The machine's clock is an hour ahead: the call succeeds, and makes one run."),
    case!(clock_behind, "The machine's clock is an hour behind: the call succeeds, and makes one run."),
    case!(clock_days_behind, "The machine's clock is two days behind: the call succeeds, and makes one run."),
    case!(
        clock_ahead_given,
        "The clock is an hour ahead and the caller keeps its id: REQUEST_ID_IN_FUTURE, under that id."
    ),
    case!(
        clock_behind_given,
        "The clock is two days behind and the caller keeps its id: REQUEST_ID_EXPIRED, under that id."
    ),
    case!(
        clock_learnt,
        "After the first answer ids are minted by the server's clock, however far the machine's is off."
    ),
];

const HOUR_MS: i64 = 3_600_000;

fn off(ms: i64) -> Value {
    json!({"clock_offset": ms})
}

async fn succeeds(cx: &mut Cx, offset: i64) -> Verdict {
    let ground = cx.ground().await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, off(offset)).await?;
    let made = client.made(json!({})).await?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn clock_ahead(cx: &mut Cx) -> Verdict {
    succeeds(cx, HOUR_MS).await
}

async fn clock_behind(cx: &mut Cx) -> Verdict {
    succeeds(cx, -HOUR_MS).await
}

async fn clock_days_behind(cx: &mut Cx) -> Verdict {
    succeeds(cx, -48 * HOUR_MS).await
}

async fn fails_under_its_id(cx: &mut Cx, offset: i64, code: &str, reason: &str) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let endpoint = ground.get().await.endpoint();
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&endpoint, token, off(offset)).await?;
    let id = client.mint().await?;
    let failed = client.refused(json!({"request_id": id})).await?;
    failed.is("refused", code, reason)?;
    failed.is_of(&id)?;
    ground.has_runs(0).await.map(drop)
}

async fn clock_ahead_given(cx: &mut Cx) -> Verdict {
    fails_under_its_id(cx, HOUR_MS, "INVALID_ARGUMENT", "REQUEST_ID_IN_FUTURE").await
}

async fn clock_behind_given(cx: &mut Cx) -> Verdict {
    fails_under_its_id(cx, -48 * HOUR_MS, "FAILED_PRECONDITION", "REQUEST_ID_EXPIRED").await
}

async fn clock_learnt(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let endpoint = ground.get().await.endpoint();
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&endpoint, token, off(HOUR_MS)).await?;
    client.made(json!({})).await?;
    let id = client.mint().await?;
    let off = time_of(&id)? - ground.get().await.now_ms();
    claim(off.abs() < 5_000, || format!("{id} is {off} ms off"))?;
    client.made(json!({"request_id": id})).await?;
    ground.has_runs(2).await.map(drop)
}
