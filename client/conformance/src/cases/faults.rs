//! What networks and proxies do to a call, by the fault-injecting proxy: it succeeds in the end, under its id, and makes one
//! run.

use std::net::SocketAddr;

use semel_faults::{Draw, Fault, Plan, Proxy};
use serde_json::json;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, case},
};

pub(super) const CASES: &[Case] = &[
    case!(strip_request, "A proxy takes every optional header of the request away."),
    case!(strip_answer, "A proxy takes every optional header and trailer of the answer away."),
    case!(respell, "A proxy writes the answer as other servers do."),
    case!(delay, "The answer comes after the attempt's deadline."),
    case!(swallow, "The call takes effect and its answer never comes."),
    case!(lose_answer, "The call takes effect and a gateway says 502, 503, 504 or UNAVAILABLE."),
    case!(refuse, "A gateway says 502, 503, 504 or UNAVAILABLE before the server has the call."),
    case!(reset_before, "The stream is reset before the server has the call, with any code."),
    case!(reset_during, "The stream is reset while the server has the call, with any code."),
    case!(reset_within, "The stream is reset within the answer, with any code."),
    case!(reset_after, "The stream is reset after the call took effect, with any code."),
    case!(cut_before, "The connection is cut before the server has the call."),
    case!(cut_after, "The connection is cut after the call took effect."),
    case!(cut_server, "The proxy's connection to the server is cut while the call is under way."),
    case!(twice_at_once, "The call is delivered twice at the same time."),
    case!(twice_after, "The call is delivered again after its answer."),
    case!(twice_later, "The call is delivered again long after its answer."),
];

/// How many choices a fault has at most: the codes of a reset.
const CHOICES: u32 = 6;

/// A call for each choice that the fault has; each succeeds and makes one run.
async fn meets(cx: &mut Cx, fault: Fault, choices: u32) -> Verdict {
    let ground = cx.ground().await;
    let token = ground.get().await.by_token().await;
    for dice in 0..choices {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let to = ground.get().await.address();
        let plan = Plan::first([Draw::new(fault, dice)]);
        let proxy = Proxy::start(here, to, plan).await.expect("a free port");
        let options = json!({"request_timeout": 1000, "backoff_first": 20});
        let client = cx.connect(&proxy.endpoint(), token.clone(), options).await?;
        let made = client.made(json!({})).await?;
        proxy.send_kept().await;
        claim(proxy.counts().of(fault) == 1, || format!("{fault} did not come about"))?;
        ground.has_done(&made.request_id).await?;
        client.ask("close", json!({})).await.ok()?;
        ground.has_runs(dice as usize + 1).await?;
    }
    Ok(())
}

async fn strip_request(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::StripRequest, 1).await
}

async fn strip_answer(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::StripAnswer, 1).await
}

async fn respell(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Respell, 1).await
}

async fn delay(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Delay, 1).await
}

async fn swallow(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Swallow, 1).await
}

async fn lose_answer(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::LoseAnswer, 4).await
}

async fn refuse(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Refuse, 4).await
}

async fn reset_before(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetBefore, CHOICES).await
}

async fn reset_during(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetDuring, CHOICES).await
}

async fn reset_within(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetWithin, CHOICES).await
}

async fn reset_after(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetAfter, CHOICES).await
}

async fn cut_before(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::CutBefore, 1).await
}

async fn cut_after(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::CutAfter, 1).await
}

async fn cut_server(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::CutServer, 1).await
}

async fn twice_at_once(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::TwiceAtOnce, 1).await
}

async fn twice_after(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::TwiceAfter, 1).await
}

async fn twice_later(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::TwiceLater, 1).await
}
