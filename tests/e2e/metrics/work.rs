//! Scenes of runs on their way, those who do them and those who watch, and of what the disk has and forgets.

use std::collections::BTreeSet;

use semel_client::v1::{self, work_request};
use semel_core::id::Millis;
use semel_server::{clock::ManualClock, engine::Retention, server::Data};
use tonic::transport::Endpoint;

use super::{admin, moves::Watched, with_admin};
use crate::e2e::{
    crew::PayByClient,
    harness::{job, run_job, spec},
    raw_watcher::{RawWatcher, of},
    raw_worker::{RawWorker, failed_plainly, let_go, succeeded},
    wire::{Wire, seconds, wall},
};

/// A run in each of its states, and workers in theirs.
pub(super) async fn runs_workers_and_watchers() -> BTreeSet<String> {
    let (pay, clock) = PayByClient::with_manual_clock(with_admin).await;
    let mut watched = Watched::begin(admin(&pay)).await;
    let retry = Some(v1::RetryPolicy { max_attempts: 2, ..Default::default() });
    job(&pay.client, "settle", v1::JobSpec { retry, ..spec("p") }).await;
    job(&pay.client, "once", v1::JobSpec { run_timeout: seconds(60), ..spec("p") }).await;
    let start_time = Some(prost_types::Timestamp { seconds: wall(&clock) / 1000 + 3600, nanos: 0 });
    pay.submit_with(v1::RunJobRequest { start_time, ..run_job("settle") }).await;
    pay.submit("settle").await;
    clock.advance(Millis(5000));
    let waits =
        ["semel_runs{state=\"scheduled\"}", "semel_runs{state=\"queued\"}", "semel_runs_oldest_queued_age_seconds"];
    watched.until(&waits).await;

    let mut worker = pay.worker("p", 2).await;
    let first = worker.assignment().await;
    let slots = ["semel_workers{state=\"connected\"}", "semel_worker_slots", "semel_worker_slots_free"];
    watched.until(&slots).await;
    watched.until(&["semel_runs{state=\"running\"}", "semel_calls_open"]).await;
    pay.submit("settle").await;
    let second = worker.assignment().await;
    worker.report(failed_plainly(&second)).await;
    watched.until(&["semel_runs{state=\"retrying\"}"]).await;
    pay.cancel(&first.run_id).await;
    watched.until(&["semel_runs{state=\"cancelling\"}"]).await;
    worker.report(let_go(&first)).await;
    clock.advance(Millis(10_000));
    pay.tick().await;
    let again = worker.assignment().await;
    worker.report(succeeded(&again, "")).await;
    pay.submit("once").await;
    let once = worker.assignment().await;
    worker.report(failed_plainly(&once)).await;

    worker.say(work_request::Kind::Drain(v1::Drain {})).await;
    watched.until(&["semel_workers{state=\"draining\"}"]).await;
    is_lost(&pay, &clock, &mut watched).await;
    watches(&pay, &mut watched).await;
    watched.end().await
}

/// A worker that holds something and says nothing; and a run that nobody takes.
async fn is_lost(pay: &PayByClient, clock: &ManualClock, watched: &mut Watched) {
    let mut silent: RawWorker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    silent.assignment().await;
    pay.submit("once").await;
    clock.advance(Millis::from_secs(61));
    pay.tick().await;
    watched.until(&["semel_workers{state=\"lost\"}", "semel_runs_ended_total{state=\"expired\"}"]).await;
}

/// A watcher that does not read, over a connection that holds little of what it does not.
async fn watches(pay: &PayByClient, watched: &mut Watched) {
    let endpoint = Endpoint::from_shared(pay.server.endpoint()).expect("an endpoint");
    let narrow = endpoint.initial_stream_window_size(64 << 10).initial_connection_window_size(64 << 10);
    let channel = narrow.connect().await.expect("connects");
    let wire = Wire { channel, authorization: None }.bearer(&pay.secret);
    let watcher = RawWatcher::watch(&wire, of("pay")).await;
    watched.until(&["semel_watchers"]).await;
    let lag = "semel_watch_lag_revisions";
    for _ in 0..40 {
        for _ in 0..50 {
            let labels = [("why".to_owned(), "x".repeat(200))].into();
            pay.submit_with(v1::RunJobRequest { labels, ..run_job("once") }).await;
        }
        watched.look().await;
        if watched.has_moved(lag) {
            break;
        }
    }
    watched.until(&[lag]).await;
    drop(watcher);
}

/// A store on a disk whose rows come and go.
pub(super) async fn the_disk_and_what_is_forgotten() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    let (mut pay, clock) = PayByClient::with_manual_clock(|settings| {
        with_admin(settings);
        settings.data = Data::Directory { path, map_size: 64 << 20 };
        let kept = Some(Millis::from_secs(3600));
        settings.engine.retention =
            Retention { runs: kept, events: kept, interval: Millis(1000), rows_max: 2, ..Retention::default() };
    })
    .await;
    let mut watched = Watched::begin(admin(&pay)).await;
    job(&pay.client, "settle", spec("p")).await;
    for _ in 0..50 {
        let large = v1::Payload { data: vec![7; 10_000].into(), ..Default::default() };
        let run_id = pay.submit_with(v1::RunJobRequest { payload: Some(large), ..run_job("settle") }).await;
        pay.cancel(&run_id).await;
    }
    watched
        .until(&[
            "semel_store_log_held_bytes",
            "semel_store_log_held_commits",
            "semel_store_flush_duration_seconds_count",
            "semel_store_used_bytes",
            "semel_store_file_bytes",
            "semel_window_requests",
        ])
        .await;
    clock.advance(Millis::from_secs(1800));
    watched.until(&["semel_window_oldest_age_seconds"]).await;
    clock.advance(Millis::from_secs(25 * 3600));
    pay.tick().await;
    pay.submit("settle").await;
    watched
        .until(&[
            "semel_forgotten_total{what=\"requests\"}",
            "semel_forgotten_total{what=\"runs\"}",
            "semel_forgotten_total{what=\"records\"}",
            "semel_retention_behind_total",
            "semel_log_oldest_revision",
        ])
        .await;
    // The server is in this process, so what the test opens and starts is there.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || held.recv().is_err());
    let open: Vec<_> = (0..8).map(|_| std::fs::File::open(folder.path()).expect("it is there")).collect();
    watched
        .until(&["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_threads"])
        .await;
    drop((open, hold));
    assert!(thread.join().expect("no panic"));
    let moved = watched.end().await;
    // Before its folder goes.
    pay.server.running.take().expect("it runs").shutdown().await.expect("a clean end");
    moved
}
