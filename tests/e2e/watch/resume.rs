//! How a watch goes on: after a break, after a restart, after what it needs was forgotten, and from a snapshot.

use semel_client::v1::{self, EventKind, RunState, SnapshotScope, WatchRequest};
use semel_core::id::Millis;
use semel_server::engine::Retention;
use tonic::Code;

use super::{cancel, kinds, make_job, run};
use crate::e2e::{
    harness::TestServer,
    raw_watcher::{RawWatcher, from, of, resumed, run_of},
    raw_worker::{RawWorker, hello, succeeded},
    wire::{PayByWire, Refused},
};

#[tokio::test]
async fn a_watch_resumes_exactly_where_it_broke() {
    let pay = PayByWire::start().await;
    let request = WatchRequest { terminal_only: true, ..of("pay") };
    let mut whole = RawWatcher::watch(&pay.pay, request.clone()).await;
    let mut watcher = RawWatcher::watch(&pay.pay, request.clone()).await;
    let mut told = Vec::new();
    for round in 0..5 {
        for _ in 0..3 {
            let run_id = run(&pay.pay, "settle").await;
            cancel(&pay.pay, &run_id).await;
        }
        // Sometimes all has been heard when it breaks, and sometimes nothing.
        if round % 2 == 0 {
            told.extend(watcher.events(3 * (1 + usize::from(round > 0))).await);
        }
        let token = watcher.token.clone();
        assert!(watcher.kept().is_empty());
        drop(watcher);
        watcher = RawWatcher::watch(&pay.connect_again().await, resumed(&request, &token)).await;
    }
    assert_eq!(told, whole.events(15).await);
    let by_revision = from(&request, told[0].revision);
    assert_eq!(
        RawWatcher::watch(&pay.pay, by_revision).await.events(15).await,
        told,
        "or from a revision on, inclusive"
    );
}

#[tokio::test]
async fn a_watch_goes_on_over_a_restart_and_is_told_that_workers_are_gone() {
    let mut pay = PayByWire::start().await;
    let mut watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let first = run(&pay.pay, "settle").await;
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "")).await;
    let before = watcher.events(4).await;
    use EventKind::{RunCreated, RunStarted, RunSucceeded, WorkerConnected};
    assert_eq!(kinds(&before), [WorkerConnected, RunCreated, RunStarted, RunSucceeded]);
    let token = watcher.token.clone();
    pay.restart().await;
    let second = run(&pay.pay, "settle").await;
    let mut watcher = RawWatcher::watch(&pay.pay, resumed(&of("pay"), &token)).await;
    let mut after = watcher.events(2).await;
    if after[0].kind() == EventKind::WorkerDisconnected {
        after.remove(0);
        after.push(watcher.event().await);
    }
    assert_eq!(kinds(&after), [EventKind::WorkersReset, RunCreated]);
    assert_eq!((after[0].app.as_str(), after[0].subject.clone()), ("", None));
    assert_eq!(run_of(&after[1]).run_id, second);
    // From the disk, the old events say what they said.
    let mut again = RawWatcher::watch(&pay.pay, from(&of("pay"), before[0].revision)).await;
    assert_eq!(again.events(4).await, before);
    assert_eq!(run_of(&before[1]).run_id, first);
}

#[tokio::test]
async fn a_token_serves_only_for_its_filter_and_its_store() {
    let pay = PayByWire::start().await;
    let watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    let refuse = async |request: WatchRequest, why: &str| {
        let refused = Refused::of(&RawWatcher::open(&pay.pay, request).await.err().expect("it is refused"));
        refused.expect(Code::InvalidArgument, "INVALID");
        assert_eq!(refused.violations[0].0, if why.starts_with("lies") { "from_revision" } else { "resume_token" });
        assert!(refused.violations[0].1.contains(why), "{refused:?}");
    };
    // The app of the caller, said or not, is the same filter.
    assert!(RawWatcher::open(&pay.pay, resumed(&WatchRequest::default(), &watcher.token)).await.is_ok());
    refuse(resumed(&WatchRequest { terminal_only: true, ..of("pay") }, &watcher.token), "another filter").await;
    refuse(resumed(&of("pay"), "rubbish"), "damaged").await;
    refuse(resumed(&of("pay"), &watcher.token[1..]), "version").await;
    refuse(from(&of("pay"), watcher.opened.revision + 100), "lies ahead").await;
    // The stores of tests in memory have one id; restored from a backup it is another log.
    let other = PayByWire::start().await;
    other.server.memory().mark_restored(semel_core::id::Timestamp(1), 1);
    let mut other = other;
    other.restart().await;
    let request = resumed(&of("pay"), &watcher.token);
    let refused = Refused::of(&RawWatcher::open(&other.pay, request).await.err().expect("it is refused"));
    refused.expect(Code::InvalidArgument, "INVALID");
    assert!(refused.violations[0].1.contains("restored"), "{refused:?}");
}

#[tokio::test]
async fn what_was_forgotten_while_a_watcher_was_away_is_said_and_a_snapshot_has_the_rest() {
    let kept = Millis::from_secs(600);
    let (server, clock) = TestServer::with_manual_clock(|settings| {
        let retention = Retention { events: Some(kept), interval: Millis(1000), ..Retention::default() };
        settings.engine.retention = retention;
    })
    .await;
    let pay = PayByWire::on(server).await;
    let watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    let token = watcher.token.clone();
    drop(watcher);
    let old = run(&pay.pay, "settle").await;
    for _ in 0..3 {
        clock.advance(kept);
        pay.server.running().engine().poke();
        run(&pay.pay, "settle").await;
    }
    let refused = Refused::of(&RawWatcher::open(&pay.pay, resumed(&of("pay"), &token)).await.err().expect("refused"));
    refused.expect(Code::OutOfRange, "RESUME_COMPACTED");
    let oldest: i64 = refused.metadata["oldest_revision"].parse().expect("a number");
    let refused = Refused::of(&RawWatcher::open(&pay.pay, from(&of("pay"), oldest - 1)).await.err().expect("refused"));
    refused.expect(Code::OutOfRange, "RESUME_COMPACTED").says("oldest_revision", &oldest.to_string());
    let watcher = RawWatcher::watch(&pay.pay, from(&of("pay"), oldest)).await;
    assert_eq!(watcher.opened.oldest_revision, oldest);
    let request = WatchRequest { snapshot: SnapshotScope::All.into(), ..of("pay") };
    let mut watcher = RawWatcher::watch(&pay.pay, request.clone()).await;
    let (rows, revision) = watcher.snapshot().await;
    assert_eq!(rows.runs.len(), 4);
    assert_eq!(rows.runs.last().expect("the oldest").run_id, old, "its last state is there, whatever was forgotten");
    assert_eq!(revision, watcher.opened.revision);
    cancel(&pay.pay, &old).await;
    assert_eq!(run_of(&watcher.event().await).to_state(), RunState::Cancelled);
    let mut again = RawWatcher::watch(&pay.pay, resumed(&request, &watcher.token)).await;
    cancel(&pay.pay, &rows.runs[0].run_id).await;
    assert_eq!(run_of(&again.event().await).run_id, rows.runs[0].run_id);
}

#[tokio::test]
async fn a_snapshot_holds_what_the_filter_lets_through() {
    let pay = PayByWire::start().await;
    make_job(&pay.pay, "other").await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 2)).await.expect("opens");
    let (ended, live) = (run(&pay.pay, "settle").await, run(&pay.pay, "other").await);
    let works = [worker.assignment().await, worker.assignment().await];
    let work = works.iter().find(|work| work.run_id == ended).expect("it is among them");
    worker.report(succeeded(work, "42")).await;
    let look = async |scope: SnapshotScope, request: WatchRequest| {
        let request = WatchRequest { snapshot: scope.into(), ..request };
        let mut watcher = RawWatcher::watch(&pay.pay, request).await;
        assert!(watcher.token.is_empty(), "there is no going on before the end of the snapshot");
        let (rows, _) = watcher.snapshot().await;
        assert!(!watcher.token.is_empty());
        rows
    };
    let named = |rows: &v1::WatchSnapshot| rows.runs.iter().map(|run| run.run_id.clone()).collect::<Vec<_>>();
    let all = look(SnapshotScope::All, of("pay")).await;
    assert_eq!(named(&all), [live.clone(), ended.clone()], "the newest first");
    assert_eq!(all.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["other", "settle"]);
    assert_eq!(all.workers.len(), 1);
    assert_eq!(
        (all.workers[0].worker_id.as_str(), all.workers[0].state()),
        (worker.id.as_str(), v1::WorkerState::Connected)
    );
    assert_eq!(all.runs[1].state(), RunState::Succeeded);
    assert!(all.runs[1].result.is_none() && all.runs[1].attempts.len() == 1);
    assert_eq!(named(&look(SnapshotScope::Live, of("pay")).await), std::slice::from_ref(&live));
    let of_other = WatchRequest { jobs: vec!["other".to_owned()], ..of("pay") };
    let rows = look(SnapshotScope::All, of_other).await;
    assert_eq!((named(&rows), rows.jobs.len(), rows.workers.len()), (vec![live.clone()], 1, 0));
    let ends = look(SnapshotScope::All, WatchRequest { terminal_only: true, ..of("pay") }).await;
    assert_eq!((named(&ends), ends.jobs.len(), ends.workers.len()), (vec![ended.clone()], 0, 0));
    let one = look(SnapshotScope::All, WatchRequest { run_ids: vec![ended.clone()], ..of("pay") }).await;
    assert_eq!(named(&one), [ended]);
}
