//! Workers: what handlers give back is what the server has, and what the server says reaches handlers.

use std::time::Duration;

use semel_proto::v1::{self, AttemptState, RunState};
use serde_json::{Value, json};

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case, eventually},
    client::Client,
    working::Working,
};

pub(super) const CASES: &[Case] = &[
    case!(work_echo, "A handler's result is the run's."),
    case!(work_fail, "A handler that fails: the run fails with its text."),
    case!(work_retry, "A handler that fails is tried again as the job says, with a higher attempt."),
    case!(work_permanent, "A handler that fails for good is not tried again, whatever the job says."),
    case!(work_log, "What a handler writes to its log stands in the run's."),
    case!(work_progress, "What a handler says of its progress stands in the run."),
    case!(work_slots, "No more handlers run at a time than there are slots."),
    case!(work_cancel, "A run is cancelled: its handler is told, and the run ends as cancelled."),
    case!(work_drain, "A drain that is long enough: the handler ends, its report counts, nothing new is taken."),
    case!(
        work_release,
        "A drain that is too short: the handler is told, the run is given back, and another worker does it."
    ),
    case!(work_forbidden, "A worker that is not allowed ends with FORBIDDEN."),
    case!(work_renewed, "The token ends while it works, and there is the secret: it goes on working."),
];

/// A server with a job for each processor, and a client.
pub(super) async fn staffed(cx: &mut Cx) -> Verdict<(Standing, Client)> {
    let ground = cx.ground().await;
    cx.may_happen(100);
    make_jobs(&ground).await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    Ok((ground, client))
}

pub(super) async fn make_jobs(ground: &Standing) {
    for job in ["echo", "fail", "permanent", "log", "sleep", "block"] {
        ground.get().await.job_of(job, &format!("conformance.{job}")).await;
    }
}

/// The run comes to this state.
pub(super) async fn comes_to(ground: &Standing, run_id: &str, state: RunState) -> Verdict<v1::Run> {
    eventually(|| async {
        let run = ground.get().await.run(run_id).await;
        claim(run.state() == state, || format!("expected {state:?}, got {:?} {:?}", run.state(), run.reason))
    })
    .await?;
    Ok(ground.get().await.run(run_id).await)
}

pub(super) fn has_attempts(run: &v1::Run, expected: &[AttemptState]) -> Verdict {
    let states: Vec<_> = run.attempts.iter().map(v1::Attempt::state).collect();
    claim(states == expected, || format!("expected attempts {expected:?}, got {states:?}"))
}

/// A summary has so many of a kind.
pub(super) fn counts(summary: &Value, what: &str, count: u64) -> Verdict {
    claim(summary[what] == count, || format!("expected {count} {what}, got {summary}"))
}

async fn work_echo(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let working = Working::start(&client, &["conformance.echo"], 4).await?;
    let run_id = ground.get().await.submit("echo", "hello").await;
    let run = comes_to(&ground, &run_id, RunState::Succeeded).await?;
    let result = run.result.clone().unwrap_or_default().data;
    claim(result == "hello".as_bytes(), || format!("expected hello, got {result:?}"))?;
    has_attempts(&run, &[AttemptState::Succeeded])?;
    counts(&working.stop().await?, "succeeded", 1)
}

async fn work_fail(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let working = Working::start(&client, &["conformance.fail"], 4).await?;
    let run_id = ground.get().await.submit("fail", "it is broken").await;
    let run = comes_to(&ground, &run_id, RunState::Failed).await?;
    let error = run.attempts.first().map(|attempt| attempt.error.clone()).unwrap_or_default();
    claim(error.contains("it is broken"), || format!("expected the handler's text, got {error:?}"))?;
    counts(&working.stop().await?, "failed", 1)
}

async fn retrying(ground: &Standing, processor: &str) {
    let retry = v1::RetryPolicy {
        max_attempts: 3,
        initial_backoff: Duration::from_millis(1).try_into().ok(),
        ..Default::default()
    };
    let spec = v1::JobSpec { processor: processor.to_owned(), retry: Some(retry), ..Default::default() };
    ground.get().await.job("often", spec).await;
}

async fn work_retry(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    retrying(&ground, "conformance.fail").await;
    let mut working = Working::start(&client, &["conformance.fail"], 4).await?;
    let run_id = ground.get().await.submit("often", "no").await;
    for attempt in 1..=3 {
        let event = working.until("started", &run_id).await?;
        claim(event["attempt"] == attempt, || format!("expected attempt {attempt}, got {event}"))?;
    }
    let run = comes_to(&ground, &run_id, RunState::Failed).await?;
    has_attempts(&run, &[AttemptState::Failed; 3])
}

async fn work_permanent(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    retrying(&ground, "conformance.permanent").await;
    let _working = Working::start(&client, &["conformance.permanent"], 4).await?;
    let run_id = ground.get().await.submit("often", "never").await;
    let run = comes_to(&ground, &run_id, RunState::Failed).await?;
    has_attempts(&run, &[AttemptState::Failed])
}

async fn work_log(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let _working = Working::start(&client, &["conformance.log"], 4).await?;
    let run_id = ground.get().await.submit("log", "a line of log").await;
    comes_to(&ground, &run_id, RunState::Succeeded).await?;
    let log = ground.get().await.log(&run_id).await;
    claim(log.trim_end() == "a line of log", || format!("expected a line of log, got {log:?}"))
}

async fn work_progress(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let _working = Working::start(&client, &["conformance.sleep"], 4).await?;
    let run_id = ground.get().await.submit("sleep", "3000").await;
    eventually(|| async {
        let run = ground.get().await.run(&run_id).await;
        let told = run.progress.clone().unwrap_or_default();
        claim((told.fraction, told.message.as_str()) == (0.5, "half"), || format!("expected half, got {told:?}"))
    })
    .await?;
    comes_to(&ground, &run_id, RunState::Succeeded).await.map(drop)
}

async fn work_slots(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 1).await?;
    let first = ground.get().await.submit("block", "").await;
    working.until("started", &first).await?;
    let second = ground.get().await.submit("block", "").await;
    claim(ground.get().await.run(&second).await.state() == RunState::Queued, || "the second one runs".to_owned())?;
    working.release(&first).await?;
    working.until("started", &second).await?;
    let early = working.told.iter().take_while(|event| event["told"] != "ended").any(|event| event["run_id"] == second);
    claim(!early, || "the second one was started before the first had ended".to_owned())?;
    working.release(&second).await?;
    comes_to(&ground, &second, RunState::Succeeded).await?;
    counts(&working.stop().await?, "succeeded", 2)
}

async fn work_cancel(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    ground.get().await.cancel(&run_id).await;
    working.until("cancelled", &run_id).await?;
    comes_to(&ground, &run_id, RunState::Cancelled).await?;
    counts(&working.stop().await?, "cancelled", 1)
}

async fn work_drain(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    working.begin_drain().await?;
    eventually(|| async {
        let workers = ground.get().await.workers_that_take_work().await;
        claim(workers == 0, || "the server does not know that it drains".to_owned())
    })
    .await?;
    let later = ground.get().await.submit("block", "").await;
    working.release(&run_id).await?;
    comes_to(&ground, &run_id, RunState::Succeeded).await?;
    counts(&working.ended().await?.ok()?, "succeeded", 1)?;
    let state = ground.get().await.run(&later).await.state();
    claim(state == RunState::Queued, || format!("expected that nothing new was taken, got {state:?}"))
}

async fn work_release(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let mut working = Working::with(&client, &["conformance.block"], 4, 200).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    working.begin_drain().await?;
    working.until("cancelled", &run_id).await?;
    counts(&working.ended().await?.ok()?, "released", 1)?;
    let run = ground.get().await.run(&run_id).await;
    has_attempts(&run, &[AttemptState::Released])?;
    let mut other = Working::start(&client, &["conformance.block"], 4).await?;
    other.until("started", &run_id).await?;
    other.release(&run_id).await?;
    comes_to(&ground, &run_id, RunState::Succeeded).await.map(drop)
}

async fn work_forbidden(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let secret = ground.get().await.app("shop").await;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, json!({"app": "shop", "secret": secret}), json!({})).await?;
    let failed = Working::start(&client, &["conformance.echo"], 1).await?.fails().await?;
    failed.is("refused", "PERMISSION_DENIED", "FORBIDDEN")?;
    failed.says("FORBIDDEN")
}

async fn work_renewed(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    cx.may_happen(100);
    make_jobs(&ground).await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    let working = Working::start(&client, &["conformance.echo"], 4).await?;
    let before = ground.get().await.submit("echo", "").await;
    comes_to(&ground, &before, RunState::Succeeded).await?;
    ground.get().await.advance(Duration::from_secs(13 * 3600));
    let after = ground.get().await.submit("echo", "").await;
    comes_to(&ground, &after, RunState::Succeeded).await?;
    working.stop().await.map(drop)
}
