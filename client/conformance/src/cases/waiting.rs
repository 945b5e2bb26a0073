//! Waiting for a run's end.

use semel_proto::v1;
use serde_json::json;

use crate::{
    answer::{Short, Verdict, claim},
    case::{Case, Cx, case},
    ground::JOB,
    json,
    relay::Relay,
};

pub(super) const CASES: &[Case] = &[
    case!(wait_ended, "A run that has ended already is given at once."),
    case!(wait_ends, "A run that ends while it is waited for."),
    case!(wait_restart, "The server is started again while a run is waited for."),
    case!(wait_long, "A call that asks the server to wait gets that wait on top of its timeouts."),
    case!(wait_unknown, "A run that is not there: the typed error."),
];

fn is_cancelled(ok: &serde_json::Value) -> Verdict {
    let run: v1::Run = json::to("Run", &ok["run"]).map_err(Short::Gap)?;
    claim(ok["finished"] == true && run.state() == v1::RunState::Cancelled, || format!("expected its end, got {ok}"))
}

async fn wait_ended(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.may_happen(1);
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    let client = cx.connect(&endpoint, token, json!({})).await?;
    let run_id = ground.get().await.submit(JOB, "").await;
    ground.get().await.cancel(&run_id).await;
    is_cancelled(&client.ask("wait", json!({"run_id": run_id, "timeout": 10_000})).await.ok()?)
}

async fn ends_over(cx: &mut Cx, restarts: bool) -> Verdict {
    let ground = cx.ground().await;
    cx.may_happen(1);
    let relay = Relay::to(ground.get().await.address()).await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({"backoff_max": 200})).await?;
    let run_id = ground.get().await.submit(JOB, "").await;
    let pending = client.send("wait", json!({"run_id": run_id, "timeout": 15_000})).await;
    relay.wait_for("WaitRun", 1).await?;
    if restarts {
        ground.restart().await;
        relay.wait_for("WaitRun", 2).await?;
    }
    ground.get().await.cancel(&run_id).await;
    is_cancelled(&pending.answer().await.ok()?)
}

async fn wait_ends(cx: &mut Cx) -> Verdict {
    ends_over(cx, false).await
}

async fn wait_restart(cx: &mut Cx) -> Verdict {
    ends_over(cx, true).await
}

async fn wait_long(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.may_happen(1);
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    let client = cx.connect(&endpoint, token, json!({"request_timeout": 700, "overall_timeout": 700})).await?;
    let run_id = ground.get().await.submit(JOB, "").await;
    let answer = client.call("WaitRun", json!({"run_id": run_id, "timeout": "1.500s"}), json!({})).await;
    let waited: v1::WaitRunResponse = answer.response("WaitRunResponse")?;
    claim(!waited.finished, || format!("expected that it goes on, got {waited:?}"))
}

async fn wait_unknown(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    let client = cx.connect(&endpoint, token, json!({})).await?;
    let fields = json!({"run_id": "0190163d-8694-739b-aea5-966c26f8ad91", "timeout": 10_000});
    let failed = client.ask("wait", fields).await.failed()?;
    claim(failed.kind == "refused" && failed.code == "NOT_FOUND", || format!("expected NOT_FOUND, got {failed}"))
}
