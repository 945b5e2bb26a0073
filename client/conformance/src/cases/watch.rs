//! Watching: every event once and in order, over everything that breaks.

use std::net::SocketAddr;

use semel_faults::{Draw, Fault, Plan, Proxy};
use semel_proto::v1::EventKind;
use serde_json::json;

use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::Client,
    ground::JOB,
    relay::Relay,
    watching::{Watching, is_whole},
};

pub(super) const CASES: &[Case] = &[
    case!(tail, "Events of runs that are made while it watches, in order, each with a place to go on behind it."),
    case!(from_revision, "From the first revision on: everything that happened before, then what happens."),
    case!(snapshot, "A snapshot, its end, and then the events after it."),
    case!(filtered, "A filter by kind: nothing else is told."),
    case!(stopped, "It ends without an error when it is stopped."),
    case!(
        resumed,
        "The program is killed and starts again with its last token, inside of a message: no gap, no double."
    ),
    case!(watch_cut, "The connection is cut again and again: no gap, no double."),
    case!(watch_restart, "The server is started again: no gap, no double."),
    case!(watch_drain, "The server says that it goes away, and another comes: no gap, no double."),
    case!(watch_reset, "The stream is reset in the middle: no gap, no double."),
    case!(watch_twice, "A message comes twice: no gap, no double.").beyond_a_stub(),
    case!(watch_stalls, "Nothing goes through any more, and the stream stays open: noticed by the missing progress."),
    case!(watch_unavailable, "The stream is refused by a proxy at first: it is made again."),
];

async fn direct(cx: &mut Cx) -> Verdict<(Standing, Client)> {
    let ground = cx.ground().await;
    cx.may_happen(100);
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let client = cx.connect(&endpoint, secret, json!({})).await?;
    Ok((ground, client))
}

async fn relayed(cx: &mut Cx) -> Verdict<(Standing, Relay, Client)> {
    let ground = cx.ground().await;
    cx.may_happen(100);
    let relay = Relay::to(ground.get().await.address()).await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    Ok((ground, relay, client))
}

pub(super) async fn make_runs(ground: &Standing, count: usize) {
    for number in 0..count {
        ground.get().await.submit(JOB, &number.to_string()).await;
    }
}

/// It has told everything up to now, and nothing twice.
pub(super) async fn tells_all(ground: &Standing, watching: &mut Watching) -> Verdict {
    let truth = ground.get().await.run_events().await;
    watching.until_seen(truth.len()).await?;
    watching.is_whole(&truth)
}

async fn tail(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let mut watching = Watching::start(&client, json!({}), None).await;
    watching.until("opened").await?;
    make_runs(&ground, 5).await;
    let event = watching.until("event").await?;
    claim(event["token"].is_string(), || format!("expected a place to go on, got {event}"))?;
    tells_all(&ground, &mut watching).await?;
    watching.stop().await
}

async fn from_revision(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    make_runs(&ground, 5).await;
    let mut watching = Watching::from_the_first(&client).await;
    tells_all(&ground, &mut watching).await?;
    make_runs(&ground, 5).await;
    tells_all(&ground, &mut watching).await
}

async fn snapshot(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    make_runs(&ground, 3).await;
    let before = ground.get().await.run_events().await.len();
    let mut watching = Watching::start(&client, json!({"snapshot": "SNAPSHOT_SCOPE_LIVE"}), None).await;
    watching.until("snapshot_begin").await?;
    let (mut runs, mut jobs) = (0, 0);
    loop {
        let item = watching.next().await?;
        match item["told"].as_str() {
            Some("run") => runs += 1,
            Some("job") => jobs += 1,
            Some("snapshot_end") => break,
            _ => {}
        }
    }
    claim((runs, jobs) == (3, 1), || format!("expected 3 runs and 1 job, got {runs} and {jobs}"))?;
    make_runs(&ground, 2).await;
    let truth = ground.get().await.run_events().await;
    watching.until_seen(truth.len() - before).await?;
    watching.is_whole(&truth[before..])
}

async fn filtered(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let request = json!({"from_revision": "1", "kinds": ["EVENT_KIND_RUN_CANCELLED"]});
    let mut watching = Watching::start(&client, request, None).await;
    let run_id = ground.get().await.submit(JOB, "").await;
    ground.get().await.cancel(&run_id).await;
    let mut truth = ground.get().await.run_events().await;
    truth.retain(|(_, kind, _)| *kind == EventKind::RunCancelled as i32);
    watching.until_seen(1).await?;
    watching.is_whole(&truth)
}

async fn stopped(cx: &mut Cx) -> Verdict {
    let (_ground, client) = direct(cx).await?;
    let mut watching = Watching::start(&client, json!({}), None).await;
    watching.until("opened").await?;
    watching.stop().await
}

async fn resumed(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    // All within one message.
    client.many("call_many", 20, json!({"concurrency": 20})).await?;
    let (endpoint, secret) = (ground.get().await.endpoint(), ground.get().await.by_secret());
    let (mut seen, mut token) = (Vec::new(), None);
    for stop_after in [3, 5, 4] {
        let driver = cx.another_driver()?;
        let own = cx.connect_on(&driver, &endpoint, secret.clone(), json!({})).await?;
        let request = if token.is_none() { json!({"from_revision": "1"}) } else { json!({}) };
        let mut watching = Watching::start(&own, request, token.as_deref()).await;
        watching.until_seen(stop_after).await?;
        driver.kill().await;
        token.clone_from(&watching.token);
        seen.append(&mut watching.seen);
    }
    make_runs(&ground, 3).await;
    let truth = ground.get().await.run_events().await;
    let mut watching = Watching::start(&client, json!({}), token.as_deref()).await;
    watching.until_seen(truth.len() - seen.len()).await?;
    seen.append(&mut watching.seen);
    is_whole(&seen, &truth)
}

async fn watch_cut(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let mut watching = Watching::from_the_first(&client).await;
    for _ in 0..4 {
        make_runs(&ground, 3).await;
        let truth = ground.get().await.run_events().await;
        watching.until_seen(truth.len()).await?;
        relay.cut();
    }
    make_runs(&ground, 3).await;
    tells_all(&ground, &mut watching).await
}

async fn watch_restart(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let mut watching = Watching::from_the_first(&client).await;
    make_runs(&ground, 3).await;
    watching.until_seen(2).await?;
    ground.stop().await;
    relay.cut();
    ground.revive().await;
    make_runs(&ground, 3).await;
    tells_all(&ground, &mut watching).await
}

async fn watch_drain(cx: &mut Cx) -> Verdict {
    let (ground, client) = direct(cx).await?;
    let mut watching = Watching::from_the_first(&client).await;
    make_runs(&ground, 3).await;
    watching.until_seen(2).await?;
    ground.get().await.drain().await;
    ground.restart().await;
    make_runs(&ground, 3).await;
    tells_all(&ground, &mut watching).await
}

async fn meets(cx: &mut Cx, fault: Fault) -> Verdict {
    let ground = cx.ground().await;
    cx.may_happen(100);
    make_runs(&ground, 6).await;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let to = ground.get().await.address();
    let proxy = Proxy::start(here, to, Plan::in_stream(Draw::new(fault, 0), 1)).await.expect("a free port");
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&proxy.endpoint(), token, json!({"backoff_first": 20})).await?;
    let mut watching = Watching::from_the_first(&client).await;
    tells_all(&ground, &mut watching).await?;
    make_runs(&ground, 3).await;
    tells_all(&ground, &mut watching).await?;
    claim(proxy.counts().of(fault) == 1, || format!("{fault} did not come about"))
}

async fn watch_reset(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::ResetStream).await
}

async fn watch_twice(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::RepeatAnswer).await
}

async fn watch_stalls(cx: &mut Cx) -> Verdict {
    meets(cx, Fault::Stall).await
}

async fn watch_unavailable(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let relay = relay.answering("Watch", 2, || crate::refusals::http_status(503));
    make_runs(&ground, 3).await;
    let mut watching = Watching::from_the_first(&client).await;
    tells_all(&ground, &mut watching).await?;
    claim(relay.arrived("Watch") >= 3, || "it was not made again".to_owned())
}
