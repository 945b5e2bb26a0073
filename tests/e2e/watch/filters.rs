//! What events say, and which of them a watcher is told: by app, job, run, label and kind, and never of what it may not view.

use semel_client::v1::{self, AuthStatus, EventKind, RunState, WatchRequest, event::Subject};
use tonic::Code;

use super::{cancel, kinds, make_job, run, with_apps};
use crate::e2e::{
    harness::{TestServer, spec},
    raw_watcher::{RawWatcher, of, run_of},
    raw_worker::{RawWorker, failed_plainly, hello, succeeded},
    wire::{PayByWire, Refused, Wire, fresh},
};

#[tokio::test]
async fn the_events_of_a_run_say_what_a_dashboard_shows() {
    let pay = PayByWire::start().await;
    let retry = Some(v1::RetryPolicy {
        max_attempts: 2,
        initial_backoff: super::super::wire::seconds(0),
        ..Default::default()
    });
    let labels = [("team".to_owned(), "blue".to_owned())].into();
    let twice = v1::JobSpec { retry, labels, ..spec("echo") };
    let create = v1::CreateJobRequest { job: "twice".to_owned(), spec: Some(twice), ..Default::default() };
    pay.pay.served(&fresh(), create).await;
    let mut watcher = RawWatcher::watch(&pay.pay, WatchRequest { jobs: vec!["twice".to_owned()], ..of("pay") }).await;
    let id = fresh();
    let made = pay.pay.served(&id, v1::RunJobRequest { job: "twice".to_owned(), ..Default::default() }).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let first = worker.assignment().await;
    worker.report(failed_plainly(&first)).await;
    let second = worker.assignment().await;
    let report_id = fresh();
    worker.submit(&report_id, succeeded(&second, "42")).await.expect("taken");

    let events = watcher.events(6).await;
    use EventKind::{RunCreated, RunQueued, RunRetrying, RunStarted, RunSucceeded};
    assert_eq!(kinds(&events), [RunCreated, RunStarted, RunRetrying, RunQueued, RunStarted, RunSucceeded]);
    use RunState::{Queued, Retrying, Running, Succeeded, Unspecified};
    let steps: Vec<_> = events.iter().map(|event| (run_of(event).from_state(), run_of(event).to_state())).collect();
    let should = [
        (Unspecified, Queued),
        (Queued, Running),
        (Running, Retrying),
        (Retrying, Queued),
        (Queued, Running),
        (Running, Succeeded),
    ];
    assert_eq!(steps, should);
    for event in &events {
        let run = run_of(event);
        assert_eq!((event.app.as_str(), run.job.as_str(), run.run_id.as_str()), ("pay", "twice", made.run_id.as_str()));
        assert_eq!(run.labels["team"], "blue");
        assert_eq!(run.create_time, made.create_time);
        assert!(event.time.is_some() && event.revision > 0);
    }
    assert!(events.is_sorted_by(|a, b| a.revision < b.revision));
    assert_eq!((events[0].request_id.as_str(), events[0].principal.as_str()), (id.as_str(), "app:pay"));
    assert_eq!(events[0].revision, made.header.expect("a header").revision);
    assert_eq!((run_of(&events[0]).processor.as_str(), run_of(&events[0]).max_attempts), ("echo", 2));
    assert!(events[1].request_id.is_empty() && events[1].principal.is_empty(), "the server did that by itself");
    let attempt = |at: usize| run_of(&events[at]).attempt.clone().expect("an attempt");
    assert_eq!((attempt(1).attempt, attempt(1).state()), (1, v1::AttemptState::Running));
    assert_eq!((attempt(1).worker_id.as_str(), attempt(1).start_time.is_some()), (worker.id.as_str(), true));
    assert_eq!((attempt(2).attempt, attempt(2).state()), (1, v1::AttemptState::Failed));
    assert_eq!(attempt(2).error, run_of(&events[2]).reason);
    assert!(!attempt(2).error.is_empty() && run_of(&events[2]).retry_time.is_some());
    assert!(run_of(&events[3]).attempt.is_none());
    assert_eq!((attempt(5).attempt, attempt(5).state()), (2, v1::AttemptState::Succeeded));
    assert_eq!((attempt(5).worker_id.as_str(), attempt(5).end_time), (worker.id.as_str(), events[5].time));
    assert_eq!(run_of(&events[5]).end_time, events[5].time);
    assert_eq!(events[5].request_id, report_id);
}

#[tokio::test]
async fn jobs_and_workers_are_told_of_as_runs_are() {
    let pay = PayByWire::start().await;
    let mut watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    make_job(&pay.pay, "other").await;
    let pause = v1::PauseJobRequest { job: "other".to_owned(), note: "why".to_owned(), ..Default::default() };
    let paused = pay.pay.served(&fresh(), pause).await.job.expect("a job");
    pay.pay.served(&fresh(), v1::ResumeJobRequest { job: "other".to_owned(), ..Default::default() }).await;
    pay.pay.served(&fresh(), v1::DeleteJobRequest { job: "other".to_owned(), ..Default::default() }).await;
    let worker = RawWorker::open(&pay.pay, hello("echo", 3)).await.expect("opens");
    worker.say(v1::work_request::Kind::Drain(v1::Drain {})).await;
    let worker_id = worker.id.clone();
    let mut events = watcher.events(6).await;
    drop(worker);
    events.push(watcher.event().await);
    use EventKind::{
        JobCreated, JobDeleted, JobPaused, JobResumed, WorkerConnected, WorkerDisconnected, WorkerDraining,
    };
    let should = [JobCreated, JobPaused, JobResumed, JobDeleted, WorkerConnected, WorkerDraining, WorkerDisconnected];
    assert_eq!(kinds(&events), should);
    let job = |at: usize| match &events[at].subject {
        Some(Subject::Job(job)) => job.clone(),
        other => panic!("not about a job: {other:?}"),
    };
    for at in 0..4 {
        assert_eq!(
            (job(at).job.as_str(), job(at).processor.as_str(), job(at).labels["kind"].as_str()),
            ("other", "echo", "other")
        );
        assert_eq!(job(at).create_time, events[0].time);
    }
    assert_eq!((job(1).paused, job(1).pause_note.as_str(), &job(1).etag), (true, "why", &paused.etag));
    assert_eq!((job(2).paused, job(2).etag.parse::<i64>().expect("a revision")), (false, events[2].revision));
    assert_eq!(job(3).etag, job(2).etag, "a job that is gone has the etag that it had last");
    let worker = |at: usize| match &events[at].subject {
        Some(Subject::Worker(worker)) => worker.clone(),
        other => panic!("not about a worker: {other:?}"),
    };
    for (at, event) in events.iter().enumerate().skip(4) {
        assert_eq!(
            (worker(at).worker_id.as_str(), worker(at).app.as_str(), worker(at).slots),
            (worker_id.as_str(), "pay", 3)
        );
        assert_eq!((worker(at).processors.as_slice(), worker(at).revision), (&["echo".to_owned()][..], event.revision));
    }
    use v1::WorkerState::{Connected, Disconnected, Draining};
    assert_eq!([worker(4).state(), worker(5).state(), worker(6).state()], [Connected, Draining, Disconnected]);
}

#[tokio::test]
async fn a_filter_lets_through_what_it_says_and_nothing_else() {
    let pay = PayByWire::start().await;
    make_job(&pay.pay, "other").await;
    let named = run(&pay.pay, "settle").await;
    let watch = async |request: WatchRequest| RawWatcher::watch(&pay.pay, request).await;
    let mut by_job = watch(WatchRequest { jobs: vec!["other".to_owned()], ..of("pay") }).await;
    let mut by_run = watch(WatchRequest { run_ids: vec![named.clone()], ..of("pay") }).await;
    let labels = [("kind".to_owned(), "other".to_owned())].into();
    let mut by_label = watch(WatchRequest { labels, ..of("pay") }).await;
    let mut ends = watch(WatchRequest { terminal_only: true, ..of("pay") }).await;
    let mut by_kind = watch(WatchRequest { kinds: vec![EventKind::RunCreated.into()], ..of("pay") }).await;
    let mut everything = watch(WatchRequest::default()).await;

    let one = run(&pay.pay, "settle").await;
    let other = run(&pay.pay, "other").await;
    for run_id in [&one, &other, &named] {
        cancel(&pay.pay, run_id).await;
    }
    let all = everything.events(5).await;
    let names =
        |events: &[v1::Event]| -> Vec<String> { events.iter().map(|event| run_of(event).run_id.clone()).collect() };
    assert_eq!(names(&all), [&one, &other, &one, &other, &named].map(String::clone));
    assert_eq!(names(&by_job.events(2).await), [other.clone(), other.clone()]);
    assert_eq!(by_label.events(2).await, [all[1].clone(), all[3].clone()]);
    assert_eq!(by_run.event().await, all[4]);
    assert_eq!(ends.events(3).await, all[2..]);
    assert_eq!(by_kind.events(2).await, all[..2]);
    // And nothing else: what comes next for each of them is what happens next to it.
    let last = run(&pay.pay, "other").await;
    cancel(&pay.pay, &last).await;
    for watcher in [&mut by_job, &mut by_label, &mut by_kind] {
        assert_eq!(run_of(&watcher.event().await).run_id, last);
    }
    assert_eq!(run_of(&ends.event().await).run_id, last);
}

#[tokio::test]
async fn a_viewer_of_one_app_sees_nothing_of_another() {
    let server = TestServer::start().await;
    let (admin, [a, b]) = with_apps(&server, ["a", "b"]).await;
    let refused = RawWatcher::open(&a, of("b")).await.err().expect("it is refused");
    Refused::of(&refused).expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("app", "b");
    let of_b = WatchRequest { apps: vec!["b".to_owned(), "b/*".to_owned()], ..Default::default() };
    let refused = RawWatcher::open(&a, of_b).await.err().expect("it is refused");
    Refused::of(&refused).expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    // A run of another app, by its id, in an app that may be viewed: it is as good as none.
    let foreign = run(&b, "settle").await;
    let mut by_id = RawWatcher::watch(&a, WatchRequest { run_ids: vec![foreign.clone()], ..of("a") }).await;
    let all =
        WatchRequest { apps: vec!["*".to_owned()], snapshot: v1::SnapshotScope::All.into(), ..Default::default() };
    let mut of_a = RawWatcher::watch(&a, all.clone()).await;
    let mut of_admin = RawWatcher::watch(&admin, all).await;
    let (seen, _) = of_a.snapshot().await;
    assert!(seen.runs.is_empty() && seen.jobs.iter().all(|job| job.app == "a"));
    let (seen, _) = of_admin.snapshot().await;
    assert_eq!((seen.runs.len(), seen.jobs.len()), (1, 2));
    cancel(&b, &foreign).await;
    let own = run(&a, "settle").await;
    assert_eq!(run_of(&of_a.event().await).run_id, own, "of the other app nothing came before");
    assert_eq!(of_admin.events(2).await.iter().map(|event| event.app.clone()).collect::<Vec<_>>(), ["b", "a"]);
    cancel(&a, &own).await;
    of_a.event().await;
    drop(of_a);
    let end = tokio::time::timeout(std::time::Duration::from_millis(300), by_id.message()).await;
    assert!(end.is_err(), "{end:?}");
}

#[tokio::test]
async fn a_prefix_is_watched_over_many_apps() {
    let server = TestServer::start().await;
    let names = ["pay", "pay/a", "pay/b", "shop", "pay/a/x", "payments"];
    let (admin, wires) = with_apps(&server, names).await;
    let prefix = WatchRequest { apps: vec!["pay".to_owned(), "pay/*".to_owned()], ..Default::default() };
    let mut watcher = RawWatcher::watch(&admin, prefix).await;
    for wire in &wires {
        run(wire, "settle").await;
    }
    let apps: Vec<String> = watcher.events(4).await.into_iter().map(|event| event.app).collect();
    assert_eq!(apps, ["pay", "pay/a", "pay/b", "pay/a/x"]);
    // One that is made later is among them.
    let create = v1::CreateAppRequest { app: "pay/new".to_owned(), ..Default::default() };
    let new = Wire::to(&server.endpoint()).await.bearer(&admin.served(&fresh(), create).await.secret);
    make_job(&new, "settle").await;
    assert_eq!(watcher.event().await.app, "pay/new");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_watch_is_said_at_once() {
    let pay = PayByWire::start().await;
    let wrong = WatchRequest {
        app: "pay".to_owned(),
        apps: vec!["Bad".to_owned()],
        jobs: vec!["a b".to_owned()],
        run_ids: vec!["none".to_owned()],
        kinds: vec![0, 999],
        start: Some(v1::watch_request::Start::FromRevision(0)),
        snapshot: v1::SnapshotScope::All.into(),
        progress_interval: super::super::wire::seconds(0),
        ..Default::default()
    };
    let refused = RawWatcher::open(&pay.pay, wrong).await.err().expect("it is refused");
    let refused = Refused::of(&refused);
    refused.expect(Code::InvalidArgument, "INVALID");
    let fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    let should = [
        "app",
        "apps[0]",
        "jobs[0]",
        "run_id",
        "kinds[0]",
        "kinds[1]",
        "progress_interval",
        "from_revision",
        "snapshot",
    ];
    assert_eq!(fields, should);
    for (request, field) in [
        (WatchRequest { apps: vec!["a".to_owned(); 17], ..Default::default() }, "apps"),
        (WatchRequest { jobs: vec!["a".to_owned(); 65], ..of("pay") }, "jobs"),
        (WatchRequest { run_ids: vec![fresh(); 257], ..of("pay") }, "run_ids"),
        (WatchRequest { kinds: vec![EventKind::RunStarted.into()], terminal_only: true, ..of("pay") }, "kinds"),
        (WatchRequest { progress_interval: super::super::wire::seconds(241), ..of("pay") }, "progress_interval"),
        (WatchRequest::default(), "app"),
    ] {
        let wire = if field == "app" { &pay.admin } else { &pay.pay };
        // The admin has an app of its own, so the last one is only asked where nobody has one.
        let refused = RawWatcher::open(wire, request).await;
        if field == "app" && refused.is_ok() {
            continue;
        }
        let refused = Refused::of(&refused.err().expect("it is refused"));
        assert_eq!((refused.reason.as_str(), refused.violations[0].0.as_str()), ("INVALID", field));
    }
}
