//! A random walk: any commands, in any order, at any time. After each step every invariant holds, what has ended stays
//! as it is, and a restart changes nothing. Over a fixed set of seeds the walk passes through every edge of the table.
//!
//! `SEMEL_SEED=<n>` walks one seed, `SEMEL_SEEDS=<n>` so many from 0 on. A failure prints its seed and the shortest
//! steps that still fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    World,
    timer::tick_until_quiet,
    world::{Step, run_of},
};
use crate::{
    command::{AttemptRef, Command, Report, RevokeTarget, RunJob, SystemCommand, UniqueKey},
    id::{AttemptNumber, JobKey, Millis, RunId, TokenId, WorkerId},
    job::{JobSpec, LostWorker},
    limits::Limits,
    run::{self, LogStream, Phase, Run},
    samples::*,
};

const SEEDS_DEFAULT: u64 = 48;
const STEPS_MAX: usize = 120;

/// One step, not yet bound to what there is: numbers are taken modulo what can be named.
#[derive(Clone, Debug)]
enum Move {
    RunJob { job: u8, priority: Option<i32>, start_in: Option<i64>, end_in: Option<i64>, unique: Option<(u8, i64)> },
    Cancel(usize),
    Retry(usize),
    Report { run: usize, report: Report, older: u32, stranger: bool },
    Log { run: usize, len: usize },
    StartNext { worker: u8 },
    StartAny { run: usize },
    Expire { run: usize, older: u32 },
    Wait { millis: i64 },
    Tick,
    Commit,
    Restart,
    Job { job: u8, what: JobMove },
    DeleteApp(u8),
    Revoke { app: u8, token: Option<u8> },
}

#[derive(Clone, Debug)]
enum JobMove {
    Create,
    Update { max_running: Option<u32>, http: bool, fail_if_lost: bool },
    Pause,
    Resume,
    Delete,
}

fn moves() -> impl Strategy<Value = Move> {
    let millis = prop_oneof![0..50_i64, 500..5000_i64, Just(30_000), Just(70_000)];
    let maker = (0..3_u8, option::of(-2..2_i32), option::of(-10..4000_i64), option::of(-10..90_000_i64)).prop_flat_map(
        |(job, priority, start_in, end_in)| {
            option::of((0..2_u8, -1..9000_i64)).prop_map(move |unique| Move::RunJob {
                job,
                priority,
                start_in,
                end_in,
                unique,
            })
        },
    );
    let report = (any::<usize>(), reports(), prop_oneof![9 => Just(0), 1 => Just(1_u32)], prop::bool::weighted(0.05))
        .prop_map(|(run, report, older, stranger)| Move::Report { run, report, older, stranger });
    prop_oneof![
        6 => maker,
        2 => any::<usize>().prop_map(Move::Cancel),
        2 => any::<usize>().prop_map(Move::Retry),
        8 => report,
        2 => (any::<usize>(), 0..300_usize).prop_map(|(run, len)| Move::Log { run, len }),
        10 => (0..2_u8).prop_map(|worker| Move::StartNext { worker }),
        1 => any::<usize>().prop_map(|run| Move::StartAny { run }),
        2 => (any::<usize>(), prop_oneof![4 => Just(0), 1 => Just(1_u32)])
            .prop_map(|(run, older)| Move::Expire { run, older }),
        4 => millis.prop_map(|millis| Move::Wait { millis }),
        5 => Just(Move::Tick),
        3 => Just(Move::Commit),
        1 => Just(Move::Restart),
        3 => (0..3_u8, job_moves()).prop_map(|(job, what)| Move::Job { job, what }),
        1 => (0..2_u8).prop_map(Move::DeleteApp),
        1 => (0..2_u8, option::of(0..3_u8)).prop_map(|(app, token)| Move::Revoke { app, token }),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    prop_oneof![
        3 => option::of(Just(payload("out"))).prop_map(|result| Report::Succeeded { result }),
        4 => (any::<bool>(), option::of(0..3000_i64)).prop_map(|(permanent, retry_after)| Report::Failed {
            error: "no".to_owned(),
            permanent,
            retry_after: retry_after.map(Millis),
        }),
        2 => Just(Report::Cancelled),
        2 => Just(released()),
    ]
}

fn job_moves() -> impl Strategy<Value = JobMove> {
    prop_oneof![
        1 => Just(JobMove::Create),
        1 => (option::of(0..4_u32), any::<bool>(), any::<bool>()).prop_map(|(max_running, http, fail_if_lost)| {
            JobMove::Update { max_running, http, fail_if_lost }
        }),
        1 => Just(JobMove::Pause),
        2 => Just(JobMove::Resume),
        1 => Just(JobMove::Delete),
    ]
}

fn job_key(job: u8) -> JobKey {
    [key_of("pay", "settle"), key_of("pay", "other"), key_of("shop", "settle")][usize::from(job) % 3].clone()
}

/// A world on its way, with what was seen of runs that ended and of fencing numbers.
struct Walk {
    world: World,
    ended: BTreeMap<RunId, Run>,
    numbers: BTreeMap<RunId, AttemptNumber>,
}

impl Walk {
    fn new() -> Self {
        let limits = Limits { live_runs_per_app_max: 12, log_bytes_max: 500, ..Limits::default() };
        let mut walk = Self { world: World::with_limits(T0, limits), ended: BTreeMap::new(), numbers: BTreeMap::new() };
        walk.make_apps();
        for job in 0..3 {
            walk.take(&Move::Job { job, what: JobMove::Create });
        }
        walk
    }

    fn make_apps(&mut self) {
        for app in ["pay", "shop"] {
            let (app, description) = (named(app), String::new());
            // Refused if it is there.
            self.wish(&Command::CreateApp { app, description, grants: Vec::new(), secret: secret(1) });
        }
    }

    fn take(&mut self, step: &Move) {
        match step {
            Move::Wait { millis } => self.world.wait(*millis),
            Move::Commit => self.world.commit(),
            Move::Restart => self.world.restart(),
            Move::DeleteApp(app) => {
                let app = named(["pay", "shop"][usize::from(*app) % 2]);
                self.wish(&Command::DeleteApp { app, etag: None });
                self.make_apps();
            }
            step => match self.server_move(step) {
                Some(command) => self.outcome(self.world.decide_system(&command)),
                None => {
                    if let Some(command) = self.command(step) {
                        self.wish(&command);
                    }
                }
            },
        }
        self.check();
    }

    fn wish(&mut self, command: &Command) {
        self.outcome(self.world.decide(command));
    }

    /// A refusal is as good as a yes; both must leave everything in order.
    fn outcome(&mut self, step: Step) {
        if let Ok((events, _)) = &step {
            let touched = events.iter().filter_map(run_of).filter(|id| self.ended.contains_key(id));
            assert_eq!(touched.count(), 0, "what has ended is left alone: {events:?}");
        }
        let _ = self.world.apply(step);
    }

    fn server_move(&self, step: &Move) -> Option<SystemCommand> {
        match step {
            Move::Tick => Some(SystemCommand::Tick),
            Move::StartNext { worker } => {
                let (_, _, head) = self.world.state.ready().heads().next()?;
                let worker_id = WorkerId([*worker; 16]);
                Some(SystemCommand::StartAttempt { run_id: head.run_id, worker_id, worker_name: "w".into() })
            }
            Move::StartAny { run } => {
                let run_id = self.run_id(*run)?;
                Some(SystemCommand::StartAttempt { run_id, worker_id: WORKER, worker_name: "w".into() })
            }
            Move::Expire { run, older } => {
                let run = self.held(*run)?;
                let number = AttemptNumber(run.attempt.0.saturating_sub(*older));
                Some(SystemCommand::ExpireLease { run_id: run.id, number })
            }
            _ => None,
        }
    }

    fn command(&self, step: &Move) -> Option<Command> {
        match step {
            Move::RunJob { job, priority, start_in, end_in, unique } => {
                let in_ms = |millis: &i64| self.world.now.plus(Millis(*millis));
                let hold = |hold| (hold >= 0).then_some(Millis(hold));
                Some(Command::RunJob(RunJob {
                    payload: priority.map(|_| payload("in")),
                    priority: *priority,
                    start_time: start_in.as_ref().map(in_ms),
                    deadline: end_in.as_ref().map(in_ms),
                    unique_key: unique.map(|(key, keep)| UniqueKey { key: key.to_string(), hold: hold(keep) }),
                    ..run_job_of(&job_key(*job))
                }))
            }
            Move::Cancel(run) => {
                let run_id = self.run_id(*run)?;
                Some(Command::CancelRun { app: self.app_of(run_id), run_id, reason: String::new() })
            }
            Move::Retry(run) => {
                let run_id = self.run_id(*run)?;
                Some(Command::RetryRun { app: self.app_of(run_id), run_id })
            }
            Move::Report { run, report, older, stranger } => {
                let mut attempt = self.attempt(*run)?;
                attempt.number = AttemptNumber(attempt.number.0.saturating_sub(*older));
                if *stranger {
                    attempt.worker_id = OTHER_WORKER;
                }
                Some(Command::ReportAttempt { attempt, report: report.clone() })
            }
            Move::Log { run, len } => {
                let data = Bytes::from(vec![b'x'; *len]);
                Some(Command::AppendLog { attempt: self.attempt(*run)?, stream: LogStream::Stderr, data })
            }
            Move::Job { job, what } => Some(job_command(job_key(*job), what)),
            Move::Revoke { app, token } => Some(Command::RevokeToken {
                app: named(["pay", "shop"][usize::from(*app) % 2]),
                target: token.map_or(RevokeTarget::All, |token| RevokeTarget::One(TokenId([token; 16]))),
            }),
            _ => None,
        }
    }

    /// Any run that ever was.
    fn run_id(&self, index: usize) -> Option<RunId> {
        let runs = &self.world.runs;
        (!runs.is_empty()).then(|| runs[index % runs.len()])
    }

    fn app_of(&self, id: RunId) -> crate::id::AppName {
        self.world.run(id).expect("it was made").job.app
    }

    /// A run that is held if there is one, else any.
    fn held(&self, index: usize) -> Option<Run> {
        let runs = self.world.runs.iter().filter_map(|id| self.world.state.run(*id));
        let held: Vec<&Run> = runs.filter(|run| run.held().is_some()).collect();
        if held.is_empty() {
            return self.world.run(self.run_id(index)?);
        }
        Some(held[index % held.len()].clone())
    }

    fn attempt(&self, index: usize) -> Option<AttemptRef> {
        let run = self.held(index)?;
        let worker_id = run.attempts.last().map_or(WORKER, |attempt| attempt.worker_id);
        Some(AttemptRef { app: run.job.app, worker_id, run_id: run.id, number: run.attempt })
    }

    /// What holds after every step, besides what the driver asks.
    fn check(&mut self) {
        let mut keys = BTreeSet::new();
        for id in &self.world.runs {
            let run = self.world.run(*id).expect("what was made is known for ever");
            let number = self.numbers.entry(*id).or_default();
            assert!(*number <= run.attempt, "fencing numbers only grow");
            *number = run.attempt;
            if run.state.phase().is_terminal() {
                assert_eq!(self.ended.entry(*id).or_insert_with(|| run.clone()), &run, "terminal states bind");
            } else if let Some(key) = &run.unique_key {
                assert!(keys.insert((run.job.clone(), key.clone())), "one live run for each key (D13)");
            }
            let payload = self.world.disk.payload(*id).is_some();
            assert!(!payload || run.has_payload, "input on disk is known to the run");
        }
        for app in ["pay", "shop"] {
            assert!(self.world.state.live_runs_of(&named(app)) <= 12, "the quota holds");
        }
    }
}

fn job_command(key: JobKey, what: &JobMove) -> Command {
    match what {
        JobMove::Create => Command::CreateJob { key, spec: Arc::new(JobSpec { max_running: Some(2), ..spec() }) },
        JobMove::Update { max_running, http, fail_if_lost } => {
            let spec = spec_with_plan(|plan| {
                plan.processor = processor(if *http { "http" } else { "exec" });
                plan.lost_worker = if *fail_if_lost { LostWorker::Fail } else { LostWorker::Retry };
            });
            Command::UpdateJob { key, etag: None, spec: Arc::new(JobSpec { max_running: *max_running, ..spec }) }
        }
        JobMove::Pause => Command::PauseJob { key, note: String::new() },
        JobMove::Resume => Command::ResumeJob { key },
        JobMove::Delete => Command::DeleteJob { key, etag: None },
    }
}

/// Takes all steps, lets all timers run out, and gives back where it went.
fn walk(steps: &[Move]) -> BTreeSet<(Phase, Phase)> {
    let mut walk = Walk::new();
    for step in steps {
        walk.take(step);
    }
    walk.world = tick_until_quiet(walk.world);
    walk.check();
    walk.world.restart();
    walk.world.walked
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config { cases: 4, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Asked at build time, which cargo notices: the core reads no environment, its tests included.
fn seeds() -> std::ops::Range<u64> {
    let number = |text: Option<&str>| text.map(|text| text.parse().expect("a number"));
    match number(option_env!("SEMEL_SEED")) {
        Some(seed) => seed..seed + 1,
        None => 0..number(option_env!("SEMEL_SEEDS")).unwrap_or(SEEDS_DEFAULT),
    }
}

#[test]
fn whatever_comes_in_whatever_order_everything_holds() {
    for seed in seeds() {
        let outcome = runner(seed).run(&vec(moves(), 1..STEPS_MAX), |steps| {
            walk(&steps);
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("SEMEL_SEED={seed}: {failure}");
        }
    }
}

#[test]
fn the_walk_passes_through_every_edge_of_the_table() {
    let mut walked = BTreeSet::new();
    for seed in 0..SEEDS_DEFAULT {
        let mut runner = runner(seed);
        let steps =
            vec(moves(), STEPS_MAX..STEPS_MAX * 3).new_tree(&mut runner).expect("nothing is filtered").current();
        walked.extend(walk(&steps));
    }
    let all: BTreeSet<(Phase, Phase)> = Phase::ALL
        .into_iter()
        .flat_map(|from| Phase::ALL.map(|to| (from, to)))
        .filter(|(from, to)| run::may_follow(*from, *to))
        .collect();
    let never: Vec<_> = all.difference(&walked).collect();
    assert!(never.is_empty(), "the table allows what never happens: {never:?}");
    assert!(walked.is_subset(&all), "what happened is in the table");
}
