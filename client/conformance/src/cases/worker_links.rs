//! Workers over streams that break: an attempt is reported once, and one that was given to another is stopped.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use semel_faults::Port;
use semel_proto::v1::{self, AttemptState, Disposition, RunState, work_request, work_response};
use serde_json::json;

use super::worker::{comes_to, counts, has_attempts, make_jobs, staffed};
use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case, eventually},
    client::Client,
    messages::Way,
    relay::Relay,
    working::Working,
};

pub(super) const CASES: &[Case] = &[
    case!(work_cut, "The connection is cut while a handler works: it works on, and reports the same attempt."),
    case!(
        work_restart,
        "The server is started again while a handler works: it works on, and reports the same attempt."
    ),
    case!(work_goes, "The server says that it goes away, and another comes: what is held is reported there."),
    case!(report_lost, "A report is lost with the connection: reported again under its id, one attempt."),
    case!(
        ack_lost,
        "The acknowledgement of a report is lost with the connection: reported again under its id, a replay."
    ),
    case!(ack_lost_stale, "The same where the server says that the attempt is over: the worker goes on, and drains."),
    case!(
        work_stale,
        "The attempt was given to another meanwhile: the handler is told to stop, and its report changes nothing."
    ),
    case!(work_unavailable, "The stream is refused by a proxy at first: it is made again."),
];

async fn relayed(cx: &mut Cx) -> Verdict<(Standing, Relay, Client)> {
    let (ground, _direct) = staffed(cx).await?;
    let relay = Relay::to(ground.get().await.address()).await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    Ok((ground, relay, client))
}

/// The handler is let go on, and its one attempt is reported.
async fn is_reported(ground: &Standing, working: Working, run_id: &str) -> Verdict {
    working.release(run_id).await?;
    let run = comes_to(ground, run_id, RunState::Succeeded).await?;
    has_attempts(&run, &[AttemptState::Succeeded])?;
    claim(working.started(run_id) == 1, || "the handler was entered again".to_owned())?;
    counts(&working.stop().await?, "succeeded", 1)
}

async fn work_cut(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    for number in 2..=3 {
        relay.cut();
        relay.wait_for("Work", number).await?;
    }
    is_reported(&ground, working, &run_id).await
}

async fn work_restart(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    ground.stop().await;
    relay.cut();
    ground.revive().await;
    relay.wait_for("Work", 2).await?;
    is_reported(&ground, working, &run_id).await
}

async fn work_goes(cx: &mut Cx) -> Verdict {
    let (ground, client) = staffed(cx).await?;
    let mut working = Working::start(&client, &["conformance.block"], 4).await?;
    let run_id = ground.get().await.submit("block", "").await;
    working.until("started", &run_id).await?;
    ground.get().await.drain().await;
    ground.restart().await;
    is_reported(&ground, working, &run_id).await
}

/// What went over the stream of a worker: the ids of its reports, and how they were acknowledged.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    ids: Vec<String>,
    dispositions: Vec<i32>,
}

/// What gets lost once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    Report,
    Ack,
}

impl Reports {
    /// A relay that notes them, loses one message, and leaves out which attempts are stale if asked to.
    async fn noted(&self, ground: &Standing, what: Lost, hides_stale: bool) -> Relay {
        let (reports, lost) = (self.clone(), AtomicBool::new(false));
        let tamper = move |method: &str, way, message: Bytes| {
            if method != "Work" {
                return vec![message];
            }
            let (is, message) = if way == Way::Up { reports.up(message) } else { reports.down(message, hides_stale) };
            if is == Some(what) && !lost.swap(true, Ordering::SeqCst) { Vec::new() } else { vec![message] }
        };
        Relay::tampering(ground.get().await.address(), tamper).await
    }

    fn up(&self, message: Bytes) -> (Option<Lost>, Bytes) {
        let request = v1::WorkRequest::decode(message.clone()).expect("a message of the stream");
        if !matches!(request.kind, Some(work_request::Kind::Report(_))) {
            return (None, message);
        }
        self.noted_so_far().ids.push(request.header.unwrap_or_default().request_id);
        (Some(Lost::Report), message)
    }

    fn down(&self, message: Bytes, hides_stale: bool) -> (Option<Lost>, Bytes) {
        let mut response = v1::WorkResponse::decode(message.clone()).expect("a message of the stream");
        let header = response.header.clone().unwrap_or_default();
        match &mut response.kind {
            Some(work_response::Kind::Opened(opened)) if hides_stale => {
                opened.stale.clear();
                (None, response.encode_to_vec().into())
            }
            Some(work_response::Kind::Ack(_)) if self.noted_so_far().ids.contains(&header.request_id) => {
                self.noted_so_far().dispositions.push(header.disposition);
                (Some(Lost::Ack), message)
            }
            _ => (None, message),
        }
    }

    fn noted_so_far(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every report came under one id.
    fn have_one_id(&self) -> Verdict {
        let noted = self.noted_so_far();
        claim(noted.ids.iter().all(|id| *id == noted.ids[0]), || format!("it was reported under {:?}", noted.ids))
    }

    /// Every report came under one id; these are the acknowledgements, the lost one included.
    async fn are(&self, expected: &[Disposition]) -> Verdict {
        let expected: Vec<i32> = expected.iter().map(|disposition| (*disposition).into()).collect();
        eventually(|| async {
            let noted = self.noted_so_far();
            claim(noted.dispositions.len() >= expected.len(), || "it was not reported again".to_owned())
        })
        .await?;
        self.have_one_id()?;
        let noted = self.noted_so_far();
        claim(noted.dispositions == expected, || {
            format!("expected acknowledgements {expected:?}, got {:?}", noted.dispositions)
        })
    }
}

/// A run is worked on, and something of its report gets lost together with the connection.
async fn loses(cx: &mut Cx, what: Lost, hides_stale: bool) -> Verdict<(Standing, Reports, Working, String, Relay)> {
    let (ground, _direct) = staffed(cx).await?;
    let reports = Reports::default();
    let relay = reports.noted(&ground, what, hides_stale).await;
    let secret = ground.get().await.by_secret();
    let client = cx.connect(&relay.endpoint(), secret, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    let working = Working::start(&client, &["conformance.echo"], 4).await?;
    let run_id = ground.get().await.submit("echo", "").await;
    eventually(|| async { claim(!reports.noted_so_far().ids.is_empty(), || "it was not reported".to_owned()) }).await?;
    if what == Lost::Ack {
        comes_to(&ground, &run_id, RunState::Succeeded).await?;
        reports.are(&[Disposition::Executed]).await?;
    }
    relay.cut();
    relay.wait_for("Work", 2).await?;
    Ok((ground, reports, working, run_id, relay))
}

async fn report_lost(cx: &mut Cx) -> Verdict {
    let (ground, reports, working, run_id, _relay) = loses(cx, Lost::Report, false).await?;
    let run = comes_to(&ground, &run_id, RunState::Succeeded).await?;
    has_attempts(&run, &[AttemptState::Succeeded])?;
    reports.are(&[Disposition::Executed]).await?;
    counts(&working.stop().await?, "succeeded", 1)
}

async fn ack_lost(cx: &mut Cx) -> Verdict {
    let (ground, reports, working, run_id, _relay) = loses(cx, Lost::Ack, true).await?;
    reports.are(&[Disposition::Executed, Disposition::Replayed]).await?;
    counts(&working.stop().await?, "succeeded", 1)?;
    has_attempts(&ground.get().await.run(&run_id).await, &[AttemptState::Succeeded])
}

async fn ack_lost_stale(cx: &mut Cx) -> Verdict {
    let (ground, reports, working, run_id, _relay) = loses(cx, Lost::Ack, false).await?;
    working.stop().await?;
    reports.have_one_id()?;
    has_attempts(&ground.get().await.run(&run_id).await, &[AttemptState::Succeeded])
}

async fn work_stale(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    cx.may_happen(100);
    make_jobs(&ground).await;
    // The policy of its job lets a lost attempt be made again.
    let spec = v1::JobSpec { processor: "conformance.block".to_owned(), ..Default::default() };
    ground.get().await.job("again", spec).await;
    let relay = Relay::to(ground.get().await.address()).await;
    let secret = ground.get().await.by_secret();
    let options = json!({"backoff_first": 20, "backoff_max": 200});
    let far = cx.connect(&relay.endpoint(), secret.clone(), options.clone()).await?;
    let mut first = Working::start(&far, &["conformance.block"], 1).await?;
    let run_id = ground.get().await.submit("again", "").await;
    first.until("started", &run_id).await?;
    // Nobody is there, for the first one.
    let nobody = Port::reserve().expect("a free port");
    relay.turn_to(nobody.address());
    relay.cut();
    ground.get().await.loses_workers().await?;
    // Behind the wait before the next attempt.
    ground.get().await.advance(Duration::from_secs(600));
    let direct = ground.get().await.endpoint();
    let near = cx.connect(&direct, secret, options).await?;
    let mut second = Working::start(&near, &["conformance.block"], 1).await?;
    let event = second.until("started", &run_id).await?;
    claim(event["attempt"] == 2, || format!("expected the second attempt, got {event}"))?;
    relay.turn_to(ground.get().await.address());
    first.until("cancelled", &run_id).await?;
    second.release(&run_id).await?;
    let run = comes_to(&ground, &run_id, RunState::Succeeded).await?;
    has_attempts(&run, &[AttemptState::Lost, AttemptState::Succeeded])?;
    counts(&second.stop().await?, "succeeded", 1)?;
    counts(&first.stop().await?, "succeeded", 0)
}

async fn work_unavailable(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = relayed(cx).await?;
    let relay = relay.answering("Work", 2, || crate::refusals::http_status(503));
    let working = Working::start(&client, &["conformance.echo"], 4).await?;
    let run_id = ground.get().await.submit("echo", "").await;
    comes_to(&ground, &run_id, RunState::Succeeded).await?;
    claim(relay.arrived("Work") >= 3, || "it was not made again".to_owned())?;
    counts(&working.stop().await?, "succeeded", 1)
}
