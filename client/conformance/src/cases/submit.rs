//! Many runs by `submit_many`: each once, each answered, in order.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use semel_proto::{rpc, v1};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    answer::{Failed, Short, Verdict, claim},
    case::{Case, Cx, Standing, case, eventually},
    client::Client,
    messages::Way,
    refusals::Refusal,
    relay::Relay,
};

pub(super) const CASES: &[Case] = &[
    case!(in_order, "Results come in the order of the runs, each under an id of its own."),
    case!(one_refused, "One run among many is refused: it alone has a typed error."),
    case!(item_passing, "An item is refused for a reason that passes: sent again under its id, one run."),
    case!(unknown_method, "A server without the stream: the runs are made by calls of their own."),
    case!(stream_refused, "The stream is refused at first: every run is made once."),
    case!(going_away, "The server goes away in the middle and another comes: every run is made once."),
    case!(expired_stream, "The token ends between two batches, and there is the secret: every run is made once."),
    case!(
        expired_stream_token,
        "The token has ended, and there is no secret: each run has the typed error, none is made."
    ),
    case!(forbidden_stream, "Not allowed: each run has the typed error, none is made."),
    case!(many_calls, "Many calls at a time by themselves: every run is made once."),
];

/// Every result is a run, no two the same, and the server has exactly these.
pub(super) async fn are_made(ground: &Standing, results: &[Value]) -> Verdict {
    if let Some(result) = results.iter().find(|result| result["run_id"].as_str().is_none_or(str::is_empty)) {
        return crate::answer::gap(format!("expected a run, got {result}"));
    }
    let ids: BTreeSet<_> = results.iter().filter_map(|result| result["request_id"].as_str()).collect();
    claim(ids.len() == results.len(), || format!("expected {} ids, got {}", results.len(), ids.len()))?;
    let told: BTreeSet<_> = results.iter().filter_map(|result| result["run_id"].as_str()).map(str::to_owned).collect();
    claim(told.len() == results.len(), || format!("expected {} runs to be told, got {}", results.len(), told.len()))?;
    let runs: BTreeSet<_> = ground.has_runs(results.len()).await?.into_iter().map(|run| run.run_id).collect();
    claim(told == runs, || "the runs that were told are not those of the server".to_owned())
}

/// The error of a result.
fn error_of(result: &Value) -> Verdict<Failed> {
    claim(result.get("error").is_some(), || format!("expected an error, got {result}"))?;
    Failed::of(&result["error"]).map_err(Short::Gap)
}

async fn direct(cx: &mut Cx) -> Verdict<(Standing, Client)> {
    let ground = cx.ground().await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    Ok((ground, client))
}

async fn in_order(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let results = client.many("submit_many", 250, json!({})).await?;
    are_made(&ground, &results).await?;
    for (number, result) in results.iter().enumerate().step_by(40) {
        let run = ground.get().await.run(result["run_id"].as_str().unwrap_or_default()).await;
        let payload = run.payload.unwrap_or_default().data;
        claim(payload == number.to_string().as_bytes(), || format!("result {number} is of the run with {payload:?}"))?;
        claim(result["request_id"] == run.request_id, || format!("result {number} tells another id: {result}"))?;
    }
    Ok(())
}

async fn one_refused(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let relay = Relay::tampering(ground.get().await.address(), |method: &str, way, message: Bytes| {
        if (method, way) != ("SubmitRuns", Way::Up) {
            return vec![message];
        }
        let mut request = v1::SubmitRunsRequest::decode(message).expect("a message of the stream");
        for run in &mut request.runs {
            if run.payload.as_ref().is_some_and(|payload| payload.data == "7".as_bytes()) {
                run.job = "nowhere".to_owned();
            }
        }
        vec![request.encode_to_vec().into()]
    });
    let relay = relay.await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let mut results = client.many("submit_many", 20, json!({})).await?;
    let refused = error_of(&results.remove(7))?;
    claim(refused.kind == "refused" && refused.code == "NOT_FOUND" && !refused.reason.is_empty(), || {
        format!("expected refused NOT_FOUND with a reason, got {refused}")
    })?;
    refused.says("PASSED")?;
    claim(!refused.request_id.is_empty(), || format!("expected the id, got {refused}"))?;
    are_made(&ground, &results).await
}

async fn item_passing(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let refused = std::sync::atomic::AtomicBool::new(false);
    let relay = Relay::tampering(ground.get().await.address(), move |method: &str, way, message: Bytes| {
        let mut response = match (method, way) {
            ("SubmitRuns", Way::Down) => v1::SubmitRunsResponse::decode(message).expect("a message of the stream"),
            _ => return vec![message],
        };
        if !response.results.is_empty() && !refused.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let status: rpc::Status = Refusal::of_semel(Code::ResourceExhausted, "OVERLOADED", 1)
                .retry_after(Duration::from_millis(100))
                .into_status();
            response.results[0].outcome = Some(v1::submit_result::Outcome::Refused(status));
        }
        vec![response.encode_to_vec().into()]
    });
    let relay = relay.await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let results = client.many("submit_many", 20, json!({})).await?;
    are_made(&ground, &results).await
}

async fn unknown_method(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let answer = || Refusal::bare(Code::Unimplemented).response();
    let relay = Relay::to(ground.get().await.address()).await.answering("SubmitRuns", 1000, answer);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let results = client.many("submit_many", 120, json!({})).await?;
    are_made(&ground, &results).await?;
    claim(relay.arrived("RunJob") >= 120, || format!("expected 120 calls, got {}", relay.arrived("RunJob")))
}

async fn stream_refused(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let answer = || crate::refusals::http_status(503);
    let relay = Relay::to(ground.get().await.address()).await.answering("SubmitRuns", 2, answer);
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let results = client.many("submit_many", 120, json!({})).await?;
    are_made(&ground, &results).await
}

async fn going_away(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let submitting = client.clone();
    let results = tokio::spawn(async move { submitting.many("submit_many", 6000, json!({})).await });
    eventually(|| async {
        let request = v1::ListRunsRequest { app: "pay".to_owned(), ..Default::default() };
        let some = ground.get().await.admin().list_runs(request).await.is_ok_and(|answer| answer.runs.len() > 5);
        claim(some, || "expected some runs".to_owned())
    })
    .await?;
    ground.restart().await;
    let results = results.await.map_err(|error| Short::Gap(error.to_string()))??;
    are_made(&ground, &results).await
}

async fn expired_stream(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    let mut results = client.many("submit_many", 20, json!({})).await?;
    ground.get().await.advance(Duration::from_secs(13 * 3600));
    results.extend(client.many("submit_many", 20, json!({})).await?);
    are_made(&ground, &results).await
}

/// Each of a few runs has this error, and none is made.
async fn all_refused(client: &Client, ground: &Standing, code: &str, reason: &str, status: &str) -> Verdict {
    for result in client.many("submit_many", 12, json!({})).await? {
        let failed = error_of(&result)?;
        failed.is("refused", code, reason)?;
        failed.says(status)?;
    }
    ground.has_runs(0).await.map(drop)
}

async fn expired_stream_token(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    cx.nothing_may_happen();
    let token = ground.get().await.token(Duration::from_secs(3600)).await.token;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, json!({"token": token}), json!({})).await?;
    ground.get().await.advance(Duration::from_secs(13 * 3600));
    all_refused(&client, &ground, "UNAUTHENTICATED", "CREDENTIALS_EXPIRED", "EXPIRED").await
}

async fn forbidden_stream(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let secret = ground.get().await.app("shop").await;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, json!({"app": "shop", "secret": secret}), json!({})).await?;
    all_refused(&client, &ground, "PERMISSION_DENIED", "FORBIDDEN", "FORBIDDEN").await
}

async fn many_calls(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let results = client.many("call_many", 200, json!({"concurrency": 32})).await?;
    are_made(&ground, &results).await
}
