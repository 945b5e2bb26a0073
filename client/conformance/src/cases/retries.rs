//! What is sent again, when, and for how long.

use std::{sync::Arc, time::Duration};

use semel_proto::v1::AuthStatus;
use serde_json::json;
use tonic::Code;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::{Client, made},
    refusals::{self, Refusal},
    relay::{Relay, Step},
};

pub(super) const CASES: &[Case] = &[
    case!(unavailable, "A proxy's 503 and UNAVAILABLE: sent again under the same id, one run."),
    case!(refused_connection, "Nobody listens yet: sent again until somebody does, one run."),
    case!(draining, "The server is about to go: DRAINING, and the same id succeeds with the server that comes after."),
    case!(overloaded, "OVERLOADED with a delay: sent again after it under the same id, one run."),
    case!(quota, "QUOTA_EXCEEDED with a delay: sent again after it under the same id, one run."),
    case!(quota_for_good, "QUOTA_EXCEEDED without a delay: given up at once."),
    case!(pushback, "gRPC's push-back names a wait: sent again after it under the same id, one run."),
    case!(pushback_never, "gRPC's push-back says never: given up at once."),
    case!(internal_twice, "INTERNAL twice: sent again under the same id, one run."),
    case!(internal_thrice, "INTERNAL for the third time: given up."),
    case!(open_outcome, "An id that may have been executed is refused as too old: no fresh one is made, one run."),
    case!(
        overall_timeout,
        "It never passes: given up within the overall timeout, with the id and how often it was sent."
    ),
    case!(deadline_travels, "Every attempt bears a deadline of gRPC's."),
    case!(retries_off, "Retries are switched off: sent once, whatever comes."),
    case!(
        retries_off_later,
        "Retries are switched off and the answer is lost: the caller's own retry under the id is a replay."
    ),
];

/// The server, a relay whose first calls are answered so, and a client with a token.
async fn scripted(cx: &mut Cx, refusal: Refusal, times: usize) -> Verdict<(Standing, Relay, Client)> {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", times, move || refusal.response());
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    Ok((ground, relay, client))
}

/// The call succeeds, not before this wait, and makes one run.
async fn passes(ground: &Standing, client: &Client, wait: Duration) -> Verdict {
    let begun = tokio::time::Instant::now();
    let made = client.made(json!({})).await?;
    claim(begun.elapsed() >= wait, || {
        format!("it was sent again after {:?}, {wait:?} was asked for", begun.elapsed())
    })?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn unavailable(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = scripted(cx, Refusal::bare(Code::Unavailable), 1).await?;
    relay.next("RunJob", [Step::Answer(Arc::new(|| refusals::http_status(503)))]);
    passes(&ground, &client, Duration::ZERO).await?;
    claim(relay.arrived("RunJob") == 3, || format!("expected 3 attempts, got {}", relay.arrived("RunJob")))
}

async fn refused_connection(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    ground.stop().await;
    let client = cx.connect(&endpoint, token, json!({"backoff_max": 200})).await?;
    let pending = client.start_run(json!({})).await;
    // Somebody has to have been refused: what the client does is not to be seen from here.
    tokio::time::sleep(Duration::from_millis(300)).await;
    ground.revive().await;
    made(client.told(pending.answer().await))?;
    ground.has_runs(1).await.map(drop)
}

async fn draining(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({"backoff_max": 200})).await?;
    ground.get().await.drain().await;
    let pending = client.start_run(json!({})).await;
    relay.wait_for("RunJob", 2).await?;
    ground.restart().await;
    made(client.told(pending.answer().await))?;
    ground.has_runs(1).await.map(drop)
}

async fn overloaded(cx: &mut Cx) -> Verdict {
    let wait = Duration::from_millis(400);
    let refusal = Refusal::of_semel(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed as i32).retry_after(wait);
    let (ground, _relay, client) = scripted(cx, refusal, 1).await?;
    passes(&ground, &client, wait).await
}

async fn quota(cx: &mut Cx) -> Verdict {
    let wait = Duration::from_millis(400);
    let passed = AuthStatus::Passed as i32;
    let refusal = Refusal::of_semel(Code::ResourceExhausted, "QUOTA_EXCEEDED", passed).retry_after(wait);
    let (ground, _relay, client) = scripted(cx, refusal, 1).await?;
    passes(&ground, &client, wait).await
}

/// The call is given up at once.
async fn is_final(cx: &mut Cx, refusal: Refusal, kind: &str, code: &str, reason: &str) -> Verdict {
    cx.nothing_may_happen();
    let (_ground, relay, client) = scripted(cx, refusal, 1).await?;
    let failed = client.refused(json!({})).await?;
    failed.is(kind, code, reason)?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))
}

async fn quota_for_good(cx: &mut Cx) -> Verdict {
    let refusal = Refusal::of_semel(Code::ResourceExhausted, "QUOTA_EXCEEDED", AuthStatus::Passed as i32);
    is_final(cx, refusal, "refused", "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").await
}

async fn pushback(cx: &mut Cx) -> Verdict {
    let refusal = Refusal::bare(Code::Unavailable).with("grpc-retry-pushback-ms", "400");
    let (ground, _relay, client) = scripted(cx, refusal, 1).await?;
    passes(&ground, &client, Duration::from_millis(400)).await
}

async fn pushback_never(cx: &mut Cx) -> Verdict {
    let refusal = Refusal::bare(Code::Unavailable).with("grpc-retry-pushback-ms", "-1");
    is_final(cx, refusal, "not_semel", "UNAVAILABLE", "").await
}

async fn internal_twice(cx: &mut Cx) -> Verdict {
    let (ground, _relay, client) = scripted(cx, Refusal::bare(Code::Internal), 2).await?;
    passes(&ground, &client, Duration::ZERO).await
}

async fn internal_thrice(cx: &mut Cx) -> Verdict {
    cx.nothing_may_happen();
    let (_ground, relay, client) = scripted(cx, Refusal::bare(Code::Internal), 64).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("not_semel", "INTERNAL", "")?;
    claim(relay.arrived("RunJob") == 3, || format!("expected 3 attempts, got {}", relay.arrived("RunJob")))
}

async fn open_outcome(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let expired = Refusal::of_semel(Code::FailedPrecondition, "REQUEST_ID_EXPIRED", AuthStatus::Passed as i32);
    let steps =
        [Step::Instead(Arc::new(|| refusals::http_status(503))), Step::Answer(Arc::new(move || expired.response()))];
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", steps);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("refused", "FAILED_PRECONDITION", "REQUEST_ID_EXPIRED")?;
    ground.has_done(&failed.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn overall_timeout(cx: &mut Cx) -> Verdict {
    cx.nothing_may_happen();
    let ground = cx.ground().await;
    let answer = || refusals::http_status(503);
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 1000, answer);
    let token = ground.get().await.by_token().await;
    let options = json!({"overall_timeout": 800, "backoff_first": 20, "backoff_max": 50});
    let client = cx.connect(&relay.endpoint(), token, options).await?;
    let begun = tokio::time::Instant::now();
    let failed = client.refused(json!({})).await?;
    claim(begun.elapsed() < Duration::from_secs(8), || format!("it took {:?} and not 0.8 s", begun.elapsed()))?;
    claim(failed.code == "UNAVAILABLE" || failed.code == "DEADLINE_EXCEEDED", || format!("got {failed}"))?;
    failed.says("UNSPECIFIED")?;
    claim(failed.may_retry && !failed.request_id.is_empty(), || format!("expected an id to go on with, got {failed}"))?;
    claim(failed.attempts.is_some_and(|attempts| attempts > 1), || format!("expected several attempts, got {failed}"))
}

async fn deadline_travels(cx: &mut Cx) -> Verdict {
    let (_ground, relay, client) = scripted(cx, Refusal::bare(Code::Unavailable), 2).await?;
    client.made(json!({})).await?;
    claim(relay.endless("RunJob") == 0, || format!("{} attempts had no deadline", relay.endless("RunJob")))
}

async fn retries_off(cx: &mut Cx) -> Verdict {
    cx.nothing_may_happen();
    let ground = cx.ground().await;
    let answer = || refusals::http_status(503);
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 1, answer);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({"attempts_max": 1})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("not_semel", "UNAVAILABLE", "")?;
    claim(failed.may_retry, || format!("expected that it may be sent again, got {failed}"))?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))
}

async fn retries_off_later(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let lost = Step::Instead(Arc::new(|| refusals::http_status(504)));
    let relay = Relay::to(ground.get().await.address()).await.on("RunJob", [lost]);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({"attempts_max": 1})).await?;
    let id = client.mint().await?;
    let failed = client.refused(json!({"request_id": id})).await?;
    failed.is_of(&id)?;
    let again = client.made(json!({"request_id": id})).await?;
    let header = again.response.header.unwrap_or_default();
    claim(header.disposition == 2, || format!("expected a replay, got {header:?}"))?;
    ground.has_runs(1).await.map(drop)
}
