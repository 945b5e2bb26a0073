//! Scenes in which callers are refused, for every reason that there is.

use std::{collections::BTreeSet, time::Duration};

use semel_client::v1::{self, OverlapRule};
use semel_core::id::Millis;
use semel_server::{engine::Retention, store::Fault};

use super::{every, moves::Watched, with_admin};
use crate::e2e::{
    harness::{TestServer, in_time, run_job, spec},
    raw_watcher::{RawWatcher, from, of},
    raw_worker::{RawWorker, failed_plainly, hello, succeeded},
    valve::{Valve, Which},
    wire::{PayByWire, Wire, fresh, id_at, payload, seconds, settle, wall},
};

async fn watched(pay: &PayByWire) -> Watched {
    Watched::begin(pay.server.running().admin_address().expect("it listens")).await
}

/// By the engine, which looked at the wish.
pub(super) async fn by_the_rules() -> BTreeSet<String> {
    let (server, clock) = TestServer::with_manual_clock(|settings| {
        with_admin(settings);
        settings.engine.limits.live_runs_per_app_max = 2;
    })
    .await;
    let pay = PayByWire::on(server).await;
    let watched = watched(&pay).await;
    let (wire, now) = (&pay.pay, wall(&clock));
    let id = id_at(now);
    let run_id = settle(wire, &id).await.expect("a run").run_id;
    settle(wire, &id).await.expect("the same run");
    wire.refused(&id, v1::RunJobRequest { payload: payload("1"), ..run_job("settle") }).await;
    wire.refused(&id_at(now + 3_600_000), run_job("settle")).await;
    wire.refused(&id_at(now - 25 * 3_600_000), run_job("settle")).await;
    wire.refused(&fresh(), run_job("nothing")).await;
    wire.refused(&fresh(), v1::CreateAppRequest { app: "pay/x".to_owned(), ..Default::default() }).await;
    let create = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    wire.refused(&fresh(), create).await;
    let etag = "1".to_owned();
    let job = "settle".to_owned();
    wire.refused(&fresh(), v1::UpdateJobRequest { job, etag, spec: Some(spec("echo")), ..Default::default() }).await;
    pay.admin.refused(&fresh(), v1::DeleteAppRequest { app: "pay".to_owned(), ..Default::default() }).await;
    wire.refused(&fresh(), v1::RetryRunRequest { run_id: run_id.clone(), ..Default::default() }).await;
    wire.refused(&fresh(), v1::DeleteJobRequest { job: "settle".to_owned(), ..Default::default() }).await;
    settle(wire, &fresh()).await.expect("as many as there may be");
    wire.refused(&fresh(), run_job("settle")).await;
    let cancel = v1::CancelRunRequest { run_id, ..Default::default() };
    wire.served(&fresh(), cancel.clone()).await;
    wire.refused(&fresh(), cancel).await;
    of_triggers(wire, now).await;

    let mut worker = RawWorker::open(wire, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    worker.report(succeeded(&assignment, "")).await;
    worker.submit(&fresh(), failed_plainly(&assignment)).await.expect_err("it is over");
    watched.end().await
}

async fn of_triggers(wire: &Wire, now: i64) {
    let after = v1::AfterJob { job: "a".to_owned(), states: Vec::new() };
    let follows = v1::TriggerSpec { when: Some(v1::trigger_spec::When::After(after)), ..Default::default() };
    let circle = v1::JobSpec { triggers: [("t".to_owned(), follows)].into(), ..spec("p") };
    wire.refused(&fresh(), v1::CreateJobRequest { job: "a".to_owned(), spec: Some(circle), ..Default::default() })
        .await;
    let hourly = v1::JobSpec { triggers: [("t".to_owned(), every(3600, OverlapRule::Skip, 0))].into(), ..spec("p") };
    let create = v1::CreateJobRequest { job: "b".to_owned(), spec: Some(hourly), ..Default::default() };
    wire.served(&fresh(), create).await;
    let from_time = |hours: i64| Some(prost_types::Timestamp { seconds: now / 1000 + hours * 3600, nanos: 0 });
    let backfill = |hours: i64| v1::BackfillTriggerRequest {
        job: "b".to_owned(),
        trigger: "t".to_owned(),
        from_time: from_time(hours),
        overlap: Some(v1::Overlap { rule: OverlapRule::BufferAll.into(), max: 1 }),
        ..Default::default()
    };
    // It lies ahead; then one begins, and cannot end while the app has as many runs as it may.
    wire.refused(&fresh(), backfill(50)).await;
    wire.served(&fresh(), backfill(-100)).await;
    wire.refused(&fresh(), backfill(-100)).await;
}

/// Before the engine has looked at anything.
pub(super) async fn before_the_engine() -> BTreeSet<String> {
    let kept = Millis::from_secs(600);
    let (server, clock) = TestServer::with_manual_clock(|settings| {
        with_admin(settings);
        let retention = Retention { events: Some(kept), interval: Millis(1000), ..Retention::default() };
        settings.engine.retention = retention;
    })
    .await;
    let pay = PayByWire::on(server).await;
    let watched = watched(&pay).await;
    let wire = &pay.pay;
    wire.refused("", run_job("settle")).await;
    wire.refused("no id", run_job("settle")).await;
    wire.refused(&fresh(), run_job("Not A Name")).await;

    let issue = v1::IssueTokenRequest { lifetime: seconds(60), ..Default::default() };
    let (short, long) = (wire.served("", issue.clone()).await, wire.served("", v1::IssueTokenRequest::default()).await);
    settle(&pay.nobody.bearer(&long.token), &fresh()).await.expect("it is good");
    pay.nobody
        .bearer(&long.token)
        .refused(&fresh(), v1::CreateAppRequest { app: "x".to_owned(), ..Default::default() })
        .await;
    pay.nobody.refused(&fresh(), run_job("settle")).await;
    clock.advance(Millis::from_secs(60));
    pay.nobody.bearer(&short.token).refused(&fresh(), run_job("settle")).await;
    let target = Some(v1::revoke_token_request::Target::TokenId(long.token_id));
    wire.served(&fresh(), v1::RevokeTokenRequest { target, ..Default::default() }).await;
    pay.nobody.bearer(&long.token).refused(&fresh(), run_job("settle")).await;
    pay.nobody.bearer(&format!("sk_{}", "A".repeat(43))).refused(&fresh(), run_job("settle")).await;

    for _ in 0..3 {
        clock.advance(kept);
        pay.server.running().engine().poke();
        settle(wire, &fresh()).await.expect("a run");
    }
    RawWatcher::open(wire, from(&of("pay"), 1)).await.err().expect("it was forgotten");
    // Guesses, until there were too many.
    while pay.nobody.bearer("rubbish").refused(&fresh(), run_job("settle")).await.reason != "AUTH_THROTTLED" {}

    pay.server.memory().inject(Fault::FailNextCommit { applied: false });
    pay.pay.refused(&fresh(), run_job("settle")).await;
    pay.server.running().drain().await;
    watched.end().await
}

/// While the engine stands still.
pub(super) async fn too_late_or_too_many() -> BTreeSet<String> {
    let (server, valve) = Valve::server(|settings| {
        with_admin(settings);
        settings.engine.bounds.queue_max = 1;
    })
    .await;
    let pay = PayByWire::on(server).await;
    let mut watched = watched(&pay).await;
    valve.shut(Which::Requests);
    let call = |message: v1::RunJobRequest| {
        let wire = pay.pay.clone();
        tokio::spawn(async move { wire.send(&fresh(), message).await })
    };
    let first = call(run_job("settle"));
    valve.holds().await;
    // One that waits; it gives up before the engine comes to it.
    let (id, message) = (fresh(), v1::RunJobRequest { payload: payload("1"), ..run_job("settle") });
    pay.pay.send_within(&id, message, LATE).await.expect_err("nothing is committed");
    pay.pay.refused(&fresh(), run_job("settle")).await.says_when();
    pay.pay.refused("", v1::ListRunsRequest::default()).await.says_when();
    let wire = pay.pay.clone();
    let worker = tokio::spawn(async move { RawWorker::open(&wire, hello("echo", 1)).await.map(drop) });
    watched
        .until(&[
            "semel_engine_queue_requests",
            "semel_engine_queue_bytes",
            "semel_engine_queue_worker_places",
            "semel_engine_overloaded_total{class=\"request\"}",
            "semel_engine_overloaded_total{class=\"look\"}",
        ])
        .await;
    valve.open();
    in_time(first).await.expect("no panic").expect("it is served");
    in_time(worker).await.expect("no panic").expect("so is the worker");
    watched.until(&["semel_requests_refused_total{reason=\"OUTCOME_UNKNOWN\"}"]).await;
    let mut moved = watched.end().await;
    moved.append(&mut slow().await);
    moved
}

/// How long a caller waits that is too early.
const LATE: Duration = Duration::from_millis(700);

/// A commit that takes so long that the engine lets fewer wait; and callers that look meanwhile, and that come while it goes.
async fn slow() -> BTreeSet<String> {
    let (server, valve) = Valve::server(with_admin).await;
    let pay = PayByWire::on(server).await;
    let mut watched = watched(&pay).await;
    valve.shut(Which::Requests);
    let id = fresh();
    // Until it is the server that says so, and not the client's own timer.
    while pay.pay.send_within(&id, run_job("settle"), LATE).await.expect_err("it stands still").details().is_empty() {}
    let engine = pay.server.running().engine().clone();
    let look = tokio::spawn(async move { engine.read(|_| ()).await });
    watched.until(&["semel_engine_queue_looks"]).await;
    valve.open();
    in_time(look).await.expect("no panic").expect("it looks");
    in_time(settle(&pay.pay, &id)).await.expect("a run");
    watched.until(&["semel_engine_queue_room_requests"]).await;
    pay.server.running().drain().await;
    pay.pay.refused(&fresh(), run_job("settle")).await;
    watched.until(&["semel_calls_refused_total{reason=\"DRAINING\"}"]).await;
    watched.end().await
}
