//! A call that was made once takes effect once, however often it arrives.

use std::{sync::Arc, time::Duration};

use semel_proto::v1::Disposition;
use serde_json::json;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, case, eventually},
    client::{Made, made},
    ground::JOB,
    refusals,
    relay::{Gate, Relay, Step},
};

pub(super) const CASES: &[Case] = &[
    case!(served, "A call is served: one run, the id in the answer is the call's, the credentials passed."),
    case!(duplicate, "A call that arrives twice makes one run, and the second answer is as good as the first."),
    case!(
        late_duplicate,
        "The same id again after twenty minutes by the server's clock: the first answer, no second run."
    ),
    case!(concurrent_duplicate, "The same id from two clients at the same time: both get the same run."),
    case!(
        lost_answer,
        "The answer is lost after the call took effect: sent again under its id, one run, told as replayed."
    ),
    case!(restart, "The server is started again while the call waits for its answer: one run, told as replayed."),
    case!(cancelled, "The caller gives up while the call is under way: it is told so, and GetRequest finds the run."),
    case!(
        deadline,
        "No answer within the overall timeout: the error bears the id, and the same id later gives the run."
    ),
];

fn is_replay(made: &Made) -> Verdict {
    let disposition = made.response.header.as_ref().map_or(0, |header| header.disposition);
    claim(disposition == Disposition::Replayed as i32, || format!("expected a replay, got {made:?}"))
}

async fn served(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let endpoint = ground.get().await.endpoint();
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    let made = client.made(json!({})).await?;
    let header = made.response.header.clone().unwrap_or_default();
    claim(header.disposition == Disposition::Executed as i32, || {
        format!("expected it to be executed, got {header:?}")
    })?;
    let auth = header.auth.unwrap_or_default();
    claim(auth.status == 1, || format!("expected PASSED, got {auth:?}"))?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn duplicate(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", [Step::Twice]);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let made = client.made(json!({})).await?;
    is_replay(&made)?;
    made.has_come(2)?;
    ground.has_runs(1).await.map(drop)
}

async fn late_duplicate(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let token = ground.get().await.by_token().await;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, token, json!({})).await?;
    let id = client.mint().await?;
    let first = client.made(json!({"request_id": id})).await?;
    ground.get().await.advance(Duration::from_secs(1200));
    let second = client.made(json!({"request_id": id})).await?;
    is_replay(&second)?;
    claim(first.response.run_id == second.response.run_id, || {
        format!("expected one run, got {first:?} and {second:?}")
    })?;
    ground.has_runs(1).await.map(drop)
}

async fn concurrent_duplicate(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let gate = Gate::default();
    let holding = || [Step::Hold(gate.clone()), Step::Hold(gate.clone())];
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", holding());
    let token = ground.get().await.by_token().await;
    let one = cx.connect(&relay.endpoint(), token.clone(), json!({})).await?;
    let other = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let id = one.mint().await?;
    let first = one.start_run(json!({"request_id": id})).await;
    let second = other.start_run(json!({"request_id": id})).await;
    relay.wait_for("RunJob", 2).await?;
    gate.open();
    let first = made(one.told(first.answer().await))?;
    let second = made(other.told(second.answer().await))?;
    claim(first.response.run_id == second.response.run_id, || {
        format!("expected one run, got {first:?} and {second:?}")
    })?;
    ground.has_runs(1).await.map(drop)
}

async fn lost_answer(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let lost = Step::Instead(Arc::new(|| refusals::http_status(504)));
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", [lost, Step::ExecuteAndCut]);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let made = client.made(json!({})).await?;
    is_replay(&made)?;
    made.has_come(3)?;
    ground.has_runs(1).await.map(drop)
}

async fn restart(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let gate = Gate::default();
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", [Step::HoldAnswer(gate.clone())]);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let id = client.mint().await?;
    let pending = client.start_run(json!({"request_id": id})).await;
    relay.wait_for("RunJob", 1).await?;
    eventually(|| ground.has_done(&id)).await?;
    ground.stop().await;
    relay.cut();
    ground.revive().await;
    relay.wait_for("RunJob", 2).await?;
    gate.open();
    let made = made(client.told(pending.answer().await))?;
    is_replay(&made)?;
    ground.has_runs(1).await.map(drop)
}

async fn cancelled(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let gate = Gate::default();
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", [Step::HoldAnswer(gate.clone())]);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let id = client.mint().await?;
    let pending = client.start_run(json!({"request_id": id})).await;
    eventually(|| ground.has_done(&id)).await?;
    client.ask("cancel", json!({"target": pending.id})).await.ok()?;
    let failed = pending.answer().await.failed()?;
    claim(failed.kind == "cancelled", || format!("expected cancelled, got {failed}"))?;
    failed.is_of(&id)?;
    gate.open();
    let answer = client.call("GetRequest", json!({"target_request_id": id}), json!({})).await;
    let found: semel_proto::v1::GetRequestResponse = answer.response("GetRequestResponse")?;
    claim(found.request.as_ref().is_some_and(|request| request.state == 3), || {
        format!("expected DONE, got {found:?}")
    })?;
    ground.has_runs(1).await.map(drop)
}

async fn deadline(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let gate = Gate::default();
    let relay = Relay::to(ground.get().await.address()).await;
    relay.next("RunJob", (0..64).map(|_| Step::HoldAnswer(gate.clone())));
    let token = ground.get().await.by_token().await;
    let options = json!({"request_timeout": 300, "overall_timeout": 700});
    let client = cx.connect(&relay.endpoint(), token.clone(), options).await?;
    let begun = tokio::time::Instant::now();
    let answer = client.call("RunJob", json!({"job": JOB}), json!({})).await;
    let failed = answer.failed()?;
    claim(failed.code == "DEADLINE_EXCEEDED" || failed.code == "UNAVAILABLE", || {
        format!("expected DEADLINE_EXCEEDED, got {failed}")
    })?;
    claim(begun.elapsed() < Duration::from_secs(8), || format!("it took {:?} and not 0.7 s", begun.elapsed()))?;
    claim(failed.may_retry && !failed.request_id.is_empty(), || format!("expected an id to go on with, got {failed}"))?;
    let direct = ground.get().await.endpoint();
    let later = cx.connect(&direct, token, json!({})).await?;
    let made = later.made(json!({"request_id": failed.request_id})).await?;
    is_replay(&made)?;
    ground.has_runs(1).await.map(drop)
}
