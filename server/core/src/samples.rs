//! Values for tests: names, jobs, runs in each phase as the events that brought them there, and one of each kind of
//! command. Nothing here decides or asserts.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    app::{App, AppPattern, Grant, NewSecret, Role},
    codec::Payload,
    command::{AttemptRef, BackfillRange, Command, Report, RevokeTarget, RunJob, UniqueKey},
    event::Event,
    id::{
        AppName, AttemptNumber, JobKey, JobName, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, TokenId,
        TriggerKey, TriggerName, WorkerId,
    },
    job::{Job, JobSpec, Labels, LostWorker, Plan, RetryPolicy},
    limits,
    run::{AttemptOutcome, LogStream, Outcome, Phase, Run, RunState},
    schedule::{Fold, Gap, Misfire, Overlap, TriggerSpec, Triggers, When},
};

/// When every test begins.
pub(crate) const T0: Timestamp = Timestamp(1_750_000_000_000);
/// The random bits of every stamp.
pub(crate) const ENTROPY: u32 = 7;
/// The id of the call that every command comes by.
pub(crate) const REQUEST: RequestId = RequestId([0x11; 16]);
/// The worker that holds what is held, if nothing else is said.
pub(crate) const WORKER: WorkerId = WorkerId([0xaa; 16]);
/// Another worker.
pub(crate) const OTHER_WORKER: WorkerId = WorkerId([0xbb; 16]);
/// A token.
pub(crate) const TOKEN: TokenId = TokenId([0x22; 16]);
/// How long one attempt of [`spec`] may take.
pub(crate) const ATTEMPT_TIMEOUT: Millis = Millis::from_secs(60);
/// The first wait of [`spec`].
pub(crate) const BACKOFF: Millis = Millis::from_secs(1);
/// When a run that is scheduled may start.
pub(crate) const START: Timestamp = Timestamp(T0.0 + 3_600_000);

pub(crate) fn named(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

pub(crate) fn pay() -> AppName {
    named("pay")
}

pub(crate) fn key_of(app: &str, job: &str) -> JobKey {
    JobKey { app: named(app), job: JobName::parse(job).expect("a good name") }
}

pub(crate) fn settle() -> JobKey {
    key_of("pay", "settle")
}

pub(crate) fn processor(name: &str) -> ProcessorName {
    ProcessorName::parse(name).expect("a good name")
}

pub(crate) fn payload(text: &'static str) -> Payload {
    Payload { content_type: "text/plain".to_owned(), data: Bytes::from_static(text.as_bytes()) }
}

pub(crate) fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn secret(byte: u8) -> NewSecret {
    NewSecret { hash: [byte; 32], key_id: "k1".to_owned() }
}

pub(crate) fn viewer_of(app: &str) -> Grant {
    Grant { role: Role::Viewer, apps: AppPattern::One(named(app)) }
}

/// Three attempts, 1 s and then 2 s apart, of a minute each.
pub(crate) fn plan() -> Plan {
    let retry =
        RetryPolicy { max_attempts: 3, initial_backoff: BACKOFF, multiplier: 2.0, max_backoff: Millis::from_secs(5) };
    Plan { processor: processor("exec"), retry, attempt_timeout: Some(ATTEMPT_TIMEOUT), lost_worker: LostWorker::Retry }
}

pub(crate) fn spec() -> JobSpec {
    JobSpec {
        plan: Arc::new(plan()),
        payload: None,
        run_timeout: None,
        max_running: None,
        priority: 0,
        labels: Labels::new().into(),
        description: String::new(),
        triggers: Triggers::new(),
    }
}

/// [`spec`] with another plan.
pub(crate) fn spec_with_plan(change: impl FnOnce(&mut Plan)) -> JobSpec {
    let mut plan = plan();
    change(&mut plan);
    JobSpec { plan: Arc::new(plan), ..spec() }
}

/// An app as a command at T0 and this revision makes it.
pub(crate) fn app_at(name: &str, revision: u64) -> App {
    let mut app = App::new(named(name), format!("the app {name}"), Vec::new(), [1; 32], T0);
    app.etag = Revision(revision);
    app
}

/// A job as a command at T0 and this revision makes it.
pub(crate) fn job_at(key: &JobKey, spec: JobSpec, revision: u64) -> Job {
    Job {
        key: key.clone(),
        spec: Arc::new(spec),
        etag: Revision(revision),
        pause: None,
        create_time: T0,
        update_time: T0,
    }
}

/// An app of one job, in two revisions.
pub(crate) fn base_with(spec: JobSpec) -> Vec<Event> {
    vec![
        Event::AppCreated { app: Box::new(app_at("pay", 1)) },
        Event::JobCreated { job: Box::new(job_at(&settle(), spec, 2)) },
    ]
}

/// An app of one job, in two revisions.
pub(crate) fn base() -> Vec<Event> {
    base_with(spec())
}

/// The id of a run that is given. Never one that a command of a test makes.
pub(crate) fn id(n: u64) -> RunId {
    RunId::new(T0.minus(Millis(1)), Revision(n), ENTROPY)
}

/// The id of the run that a command at T0 and this revision makes.
pub(crate) fn made(revision: u64) -> RunId {
    RunId::new(T0, Revision(revision), ENTROPY)
}

/// A queued run of [`settle`] as a bare `RunJob` at T0 makes it.
pub(crate) fn run_with_id(id: RunId, revision: u64) -> Run {
    Run {
        id,
        job: settle(),
        plan: Arc::new(plan()),
        state: RunState::Queued { since: T0 },
        labels: std::sync::Arc::default(),
        priority: 0,
        create_time: T0,
        start_time: None,
        deadline: None,
        attempts: Vec::new(),
        attempt: AttemptNumber(0),
        failed_count: 0,
        lost_count: 0,
        reason: String::new(),
        unique_key: None,
        retry_of: None,
        request_id: Some(REQUEST),
        revision: Revision(revision),
        log_bytes: 0,
        log_chunks: 0,
        has_payload: false,
        has_result: false,
        cause: None,
        trace: None,
    }
}

/// A run that is given.
pub(crate) struct Given {
    run: Run,
    unique_until: Option<Timestamp>,
    payload: Option<Payload>,
}

/// The run number `n`, queued.
pub(crate) fn run(n: u64) -> Given {
    Given { run: run_with_id(id(n), 0), unique_until: None, payload: None }
}

impl Given {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Run)) -> Self {
        change(&mut self.run);
        self
    }

    pub(crate) fn with_plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(Arc::make_mut(&mut self.run.plan));
        self
    }

    pub(crate) fn with_payload(mut self, payload: Payload) -> Self {
        self.run.has_payload = true;
        self.payload = Some(payload);
        self
    }

    pub(crate) fn unique(mut self, key: &str, until: Option<Timestamp>) -> Self {
        self.run.unique_key = Some(key.to_owned());
        self.unique_until = until;
        self
    }

    pub(crate) fn created(mut self) -> Event {
        if let Some(until) = self.run.start_time {
            self.run.state = RunState::Scheduled { until };
        }
        Event::RunCreated { run: Arc::new(self.run), unique_until: self.unique_until, payload: self.payload }
    }

    /// The events that bring it into a phase, all at T0.
    pub(crate) fn at(mut self, phase: Phase) -> Vec<Event> {
        let id = self.run.id;
        if phase == Phase::Scheduled {
            self.run.start_time = Some(START);
        }
        let deadline = self.run.plan.attempt_timeout.map(|timeout| T0.plus(timeout));
        let mut events = vec![self.created()];
        let start = started(id, 1, deadline);
        let rest = match phase {
            Phase::Scheduled | Phase::Queued => vec![],
            Phase::Running => vec![start],
            Phase::Retrying => {
                vec![start, ended(id, 1, AttemptOutcome::Failed, "oh"), retrying(id, T0.plus(BACKOFF))]
            }
            Phase::Cancelling => vec![start, cancel_requested(id, "enough", T0.plus(limits::CANCEL_GRACE))],
            Phase::Succeeded => {
                vec![start, ended(id, 1, AttemptOutcome::Succeeded, ""), over(id, Outcome::Succeeded, "")]
            }
            Phase::Failed => {
                vec![start, ended(id, 1, AttemptOutcome::Failed, "oh"), over(id, Outcome::Failed, "oh")]
            }
            Phase::Cancelled => vec![over(id, Outcome::Cancelled, "enough")],
            Phase::Expired => vec![over(id, Outcome::Expired, "its deadline passed")],
        };
        events.extend(rest);
        events
    }
}

pub(crate) fn queued(run_id: RunId) -> Event {
    Event::RunQueued { run_id }
}

pub(crate) fn started(run_id: RunId, number: u32, deadline: Option<Timestamp>) -> Event {
    started_by(WORKER, run_id, number, deadline)
}

pub(crate) fn started_by(worker_id: WorkerId, run_id: RunId, number: u32, deadline: Option<Timestamp>) -> Event {
    Event::AttemptStarted { run_id, number: AttemptNumber(number), worker_id, worker_name: "w1".into(), deadline }
}

pub(crate) fn ended(run_id: RunId, number: u32, how: AttemptOutcome, error: &str) -> Event {
    Event::AttemptEnded { run_id, number: AttemptNumber(number), how, error: error.to_owned(), result: None }
}

pub(crate) fn retrying(run_id: RunId, until: Timestamp) -> Event {
    Event::RunRetrying { run_id, until }
}

pub(crate) fn cancel_requested(run_id: RunId, reason: &str, give_up_time: Timestamp) -> Event {
    Event::RunCancelRequested { run_id, reason: reason.to_owned(), give_up_time }
}

pub(crate) fn over(run_id: RunId, outcome: Outcome, reason: &str) -> Event {
    Event::RunEnded { run_id, outcome, reason: reason.to_owned() }
}

pub(crate) fn cancel(run_id: RunId) -> Command {
    Command::CancelRun { app: pay(), run_id, reason: "enough".to_owned() }
}

pub(crate) fn retry(run_id: RunId) -> Command {
    Command::RetryRun { app: pay(), run_id }
}

pub(crate) fn attempt(run_id: RunId, number: u32) -> AttemptRef {
    AttemptRef { app: pay(), worker_id: WORKER, run_id, number: AttemptNumber(number) }
}

pub(crate) fn report(run_id: RunId, number: u32, report: Report) -> Command {
    Command::ReportAttempt { attempt: attempt(run_id, number), report }
}

pub(crate) fn succeeded() -> Report {
    Report::Succeeded { result: None }
}

pub(crate) fn failed(error: &str) -> Report {
    Report::Failed { error: error.to_owned(), permanent: false, retry_after: None }
}

pub(crate) fn released() -> Report {
    Report::Released { reason: "draining".to_owned() }
}

pub(crate) fn log(run_id: RunId, number: u32, text: &'static str) -> Command {
    let data = Bytes::from_static(text.as_bytes());
    Command::AppendLog { attempt: attempt(run_id, number), stream: LogStream::Stdout, data }
}

pub(crate) fn run_job() -> RunJob {
    run_job_of(&settle())
}

pub(crate) fn run_job_of(key: &JobKey) -> RunJob {
    RunJob {
        key: key.clone(),
        payload: None,
        labels: Labels::new(),
        priority: None,
        start_time: None,
        deadline: None,
        unique_key: None,
    }
}

pub(crate) fn run_job_unique(key: &str, hold: Option<Millis>) -> Command {
    Command::RunJob(RunJob { unique_key: Some(UniqueKey { key: key.to_owned(), hold }), ..run_job() })
}

/// One command of each method, all of them about this app, and lending nothing.
pub(crate) fn each_command(app: &str) -> Vec<Command> {
    let (key, app) = (key_of(app, "settle"), named(app));
    let attempt = || AttemptRef { app: app.clone(), ..attempt(id(1), 1) };
    let trigger = || TriggerKey { job: key.clone(), ..trigger_key("nightly") };
    vec![
        Command::CreateApp { app: app.clone(), description: String::new(), grants: vec![], secret: secret(1) },
        Command::UpdateApp { app: app.clone(), etag: None, description: String::new(), grants: vec![] },
        Command::DeleteApp { app: app.clone(), etag: None },
        Command::RotateAppSecret { app: app.clone(), grace: Millis(0), secret: secret(2) },
        Command::RevokeToken { app: app.clone(), target: RevokeTarget::All },
        Command::CreateJob { key: key.clone(), spec: Arc::new(spec()) },
        Command::UpdateJob { key: key.clone(), etag: None, spec: Arc::new(spec()) },
        Command::DeleteJob { key: key.clone(), etag: None },
        Command::PauseJob { key: key.clone(), note: String::new() },
        Command::ResumeJob { key: key.clone() },
        Command::RunJob(run_job_of(&key)),
        Command::CancelRun { app: app.clone(), run_id: id(1), reason: String::new() },
        Command::RetryRun { app: app.clone(), run_id: id(1) },
        Command::ReportAttempt { attempt: attempt(), report: succeeded() },
        Command::AppendLog { attempt: attempt(), stream: LogStream::Stdout, data: Bytes::from_static(b"x") },
        Command::PauseTrigger { key: trigger(), note: String::new() },
        Command::ResumeTrigger { key: trigger() },
        Command::FireTrigger { key: trigger(), overlap: None },
        Command::BackfillTrigger {
            key: trigger(),
            range: BackfillRange { from: T0, to: None, overlap: Overlap::BufferAll { max: 1 } },
        },
        Command::CancelBackfill { key: trigger() },
    ]
}

pub(crate) fn trigger_name(name: &str) -> TriggerName {
    TriggerName::parse(name).expect("a good name")
}

/// A trigger of [`settle`].
pub(crate) fn trigger_key(name: &str) -> TriggerKey {
    TriggerKey { job: settle(), name: trigger_name(name) }
}

/// A trigger that fires so, with nothing special about it.
pub(crate) fn trigger_spec(when: When) -> TriggerSpec {
    TriggerSpec {
        when,
        zone: "UTC".to_owned(),
        gap: Gap::default(),
        fold: Fold::default(),
        exclude: Vec::new(),
        start_time: None,
        end_time: None,
        max_fires: None,
        jitter: Millis(0),
        overlap: Overlap::Skip,
        misfire: Misfire::FireOnce,
        catch_up: limits::CATCH_UP_DEFAULT,
        pause_after_failures: None,
        payload: None,
        labels: Labels::new(),
    }
}

/// [`spec`] with a trigger `t`.
pub(crate) fn spec_with_trigger(trigger: TriggerSpec) -> JobSpec {
    JobSpec { triggers: [(trigger_name("t"), trigger)].into(), ..spec() }
}
