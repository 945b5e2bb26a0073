//! What networks do to the stream of many runs, by the fault-injecting proxy: every run is made once and told once.

use std::{net::SocketAddr, time::Duration};

use semel_faults::{Draw, Fault, Plan, Proxy, Way};
use serde_json::json;

use super::submit::are_made;
use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, case},
};

pub(super) const CASES: &[Case] = &[
    case!(stream_reset, "The stream is reset in the middle."),
    case!(stream_cut, "The connection is cut in the middle."),
    case!(stream_cut_server, "The proxy's connection to the server is cut in the middle."),
    case!(stream_stalls, "From the middle on nothing goes through, and the stream stays open.").beyond_a_stub(),
    case!(stream_lost_message, "A message of runs is lost."),
    case!(stream_twice, "A message of runs comes to the server twice."),
    case!(stream_lost_answer, "A message of results is lost."),
    case!(stream_answer_twice, "A message of results comes twice."),
    case!(stream_late_answer, "A message of results comes later than anybody waits."),
];

/// Enough for several messages either way.
const RUNS: u64 = 800;

async fn meets(cx: &mut Cx, fault: Fault) -> Verdict {
    let ground = cx.ground().await;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    // The first message down is the header; how many hold the results is the server's choice.
    let number = if fault.way() == Some(Way::Up) { 2 } else { 1 };
    let plan = Plan::in_stream(Draw::new(fault, 0), number).hold_for(Duration::from_secs(3));
    let proxy = Proxy::start(here, to, plan).await.expect("a free port");
    let token = ground.get().await.by_token().await;
    let options = json!({"request_timeout": 1500, "backoff_first": 20, "backoff_max": 200});
    let client = cx.connect(&proxy.endpoint(), token, options).await?;
    let results = client.many("submit_many", RUNS, json!({})).await?;
    claim(proxy.counts().of(fault) == 1, || format!("{fault} did not come about"))?;
    are_made(&ground, &results).await
}

async fn stream_reset(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetStream).await
}

async fn stream_cut(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::CutWithin).await
}

async fn stream_cut_server(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::CutServerWithin).await
}

async fn stream_stalls(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Stall).await
}

async fn stream_lost_message(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::DropMessage).await
}

async fn stream_twice(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::RepeatMessage).await
}

async fn stream_lost_answer(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::DropAnswer).await
}

async fn stream_answer_twice(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::RepeatAnswer).await
}

async fn stream_late_answer(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::HoldAnswer).await
}
