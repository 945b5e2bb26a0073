//! What a simulated world is made of: how rough its weather is, and what its callers wish.

use std::{collections::BTreeMap, sync::Arc};

use fastrand::Rng;
use semel_core::{
    app::{AppPattern, Grant, NewSecret, Role},
    codec::Payload,
    command::{BackfillRange, Command, RevokeTarget, RunJob, UniqueKey},
    id::{
        AppName, JobKey, JobName, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, TokenId, TriggerKey,
        TriggerName,
    },
    job::{JobSpec, LostWorker, Plan, RetryPolicy},
    limits::Limits,
    run::Outcome,
    schedule::{Fold, Gap, Misfire, Overlap, TriggerSpec, Triggers, When},
    window::Window,
};
use semel_server::engine::{Options, Retention};

/// The time of day at which every simulation begins.
pub(crate) const EPOCH: i64 = 1_750_000_000_000;
/// The apps that own jobs.
pub(crate) const APPS: [&str; 2] = ["pay", "ship"];
/// An app that may do nothing with the jobs of others, until it is granted something.
pub(crate) const GUEST: &str = "guest";
/// What workers can do.
pub(crate) const PROCESSORS: [&str; 2] = ["crunch", "mail"];
const TRIGGERS: [&str; 2] = ["even", "odd"];
const JOBS: [&str; 3] = ["hourly", "nightly", "yearly"];

/// How rough a world is. Drawn once per seed, so that some seeds are all crashes and some have none.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// How many calls are made.
    pub(crate) calls: usize,
    /// How long callers go on before it gets calm.
    pub(crate) duration: i64,
    /// The chance that a message is lost, each way.
    pub(crate) loss: f64,
    /// The mean time between troubles of the server.
    pub(crate) trouble_mean: i64,
    /// The mean time between troubles of a worker.
    pub(crate) worker_trouble_mean: i64,
    /// The chance that the clock is set when the server restarts.
    pub(crate) clock_step: f64,
    /// Workers of each app.
    pub(crate) workers: usize,
    pub(crate) options: Options,
}

impl Weather {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let minutes = |minutes: i64| Millis::from_secs(60 * minutes);
        let calls = *pick(rng, &[30, 60, 60, 120, 120, 250]);
        // One seed in sixteen has a thousand callers and more.
        let calls = if rng.u32(..16) == 0 { rng.usize(800..1600) } else { calls };
        let length = *pick(rng, &[minutes(10), minutes(10), minutes(30), minutes(24 * 60)]);
        // A small bound goes with a short window only: what it holds back waits for a whole window.
        let is_tight = length == minutes(10) && one_in(rng, 4);
        let window = Window {
            length,
            future_max: *pick(rng, &[Millis::from_secs(30), minutes(5)]),
            records_per_app_max: if is_tight { 40 } else { 10_000 },
        };
        let options = Options {
            window,
            limits: Limits { cancel_grace: Millis::from_secs(rng.i64(5..60)), log_bytes_max: 256, ..Limits::default() },
            lease: Millis::from_secs(rng.i64(20..90)),
            retention: Retention {
                runs: *pick(rng, &[None, Some(minutes(5)), Some(minutes(20))]),
                events: *pick(rng, &[None, Some(minutes(2)), Some(minutes(15))]),
                interval: Millis::from_secs(*pick(rng, &[10, 10, 60, 300])),
                rows_max: *pick(rng, &[3, 50, 1000]),
                bytes_max: *pick(rng, &[1000, 100_000]),
            },
            ..Options::default()
        };
        Self {
            calls,
            duration: 60_000 * *pick(rng, &[10, 30, 60, 90]),
            loss: *pick(rng, &[0.0, 0.02, 0.1, 0.3]),
            trouble_mean: 60_000 * *pick(rng, &[1, 3, 10, 1000]),
            worker_trouble_mean: 60_000 * *pick(rng, &[1, 4, 15, 1000]),
            clock_step: *pick(rng, &[0.0, 0.3, 0.8]),
            workers: rng.usize(1..4),
            options,
        }
    }
}

/// One of them.
pub(crate) fn pick<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.usize(..items.len())]
}

/// True once in so many times.
pub(crate) fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(..n) == 0
}

/// True with this chance.
pub(crate) fn chance(rng: &mut Rng, chance: f64) -> bool {
    rng.f64() < chance
}

pub(crate) fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

/// An id that was minted by a clock that shows this time.
pub(crate) fn mint(rng: &mut Rng, at: i64) -> RequestId {
    let mut bytes = rng.u128(..).to_be_bytes();
    bytes[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    RequestId(bytes)
}

/// One of the jobs, which may or may not be there.
pub(crate) fn any_job(rng: &mut Rng) -> JobKey {
    let job = JobName::parse(pick::<&str>(rng, &JOBS)).expect("a good name");
    JobKey { app: app(pick::<&str>(rng, &APPS)), job }
}

/// All jobs that the operator makes at first.
pub(crate) fn all_jobs() -> Vec<JobKey> {
    let job = |name: &str| JobName::parse(name).expect("a good name");
    APPS.iter().flat_map(|name| JOBS.map(|of| JobKey { app: app(name), job: job(of) })).collect()
}

pub(crate) fn create_app(name: &str, id: RequestId) -> Command {
    // The secret is derived from the request id, so a retry brings the same one.
    Command::CreateApp { app: app(name), description: String::new(), grants: Vec::new(), secret: secret(id) }
}

pub(crate) fn create_job(rng: &mut Rng, key: JobKey) -> Command {
    Command::CreateJob { key, spec: job_spec(rng) }
}

fn secret(id: RequestId) -> NewSecret {
    NewSecret { hash: std::array::from_fn(|index| id.0[index % 16]), key_id: "k1".to_owned() }
}

fn job_spec(rng: &mut Rng) -> Arc<JobSpec> {
    let retry = RetryPolicy {
        max_attempts: rng.u32(1..5),
        initial_backoff: Millis(rng.i64(0..10_000)),
        multiplier: 2.0,
        max_backoff: Millis(30_000),
    };
    let plan = Plan {
        processor: ProcessorName::parse(pick::<&str>(rng, &PROCESSORS)).expect("a good name"),
        retry,
        attempt_timeout: rng.bool().then(|| Millis(rng.i64(1_000..120_000))),
        lost_worker: if one_in(rng, 4) { LostWorker::Fail } else { LostWorker::Retry },
    };
    Arc::new(JobSpec {
        plan: Arc::new(plan),
        payload: rng.bool().then(|| payload(rng)),
        run_timeout: one_in(rng, 4).then(|| Millis(rng.i64(10_000..600_000))),
        max_running: one_in(rng, 3).then(|| rng.u32(1..4)),
        priority: rng.i32(-5..6),
        labels: std::sync::Arc::new([("team".to_owned(), rng.u8(..9).to_string())].into()),
        description: format!("version {}", rng.u32(..1000)),
        triggers: if one_in(rng, 2) { triggers(rng) } else { BTreeMap::new() },
    })
}

/// One or two triggers, which end after some fires, so that the world can.
fn triggers(rng: &mut Rng) -> Triggers {
    let names = if one_in(rng, 3) { &TRIGGERS[..] } else { &TRIGGERS[..1] };
    names.iter().map(|name| (trigger_name(name), trigger(rng))).collect()
}

fn trigger(rng: &mut Rng) -> TriggerSpec {
    let when = match rng.u32(..8) {
        0 => When::Delay { delay: Millis(rng.i64(1_000..60_000)) },
        1 => {
            let job = JobName::parse(pick::<&str>(rng, &JOBS)).expect("a good name");
            When::After { job, outcomes: vec![Outcome::Succeeded, Outcome::Failed] }
        }
        _ => When::Rate { period: Millis(*pick(rng, &[5_000, 17_000, 60_000, 600_000])) },
    };
    TriggerSpec {
        when,
        zone: "UTC".to_owned(),
        gap: Gap::After,
        fold: Fold::First,
        exclude: Vec::new(),
        start_time: None,
        end_time: None,
        max_fires: Some(rng.u64(1..12)),
        jitter: Millis(*pick(rng, &[0, 0, 3_000])),
        overlap: any_overlap(rng),
        misfire: *pick(rng, &[Misfire::FireOnce, Misfire::Skip, Misfire::FireAll]),
        catch_up: Millis(*pick(rng, &[0, 60_000, 7_200_000])),
        pause_after_failures: one_in(rng, 3).then(|| rng.u32(1..4)),
        payload: one_in(rng, 4).then(|| payload(rng)),
        labels: BTreeMap::new(),
    }
}

fn any_overlap(rng: &mut Rng) -> Overlap {
    let max = rng.u32(1..4);
    *pick(
        rng,
        &[
            Overlap::Skip,
            Overlap::BufferOne,
            Overlap::BufferAll { max },
            Overlap::CancelOther,
            Overlap::Parallel { max },
        ],
    )
}

fn trigger_name(name: &str) -> TriggerName {
    TriggerName::parse(name).expect("a good name")
}

/// About a trigger, which may or may not be there. `now` is the caller's time.
fn trigger_command(rng: &mut Rng, now: i64, id: RequestId) -> Command {
    let key = TriggerKey { job: any_job(rng), name: trigger_name(pick::<&str>(rng, &TRIGGERS)) };
    match rng.u32(..10) {
        0 | 1 => Command::PauseTrigger { key, note: format!("note of {id}") },
        2..5 => Command::ResumeTrigger { key },
        5..8 => Command::FireTrigger { key, overlap: rng.bool().then(|| any_overlap(rng)) },
        8 => {
            let from = Timestamp(now - rng.i64(1..3_000_000));
            let to = rng.bool().then(|| from.plus(Millis(rng.i64(1..600_000))));
            let overlap = *pick(rng, &[Overlap::Skip, Overlap::BufferAll { max: 1 }, Overlap::Parallel { max: 2 }]);
            Command::BackfillTrigger { key, range: BackfillRange { from, to, overlap } }
        }
        _ => Command::CancelBackfill { key },
    }
}

pub(crate) fn payload(rng: &mut Rng) -> Payload {
    Payload { content_type: "text/plain".to_owned(), data: vec![b'x'; rng.usize(..20)].into() }
}

/// A wish to run a job. `now` is the caller's time.
pub(crate) fn run_job(rng: &mut Rng, now: i64, key: JobKey) -> RunJob {
    let unique_key = one_in(rng, 3).then(|| UniqueKey {
        key: format!("order-{}", rng.u8(..6)),
        hold: rng.bool().then(|| Millis(rng.i64(1_000..600_000))),
    });
    RunJob {
        key,
        payload: rng.bool().then(|| payload(rng)),
        labels: [("nr".to_owned(), rng.u32(..1_000_000).to_string())].into(),
        priority: one_in(rng, 4).then(|| rng.i32(-10..11)),
        start_time: one_in(rng, 6).then(|| Timestamp(now + rng.i64(-60_000..900_000))),
        deadline: one_in(rng, 8).then(|| Timestamp(now + rng.i64(-10_000..1_800_000))),
        unique_key,
    }
}

/// Any wish. `runs` are those that callers know of.
pub(crate) fn any_command(rng: &mut Rng, now: i64, id: RequestId, runs: &[(AppName, RunId)]) -> Command {
    match rng.u32(..100) {
        60..75 if !runs.is_empty() => {
            let (app, run_id) = pick(rng, runs).clone();
            match rng.u32(..3) {
                0 => Command::RetryRun { app, run_id },
                _ => Command::CancelRun { app, run_id, reason: "no longer needed".to_owned() },
            }
        }
        55..60 => trigger_command(rng, now, id),
        75..95 => job_command(rng, id),
        95..100 => app_command(rng, id),
        _ => {
            let key = any_job(rng);
            Command::RunJob(run_job(rng, now, key))
        }
    }
}

fn job_command(rng: &mut Rng, id: RequestId) -> Command {
    let key = any_job(rng);
    let etag = one_in(rng, 4).then(|| Revision(rng.u64(..30)));
    match rng.u32(..12) {
        0..2 => create_job(rng, key),
        2..5 => Command::UpdateJob { key, etag, spec: job_spec(rng) },
        5 => Command::DeleteJob { key, etag },
        6..8 => Command::PauseJob { key, note: format!("note of {id}") },
        8..11 => Command::ResumeJob { key },
        _ => Command::RevokeToken {
            app: key.app,
            target: if rng.bool() { RevokeTarget::All } else { RevokeTarget::One(TokenId(rng.u128(..).to_be_bytes())) },
        },
    }
}

/// About apps that nothing else depends on, and about rights of the guest.
fn app_command(rng: &mut Rng, id: RequestId) -> Command {
    let name = format!("small-{}", rng.u8(..3));
    match rng.u32(..10) {
        0..3 => create_app(&name, id),
        3..5 => Command::DeleteApp { app: app(&name), etag: None },
        5..8 => {
            let name = *pick(rng, &[APPS[0], APPS[1], GUEST, &name]);
            Command::RotateAppSecret { app: app(name), grace: Millis(rng.i64(0..60_000)), secret: secret(id) }
        }
        _ => grant(rng.bool()),
    }
}

/// Gives the guest the right to run jobs of the others, or takes it away.
pub(crate) fn grant(give: bool) -> Command {
    let grants = APPS.iter().map(|name| Grant { role: Role::Submitter, apps: AppPattern::One(app(name)) });
    Command::UpdateApp {
        app: app(GUEST),
        etag: None,
        description: "a guest".to_owned(),
        grants: if give { grants.collect() } else { Vec::new() },
    }
}

/// The same id with another wish, as a faulty caller sends it.
pub(crate) fn other_wish(rng: &mut Rng, command: &Command) -> Command {
    let other_content = |rng: &mut Rng, command: &Command| match command {
        Command::RunJob(wish) => {
            let mut wish = wish.clone();
            wish.labels.insert("nr".to_owned(), format!("other {}", rng.u32(..)));
            Command::RunJob(wish)
        }
        Command::CancelRun { app, run_id, .. } => {
            Command::CancelRun { app: app.clone(), run_id: *run_id, reason: "another reason".to_owned() }
        }
        Command::UpdateJob { key, etag, .. } => {
            Command::UpdateJob { key: key.clone(), etag: *etag, spec: job_spec(rng) }
        }
        Command::PauseJob { key, .. } => Command::PauseJob { key: key.clone(), note: "another note".to_owned() },
        other => Command::PauseJob { key: JobKey { app: other.app().clone(), ..any_job(rng) }, note: String::new() },
    };
    match rng.u32(..3) {
        0 => Command::PauseJob { key: JobKey { app: command.scope(), ..any_job(rng) }, note: "reused".to_owned() },
        _ => other_content(rng, command),
    }
}
