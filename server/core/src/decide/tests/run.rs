//! Making runs: what they take from the job and what from the wish, start times, deadlines and the quota.

use std::sync::Arc;

use super::{World, given};
use crate::{
    codec::Payload,
    command::{Command, RunJob},
    event::Event,
    id::{Millis, RunId, Timestamp},
    job::JobSpec,
    limits::Limits,
    rejection::Rejection,
    reply::Reply,
    run::{Outcome, Phase, Run, RunState},
    samples::*,
    trace::TraceContext,
};

fn wish(change: impl FnOnce(&mut RunJob)) -> Command {
    let mut wish = run_job();
    change(&mut wish);
    Command::RunJob(wish)
}

/// The run of revision 3, changed.
fn creates(payload: Option<Payload>, change: impl FnOnce(&mut Run)) -> [Event; 1] {
    let mut run = run_with_id(made(3), 3);
    run.has_payload = payload.is_some();
    change(&mut run);
    [Event::RunCreated { run: Arc::new(run), unique_until: None, payload }]
}

fn answer(run_id: RunId, phase: Phase) -> Reply {
    Reply::Run { run_id, phase, existing: false, create_time: T0 }
}

#[test]
fn a_bare_run_is_as_the_job_wants_it() {
    given(base()).when(Command::RunJob(run_job())).then_answers(&answer(made(3), Phase::Queued), creates(None, |_| {}));
}

/// A run stands in the trace of the call that made it, whichever that was; what repeats it in that of its own call.
#[test]
fn a_run_keeps_the_place_in_a_trace_of_the_call_that_made_it() {
    let traced = |world: &World| world.run(*world.runs.last().expect("a run")).expect("it is known").trace;
    let mut world = given(base());
    world.trace = Some(Box::new(TraceContext::root([1; 16], [2; 8])));
    let mut world = world.when(Command::RunJob(run_job())).done();
    assert_eq!(traced(&world), world.trace);
    let first = *world.runs.last().expect("a run");
    world.trace = Some(Box::new(TraceContext::root([3; 16], [4; 8])));
    let world = world.when(cancel(first)).done().when(retry(first)).done();
    assert_ne!(world.runs.last(), Some(&first));
    assert_eq!(traced(&world), world.trace);
    assert_eq!(traced(&given(base()).when(Command::RunJob(run_job())).done()), None);
}

#[test]
fn a_job_nobody_knows_cannot_be_run() {
    let rejection = Rejection::NotFound { what: "job", name: "pay/other".to_owned() };
    given(base()).when(Command::RunJob(run_job_of(&key_of("pay", "other")))).then_rejected(&rejection);
}

#[test]
fn a_run_takes_the_input_of_the_job_if_it_brings_none() {
    let spec = || JobSpec { payload: Some(payload("job")), ..spec() };
    given(base_with(spec())).when(wish(|_| {})).then(creates(Some(payload("job")), |_| {}));
    given(base_with(spec()))
        .when(wish(|wish| wish.payload = Some(payload("own"))))
        .then(creates(Some(payload("own")), |_| {}));
}

#[test]
fn empty_input_is_input() {
    given(base_with(JobSpec { payload: Some(payload("job")), ..spec() }))
        .when(wish(|wish| wish.payload = Some(Payload::default())))
        .then(creates(Some(Payload::default()), |_| {}));
}

#[test]
fn labels_lie_over_those_of_the_job() {
    given(base_with(JobSpec { labels: labels(&[("a", "job"), ("b", "job")]).into(), ..spec() }))
        .when(wish(|wish| wish.labels = labels(&[("b", "run"), ("c", "run")])))
        .then(creates(None, |run| run.labels = labels(&[("a", "job"), ("b", "run"), ("c", "run")]).into()));
}

#[test]
fn a_priority_of_zero_is_a_priority() {
    let spec = || JobSpec { priority: 7, ..spec() };
    given(base_with(spec())).when(wish(|_| {})).then(creates(None, |run| run.priority = 7));
    given(base_with(spec())).when(wish(|wish| wish.priority = Some(0))).then(creates(None, |_| {}));
}

#[test]
fn a_run_with_a_start_time_waits_for_it() {
    let scheduled = creates(None, |run| {
        run.start_time = Some(START);
        run.state = RunState::Scheduled { until: START };
    });
    let world = given(base())
        .when(wish(|wish| wish.start_time = Some(START)))
        .then_answers(&answer(made(3), Phase::Scheduled), scheduled);
    assert_eq!(world.state.ready().heads().count(), 0);
    world
        .after(3_599_999)
        .when_tick()
        .then_nothing()
        .after(1)
        .when_tick()
        .then([queued(made(3))])
        .when_tick()
        .then_nothing();
}

#[test]
fn a_start_time_that_is_past_means_now() {
    for start_time in [T0, T0.minus(Millis(1)), Timestamp(0)] {
        given(base()).when(wish(|wish| wish.start_time = Some(start_time))).then(creates(None, |_| {}));
    }
}

#[test]
fn the_run_time_out_of_the_job_is_the_deadline_unless_the_wish_has_one() {
    let spec = || JobSpec { run_timeout: Some(Millis(500)), ..spec() };
    let at = |millis| Some(T0.plus(Millis(millis)));
    given(base_with(spec())).when(wish(|_| {})).then(creates(None, |run| run.deadline = at(500)));
    for deadline in [at(100), at(900)] {
        given(base_with(spec()))
            .when(wish(|wish| wish.deadline = deadline))
            .then(creates(None, |run| run.deadline = deadline));
    }
}

#[test]
fn a_run_whose_deadline_is_past_expires_with_the_next_tick() {
    for deadline in [T0, T0.minus(Millis(1)), Timestamp(0)] {
        given(base())
            .when(wish(|wish| wish.deadline = Some(deadline)))
            .then_answers(&answer(made(3), Phase::Queued), creates(None, |run| run.deadline = Some(deadline)))
            .when_tick()
            .then([over(made(3), Outcome::Expired, "its deadline passed")])
            .when_tick()
            .then_nothing();
    }
}

#[test]
fn a_run_that_would_start_after_its_deadline_expires_at_it() {
    let world = given(base()).when(wish(|wish| {
        wish.start_time = Some(START);
        wish.deadline = Some(START.minus(Millis(10)));
    }));
    let world = world.done().after(3_600_000 - 10).when_tick();
    world.then([over(made(3), Outcome::Expired, "its deadline passed")]).after(10).when_tick().then_nothing();
}

#[test]
fn the_run_time_out_counts_from_the_creation_also_while_scheduled() {
    let world = given(base_with(JobSpec { run_timeout: Some(Millis(500)), ..spec() }))
        .when(wish(|wish| wish.start_time = Some(START)))
        .done();
    world.after(500).when_tick().then([over(made(3), Outcome::Expired, "its deadline passed")]);
}

/// A world in which an app may have so many unfinished runs.
fn with_quota(live_runs_per_app_max: u64) -> World {
    let mut world = World::with_limits(T0, Limits { live_runs_per_app_max, ..Limits::default() });
    base().into_iter().for_each(|event| world.evolve(&[event]));
    world
}

fn over_quota(limit: u64) -> Rejection {
    Rejection::QuotaExceeded { app: pay(), what: "unfinished runs", limit }
}

#[test]
fn the_quota_counts_what_is_not_finished_in_whichever_phase() {
    for phase in Phase::ALL {
        let world = with_quota(1).and(run(1).at(phase)).when(wish(|_| {}));
        if phase.is_terminal() {
            world.done();
        } else {
            world.then_rejected(&over_quota(1));
        }
    }
}

#[test]
fn the_quota_holds_for_repeated_runs_too() {
    let world = with_quota(1).and(run(1).at(Phase::Failed)).and(run(2).at(Phase::Queued)).committed();
    world.when(retry(id(1))).then_rejected(&over_quota(1));
}

#[test]
fn going_on_with_a_retrying_run_needs_no_quota() {
    with_quota(1).and(run(1).at(Phase::Retrying)).when(retry(id(1))).then([queued(id(1))]);
}

#[test]
fn a_run_that_exists_under_its_key_needs_no_quota() {
    let world = with_quota(1).and(run(1).unique("k", None).at(Phase::Queued));
    let reply = Reply::Run { run_id: id(1), phase: Phase::Queued, existing: true, create_time: T0 };
    world.when(run_job_unique("k", None)).then_silent(&reply);
}

#[test]
fn the_quota_of_one_app_is_not_that_of_another() {
    let world = with_quota(1).and(run(1).at(Phase::Queued)).and([
        Event::AppCreated { app: Box::new(app_at("shop", 0)) },
        Event::JobCreated { job: Box::new(job_at(&key_of("shop", "settle"), spec(), 0)) },
    ]);
    let world = world.when(Command::RunJob(run_job_of(&key_of("shop", "settle")))).done();
    assert_eq!(world.state.live_runs_of(&named("shop")), 1);
}

#[test]
fn a_paused_job_takes_runs() {
    let pause = Event::JobPaused { key: settle(), note: String::new() };
    let world = given(base()).and([pause]).when(wish(|_| {})).done();
    assert_eq!(world.state.counts(&settle()).queued, 1);
}
