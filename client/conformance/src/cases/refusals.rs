//! Refusals are typed, and what no Semel server said is not taken for one's word.

use std::{net::SocketAddr, time::Duration};

use prost::Message as _;
use semel_faults::{Fault, Plan, Proxy};
use semel_proto::v1;
use serde_json::json;
use tonic::Code;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, case},
    refusals::{self, Body, Refusal},
    relay::Relay,
};

pub(super) const CASES: &[Case] = &[
    case!(violations, "What is wrong with a request is listed, field by field, all at once."),
    case!(not_found, "No such job: NOT_FOUND with the server's reason, and nothing is sent again."),
    case!(
        stripped_details,
        "A proxy takes the details of a refusal away: the code, UNSPECIFIED, not_semel, nothing happens."
    ),
    case!(
        stripped_trailers,
        "A proxy takes the trailers of an answer away: the call succeeds by another attempt, one run."
    ),
    case!(empty_ok, "Somebody answers OK with an empty message: no answer, and in the end not_semel.").beyond_a_stub(),
    case!(
        empty_ok_once,
        "Somebody answers OK with an empty message once: the call is sent again under its id, one run."
    )
    .beyond_a_stub(),
    case!(cached_answer, "Somebody answers with another call's answer: no answer, and in the end not_semel.")
        .beyond_a_stub(),
    case!(web_page, "A web page answers: not_semel, nothing happens."),
    case!(
        later_reason,
        "A reason, a verdict and a detail that the client does not know are given through, and judged by the code."
    ),
];

async fn violations(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let endpoint = ground.get().await.endpoint();
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&endpoint, token, json!({})).await?;
    let request = json!({"job": "no good name!", "spec": {"processor": "", "priority": 100_000}});
    let failed = client.call("CreateJob", request, json!({})).await.failed()?;
    failed.is("refused", "INVALID_ARGUMENT", "INVALID")?;
    failed.says("PASSED")?;
    let has = |field: &str| failed.violations.iter().any(|(name, what)| name == field && !what.is_empty());
    claim(has("job") && has("spec.processor"), || {
        format!("expected job and spec.processor, got {:?}", failed.violations)
    })
}

async fn not_found(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let relay = Relay::to(ground.get().await.address()).await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let failed = client.call("RunJob", json!({"job": "nowhere"}), json!({})).await.failed()?;
    claim(failed.kind == "refused" && failed.code == "NOT_FOUND" && !failed.reason.is_empty(), || {
        format!("expected refused NOT_FOUND with a reason, got {failed}")
    })?;
    failed.says("PASSED")?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))
}

async fn stripped_details(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    let proxy = Proxy::start(here, to, Plan::always(Fault::StripAnswer)).await.expect("a free port");
    let client = cx.connect(&proxy.endpoint(), json!(null), json!({})).await?;
    let failed = client.refused(json!({})).await?;
    failed.is("not_semel", "UNAUTHENTICATED", "")?;
    failed.says("UNSPECIFIED")?;
    claim(!failed.request_id.is_empty(), || format!("expected the id, got {failed}"))
}

async fn stripped_trailers(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    let plan = Plan::first([semel_faults::Draw::new(Fault::StripTrailers, 0)]);
    let proxy = Proxy::start(here, to, plan).await.expect("a free port");
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&proxy.endpoint(), token, json!({})).await?;
    let made = client.made(json!({})).await?;
    made.has_come(2)?;
    ground.has_runs(1).await.map(drop)
}

/// Somebody answers so, always: the client does not take it for an answer.
async fn is_not_taken(cx: &mut Cx, answer: impl Fn() -> http::Response<Body> + Send + Sync + 'static) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 64, answer);
    let token = ground.get().await.by_token().await;
    let options = json!({"overall_timeout": 5000, "backoff_max": 100});
    let client = cx.connect(&relay.endpoint(), token, options).await?;
    let failed = client.refused(json!({})).await?;
    claim(failed.kind == "not_semel", || format!("expected not_semel, got {failed}"))?;
    failed.says("UNSPECIFIED")?;
    claim(!failed.request_id.is_empty(), || format!("expected the id, got {failed}"))?;
    claim(relay.arrived("RunJob") <= 3, || format!("it was sent {} times", relay.arrived("RunJob")))
}

async fn empty_ok(cx: &mut Cx) -> Verdict {
    is_not_taken(cx, || refusals::ok(b"")).await
}

async fn empty_ok_once(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 2, || refusals::ok(b""));
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    let made = client.made(json!({})).await?;
    ground.has_done(&made.request_id).await?;
    ground.has_runs(1).await.map(drop)
}

async fn cached_answer(cx: &mut Cx) -> Verdict {
    let auth = v1::AuthResult { status: v1::AuthStatus::Passed as i32, ..Default::default() };
    let header = v1::ResponseHeader {
        request_id: "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".to_owned(),
        auth: Some(auth),
        disposition: v1::Disposition::Executed as i32,
        ..Default::default()
    };
    let run_id = "0190163d-8694-739b-aea5-966c26f8ad91".to_owned();
    let answer = v1::RunJobResponse { header: Some(header), run_id, ..Default::default() }.encode_to_vec();
    is_not_taken(cx, move || refusals::ok(&answer)).await
}

async fn web_page(cx: &mut Cx) -> Verdict {
    is_not_taken(cx, refusals::page).await
}

async fn later_reason(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let passing = Refusal::of_semel(Code::Unavailable, "MOON_IS_FULL", 1).retry_after(Duration::from_millis(50));
    let relay = Relay::to(ground.get().await.address()).await.answering("RunJob", 2, move || passing.response());
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    client.made(json!({})).await?;
    let binding = Refusal::of_semel(Code::FailedPrecondition, "MOON_IS_NEW", 77).unknown_detail();
    relay.next("RunJob", [crate::relay::Step::Answer(std::sync::Arc::new(move || binding.response()))]);
    let failed = client.call("RunJob", json!({"job": "settle"}), json!({})).await.failed()?;
    failed.is("refused", "FAILED_PRECONDITION", "MOON_IS_NEW")?;
    claim(failed.auth_status == json!(77) || failed.auth_status == json!("77"), || {
        format!("expected auth_status 77, got {failed}")
    })?;
    ground.has_runs(1).await.map(drop)
}
