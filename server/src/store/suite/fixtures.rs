//! Rows and batches for the tests of stores. What is in them means nothing; it only has to come back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use semel_core::{
    app::{App, AppPattern, FormerSecret, Grant, Role},
    codec::Payload,
    command::Method,
    event::{Event, Record},
    id::{
        AppName, AttemptNumber, JobKey, JobName, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, TokenId,
        TriggerKey, TriggerName, WorkerId,
    },
    job::{Job, JobSpec, LostWorker, Pause, Plan, RetryPolicy},
    reply::Reply,
    run::{Attempt, AttemptEnd, AttemptOutcome, Cause, LogStream, Outcome, Phase, Run, RunState},
    schedule::{Fold, Gap, Misfire, Overlap, TriggerSpec, When},
    state::{LogRow, UniqueHold},
    trace::TraceContext,
    trigger::{FireSource, Standing, Waiting},
    window::{DedupRecord, Fingerprint},
};

use crate::store::{Batch, DedupKey, RequestQuery, RunQuery};

/// A moment from which tests count in milliseconds.
pub(in crate::store) const START: i64 = 1_750_000_000_000;

pub(in crate::store) fn at(millis: i64) -> Timestamp {
    Timestamp(START + millis)
}

pub(in crate::store) fn app_name(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

pub(in crate::store) fn job_name(name: &str) -> JobName {
    JobName::parse(name).expect("a good name")
}

pub(in crate::store) fn job_key(app: &str, job: &str) -> JobKey {
    JobKey { app: app_name(app), job: job_name(job) }
}

pub(in crate::store) fn token_id(number: u8) -> TokenId {
    TokenId([number; 16])
}

/// A run id of that time. The number tells those of one millisecond apart.
pub(in crate::store) fn run_id(millis: i64, number: u64) -> RunId {
    RunId::new(at(millis), Revision(number), 0xdead_beef)
}

pub(in crate::store) fn request_id(millis: i64, number: u64) -> RequestId {
    RequestId(run_id(millis, number).0)
}

pub(in crate::store) fn request_key(app: &str, millis: i64, number: u64) -> DedupKey {
    DedupKey { request_id: request_id(millis, number), app: app_name(app) }
}

pub(in crate::store) fn payload(text: &str) -> Payload {
    Payload { content_type: "text/plain".to_owned(), data: Bytes::copy_from_slice(text.as_bytes()) }
}

fn plan() -> Plan {
    Plan {
        processor: ProcessorName::parse("http/get").expect("a good name"),
        retry: RetryPolicy { max_attempts: 7, multiplier: 1.5, ..RetryPolicy::default() },
        attempt_timeout: Some(Millis(5000)),
        lost_worker: LostWorker::Fail,
    }
}

/// A queued run, with every field filled.
pub(in crate::store) fn run(id: RunId, job: &JobKey) -> Run {
    let attempt = Attempt {
        number: AttemptNumber(1),
        worker_id: WorkerId([3; 16]),
        worker_name: Arc::from("worker one"),
        start_time: at(5),
        deadline: Some(at(6)),
        end: Some(AttemptEnd { how: AttemptOutcome::Lost, time: at(7), error: "lost".to_owned() }),
    };
    Run {
        id,
        job: job.clone(),
        plan: Arc::new(plan()),
        state: RunState::Queued { since: at(8) },
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]).into(),
        priority: -3,
        create_time: at(1),
        start_time: Some(at(2)),
        deadline: Some(at(1000)),
        attempts: vec![attempt],
        attempt: AttemptNumber(1),
        failed_count: 1,
        lost_count: 1,
        reason: "the worker was lost".to_owned(),
        unique_key: Some("order 7".to_owned()),
        retry_of: Some(run_id(0, 1)),
        request_id: Some(request_id(0, 2)),
        revision: Revision(9),
        log_bytes: 10,
        log_chunks: 11,
        has_payload: true,
        has_result: true,
        cause: Some(Box::new(Cause {
            trigger: trigger_key(job).name,
            scheduled_time: at(3),
            source: FireSource::Backfill,
        })),
        trace: Some(Box::new(TraceContext::root([1; 16], [2; 8]))),
    }
}

pub(in crate::store) fn ended(run: Run) -> Run {
    ended_at(run, 20)
}

pub(in crate::store) fn ended_at(mut run: Run, millis: i64) -> Run {
    run.state = RunState::Ended { outcome: Outcome::Failed, time: at(millis) };
    run
}

pub(in crate::store) fn job(key: &JobKey) -> Job {
    let spec = JobSpec {
        plan: Arc::new(plan()),
        payload: Some(payload("input of the job")),
        run_timeout: Some(Millis(60_000)),
        max_running: Some(4),
        priority: 5,
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]).into(),
        description: "a job".to_owned(),
        triggers: [(trigger_key(key).name, trigger_spec())].into(),
    };
    Job {
        key: key.clone(),
        spec: Arc::new(spec),
        etag: Revision(2),
        pause: Some(Pause { note: "holidays".to_owned(), time: at(3) }),
        create_time: at(1),
        update_time: at(2),
    }
}

pub(in crate::store) fn trigger_key(job: &JobKey) -> TriggerKey {
    TriggerKey { job: job.clone(), name: TriggerName::parse("nightly").expect("a good name") }
}

fn trigger_spec() -> TriggerSpec {
    TriggerSpec {
        when: When::Rate { period: Millis(500) },
        zone: "UTC".to_owned(),
        gap: Gap::Skip,
        fold: Fold::Both,
        exclude: Vec::new(),
        start_time: Some(at(1)),
        end_time: None,
        max_fires: Some(9),
        jitter: Millis(7),
        overlap: Overlap::BufferAll { max: 3 },
        misfire: Misfire::FireAll,
        catch_up: Millis(60_000),
        pause_after_failures: Some(3),
        payload: Some(payload("input of the trigger")),
        labels: BTreeMap::new(),
    }
}

pub(in crate::store) fn standing(job: &JobKey) -> Standing {
    let waiting = vec![Waiting { scheduled_time: at(5), source: FireSource::Schedule }];
    Standing { waiting, failures: 2, ..Standing::new(trigger_key(job), at(4)) }
}

pub(in crate::store) fn app(name: &str) -> App {
    let below = Grant { role: Role::Operator, apps: AppPattern::Below(app_name("pay")) };
    let mut app = App::new(app_name(name), "an app".to_owned(), vec![below], [1; 32], at(1));
    app.former_secret = Some(FormerSecret { hash: [2; 32], expire_time: at(9) });
    app.tokens_revoked_until = Some(at(4));
    app
}

pub(in crate::store) fn hold(run_id: RunId) -> UniqueHold {
    UniqueHold { run_id, create_time: at(1), until: Some(at(99)), phase: Phase::Queued }
}

pub(in crate::store) fn log_row(run_id: RunId, index: u32) -> LogRow {
    LogRow {
        run_id,
        index,
        number: AttemptNumber(2),
        stream: LogStream::Stderr,
        time: at(i64::from(index)),
        data: Bytes::from(format!("line {index}\n")),
    }
}

pub(in crate::store) fn record_at(revision: u64, millis: i64) -> Record {
    Record { time: at(millis), ..record(revision) }
}

pub(in crate::store) fn record(revision: u64) -> Record {
    let queued = Event::RunQueued { run_id: run_id(0, revision) };
    let deleted = Event::JobDeleted { key: job_key("pay", "settle") };
    Record {
        revision: Revision(revision),
        time: at(2),
        request_id: Some(request_id(0, revision)),
        principal: "pay".into(),
        events: vec![queued, deleted],
        facts: Vec::new(),
    }
}

pub(in crate::store) fn dedup(method: Method, principal: &str) -> DedupRecord {
    DedupRecord {
        method,
        principal: principal.into(),
        fingerprint: Fingerprint { version: 1, digest: [7; 16], leaves: vec![(1, 2), (300, u32::MAX)] },
        revision: Revision(3),
        execute_time: at(4),
        reply: Reply::Job(job(&job_key("pay", "settle"))),
        arrivals: 1,
        told: None,
        trace: None,
    }
}

/// A small record, for tests with many.
pub(in crate::store) fn small_dedup() -> DedupRecord {
    DedupRecord { reply: Reply::Done, ..dedup(Method::RunJob, "pay") }
}

/// A batch with nothing in it, at this revision.
pub(in crate::store) fn batch<'a>(revision: u64) -> Batch<'a> {
    let now = at(i64::try_from(revision).expect("a small number"));
    Batch { now, revision: Revision(revision), ..Batch::default() }
}

/// A batch of small requests.
pub(in crate::store) fn batch_of_requests<'a>(revision: u64, keys: &[DedupKey]) -> Batch<'a> {
    Batch { requests: keys.iter().map(|key| (key.clone(), small_dedup())).collect(), ..batch(revision) }
}

/// A question for all runs of an app.
pub(in crate::store) fn runs_of(app: &str) -> RunQuery {
    RunQuery {
        app: app_name(app),
        job: None,
        phases: Vec::new(),
        labels: BTreeMap::new(),
        from: None,
        until: None,
        before: None,
        limit: 100,
    }
}

/// A question for all requests of an app.
pub(in crate::store) fn requests_of(app: &str) -> RequestQuery {
    RequestQuery {
        app: app_name(app),
        method: None,
        principal: None,
        from: None,
        until: None,
        before: None,
        limit: 100,
    }
}
