//! Servers of other versions: what they say beyond what a client knows is given through or passed over, and breaks nothing.

use semel_proto::v1::{self, AttemptState, RunState};
use serde_json::{Value, json};

use super::{
    submit::are_made,
    watch::make_runs,
    worker::{comes_to, counts, has_attempts, make_jobs},
};
use crate::{
    answer::{Short, Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::Client,
    ground::JOB,
    json,
    messages::Tamper as _,
    relay::Relay,
    skew::{LATER, Skew, Version},
    watching::Watching,
    working::Working,
};

pub(super) const CASES: &[Case] = &[
    case!(later_calls, "A later server, calls: unknown fields and values in an answer are no fault, one run."),
    case!(later_wait, "A later server, waiting: a state that nobody knows is given through."),
    case!(later_submit, "A later server, many runs: unknown fields, values and messages are no fault, each run once."),
    case!(later_watch, "A later server, watching: events of unknown kinds are given through, no gap, no double."),
    case!(later_worker, "A later server, a worker: unknown fields, values and messages are no fault."),
    case!(previous_calls, "The server that was released last, calls: one run."),
    case!(previous_wait, "The server that was released last, waiting."),
    case!(previous_submit, "The server that was released last, many runs: each once."),
    case!(
        previous_watch,
        "The server that was released last, watching: no gap, no double; UNIMPLEMENTED if it has no watch."
    ),
    case!(previous_worker, "The server that was released last, a worker."),
];

async fn of_version(cx: &mut Cx, version: Version) -> Verdict<(Standing, Relay, Client)> {
    let ground = cx.ground().await;
    let relay = Relay::tampering(ground.get().await.address(), Skew::to(version)).await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({})).await?;
    Ok((ground, relay, client))
}

/// An enum's value as the version has it.
fn value(version: Version, known: impl Into<i32>) -> i32 {
    if version == Version::Later { LATER } else { known.into() }
}

async fn calls(cx: &mut Cx, version: Version) -> Verdict {
    let (ground, _relay, client) = of_version(cx, version).await?;
    let made = client.made(json!({})).await?;
    claim(made.response.state == value(version, RunState::Queued), || format!("expected its state, got {made:?}"))?;
    let answer = client.call("GetRun", json!({"run_id": made.response.run_id}), json!({})).await;
    let run = answer.response::<v1::GetRunResponse>("GetRunResponse")?.run.unwrap_or_default();
    claim(run.run_id == made.response.run_id, || format!("expected the run, got {run:?}"))?;
    claim(run.state == value(version, RunState::Queued), || format!("expected its state, got {run:?}"))?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn wait(cx: &mut Cx, version: Version) -> Verdict {
    let (ground, _relay, client) = of_version(cx, version).await?;
    cx.may_happen(1);
    let run_id = ground.get().await.submit(JOB, "").await;
    ground.get().await.cancel(&run_id).await;
    let ok = client.ask("wait", json!({"run_id": run_id, "timeout": 10_000})).await.ok()?;
    let run: v1::Run = json::to("Run", &ok["run"]).map_err(Short::Gap)?;
    claim(ok["finished"] == true && run.state == value(version, RunState::Cancelled), || {
        format!("expected its end, got {ok}")
    })
}

async fn submit(cx: &mut Cx, version: Version) -> Verdict {
    let (ground, _relay, client) = of_version(cx, version).await?;
    let results = client.many("submit_many", 150, json!({})).await?;
    are_made(&ground, &results).await
}

async fn watch(cx: &mut Cx, version: Version) -> Verdict {
    let (ground, relay, client) = of_version(cx, version).await?;
    cx.may_happen(100);
    let mut watching = Watching::from_the_first(&client).await;
    if !Skew::to(version).knows("Watch") {
        let failed = watching.fails().await?;
        return failed.is("not_semel", "UNIMPLEMENTED", "");
    }
    for _ in 0..2 {
        make_runs(&ground, 3).await;
        let mut truth = ground.get().await.run_events().await;
        truth.iter_mut().for_each(|(_, kind, _)| *kind = value(version, *kind));
        watching.until_seen(truth.len()).await?;
        watching.is_whole(&truth)?;
        relay.cut();
    }
    watching.stop().await
}

async fn worker(cx: &mut Cx, version: Version) -> Verdict {
    let (ground, _relay, client) = of_version(cx, version).await?;
    cx.may_happen(100);
    make_jobs(&ground).await;
    let mut working = Working::start(&client, &["conformance.echo", "conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("echo", "hello").await;
    let run = comes_to(&ground, &run_id, RunState::Succeeded).await?;
    has_attempts(&run, &[AttemptState::Succeeded])?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    ground.get().await.cancel(&run_id).await;
    working.until("cancelled", &run_id).await?;
    let summary: Value = working.stop().await?;
    counts(&summary, "succeeded", 1)
}

async fn later_calls(cx: &mut Cx) -> Verdict {
    calls(cx, Version::Later).await
}

async fn later_wait(cx: &mut Cx) -> Verdict {
    wait(cx, Version::Later).await
}

async fn later_submit(cx: &mut Cx) -> Verdict {
    submit(cx, Version::Later).await
}

async fn later_watch(cx: &mut Cx) -> Verdict {
    watch(cx, Version::Later).await
}

async fn later_worker(cx: &mut Cx) -> Verdict {
    worker(cx, Version::Later).await
}

async fn previous_calls(cx: &mut Cx) -> Verdict {
    calls(cx, Version::Previous).await
}

async fn previous_wait(cx: &mut Cx) -> Verdict {
    wait(cx, Version::Previous).await
}

async fn previous_submit(cx: &mut Cx) -> Verdict {
    submit(cx, Version::Previous).await
}

async fn previous_watch(cx: &mut Cx) -> Verdict {
    watch(cx, Version::Previous).await
}

async fn previous_worker(cx: &mut Cx) -> Verdict {
    worker(cx, Version::Previous).await
}
