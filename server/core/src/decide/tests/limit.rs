//! Who goes next: priorities and order, the limit of runs at a time, and paused jobs.

use super::{World, given};
use crate::{
    command::{Command, Report, SystemCommand},
    event::Event,
    id::{AttemptNumber, Millis, RunId, WorkerId, WorkerKey},
    job::JobSpec,
    run::Phase,
    samples::*,
};

/// Which run goes next to a worker of this app and processor.
fn next_of(world: &World, app: &str, name: &str) -> Option<RunId> {
    world.state.ready().first(&named(app), &processor(name)).map(|waiting| waiting.run_id)
}

fn next(world: &World) -> Option<RunId> {
    next_of(world, "pay", "exec")
}

fn start(run_id: RunId) -> SystemCommand {
    SystemCommand::StartAttempt { run_id, worker_id: WORKER, worker_name: "w1".into() }
}

fn at_a_time(max: u32) -> JobSpec {
    JobSpec { max_running: Some(max), ..spec() }
}

fn waiting(runs: impl IntoIterator<Item = u64>) -> Vec<Event> {
    runs.into_iter().flat_map(|n| run(n).at(Phase::Queued)).collect()
}

/// Hands out what goes next until nothing does.
fn order(mut world: World) -> Vec<RunId> {
    let mut order = Vec::new();
    while let Some(run_id) = next(&world) {
        order.push(run_id);
        world = world.when_system(&start(run_id)).done();
    }
    order
}

#[test]
fn who_came_first_goes_first() {
    let mut world = given(base());
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(RunId::new(world.now, world.stamp().revision, ENTROPY));
        world = world.when(Command::RunJob(run_job())).done().after(1);
    }
    assert_eq!(order(world), made);
}

#[test]
fn higher_priorities_go_first_and_lower_ones_last() {
    let with = |n, priority| run(n).with(|run| run.priority = priority).at(Phase::Queued);
    let world = given(base()).and(with(1, 0)).and(with(2, -1)).and(with(3, 100)).and(with(4, 0));
    assert_eq!(order(world), [id(3), id(1), id(4), id(2)]);
}

#[test]
fn a_run_that_was_given_back_waits_behind_those_who_waited_longer() {
    let world = given(base()).and(waiting([1, 2])).when_system(&start(id(1))).done().after(1);
    let world = world.when(report(id(1), 1, released())).done();
    assert_eq!(order(world), [id(2), id(1)]);
}

#[test]
fn the_place_in_the_queue_counts_who_goes_before() {
    let world = given(base()).and(waiting([1, 2, 3])).and(run(4).with(|run| run.priority = 1).at(Phase::Queued));
    let places = [1, 2, 3, 4].map(|n| world.state.ahead_in_queue(&world.run(id(n)).expect("it is live")));
    assert_eq!(places, [1, 2, 3, 0]);
    let world = world.and(run(5).at(Phase::Running));
    assert_eq!(world.state.ahead_in_queue(&world.run(id(5)).expect("it is live")), 0);
}

#[test]
fn beyond_the_limit_runs_wait_and_each_end_lets_the_next_one_start() {
    let world = given(base_with(at_a_time(2))).and(waiting([1, 2, 3, 4]));
    let world = world.when_system(&start(id(1))).done().when_system(&start(id(2))).done();
    assert_eq!(next(&world), None);
    let world = world.when_system(&start(id(3))).then_nothing();
    let world = world.when(report(id(2), 1, succeeded())).done();
    assert_eq!(next(&world), Some(id(3)));
    let world = world.when_system(&start(id(3))).done();
    assert_eq!(next(&world), None);
}

#[test]
fn every_way_of_letting_go_of_a_worker_makes_place() {
    let wishes = [succeeded(), failed("no"), Report::Cancelled];
    for wish in wishes {
        let world = given(base_with(at_a_time(1))).and(run(1).at(Phase::Running)).and(waiting([2]));
        assert_eq!(next(&world), None);
        let world = world.when(report(id(1), 1, wish)).done();
        assert_eq!(next(&world), Some(id(2)));
    }
}

#[test]
fn a_lost_or_late_attempt_makes_place() {
    let world = || given(base_with(at_a_time(1))).and(run(1).at(Phase::Running)).and(waiting([2])).after(60_000);
    assert_eq!(next(&world().when_tick().done()), Some(id(2)));
    let lost = SystemCommand::ExpireLease { run_id: id(1), number: AttemptNumber(1) };
    assert_eq!(next(&world().when_system(&lost).done()), Some(id(2)));
}

#[test]
fn a_run_that_waits_for_its_next_attempt_or_its_start_time_takes_no_place() {
    let world = given(base_with(at_a_time(1))).and(run(1).at(Phase::Retrying)).and(run(2).at(Phase::Scheduled));
    let world = world.and(waiting([3]));
    assert_eq!(next(&world), Some(id(3)));
}

#[test]
fn the_limit_of_one_job_does_not_hold_back_another() {
    let other = key_of("pay", "other");
    let world = given(base_with(at_a_time(1)))
        .and([Event::JobCreated { job: Box::new(job_at(&other, spec(), 0)) }])
        .and(run(1).at(Phase::Running))
        .and(waiting([2]))
        .and(run(3).with(|run| run.job = other.clone()).at(Phase::Queued));
    assert_eq!(order(world), [id(3)]);
}

#[test]
fn the_first_of_two_jobs_is_the_one_with_the_higher_priority() {
    let other = key_of("pay", "other");
    let urgent = run(2).with(|run| {
        run.job = other.clone();
        run.priority = 1;
    });
    let world = given(base())
        .and([Event::JobCreated { job: Box::new(job_at(&other, spec(), 0)) }])
        .and(waiting([1]))
        .and(urgent.at(Phase::Queued))
        .and(waiting([3]));
    assert_eq!(order(world), [id(2), id(1), id(3)]);
}

#[test]
fn a_higher_limit_lets_waiting_runs_start_at_once() {
    let world = given(base_with(at_a_time(1))).and(run(1).at(Phase::Running)).and(waiting([2, 3]));
    let world = world.when(update(at_a_time(2))).done();
    assert_eq!(order(world), [id(2)]);
}

#[test]
fn a_lower_limit_stops_nothing_that_runs_and_starts_nothing_until_it_is_kept() {
    let world = given(base_with(at_a_time(2)))
        .and(run(1).at(Phase::Running))
        .and(run(2).at(Phase::Running))
        .and(waiting([3]))
        .when(update(at_a_time(1)))
        .done();
    assert_eq!((next(&world), world.state.counts(&settle()).running), (None, 2));
    let world = world.when(report(id(1), 1, succeeded())).done();
    assert_eq!(next(&world), None);
    let world = world.when(report(id(2), 1, succeeded())).done();
    assert_eq!(next(&world), Some(id(3)));
}

#[test]
fn the_limit_is_one_for_all_processors_of_a_job() {
    let world = given(base_with(at_a_time(1)))
        .and(waiting([1]))
        .and(run(2).with_plan(|plan| plan.processor = processor("http")).at(Phase::Queued));
    assert_eq!((next(&world), next_of(&world, "pay", "http")), (Some(id(1)), Some(id(2))));
    let world = world.when_system(&start(id(1))).done();
    assert_eq!(next_of(&world, "pay", "http"), None);
}

#[test]
fn a_paused_job_starts_nothing_and_what_runs_goes_on() {
    let world = given(base()).and(run(1).at(Phase::Running)).and(waiting([2]));
    let world = world.when(Command::PauseJob { key: settle(), note: String::new() }).done();
    assert_eq!(next(&world), None);
    let world = world.when_system(&start(id(2))).then_nothing();
    assert_eq!(world.state.queued_for(&pay(), &processor("exec")), 1);
    let world = world.when(report(id(1), 1, succeeded())).done();
    assert_eq!(next(&world), None);
    let world = world.when(Command::ResumeJob { key: settle() }).done();
    assert_eq!(next(&world), Some(id(2)));
}

#[test]
fn timers_of_a_paused_job_go_on() {
    let pause = Event::JobPaused { key: settle(), note: String::new() };
    let world = given(base()).and(run(1).at(Phase::Retrying)).and(run(2).at(Phase::Scheduled)).and([pause]);
    let world = world.after(3_600_000).when_tick().then([queued(id(1)), queued(id(2))]);
    assert_eq!(next(&world), None);
}

#[test]
fn a_run_is_ready_for_its_own_processor_only() {
    let world = given(base()).and(waiting([1]));
    assert_eq!((next(&world), next_of(&world, "pay", "http")), (Some(id(1)), None));
    assert_eq!(next_of(&world, "shop", "exec"), None);
    assert_eq!(world.state.queued_for(&pay(), &processor("http")), 0);
}

#[test]
fn since_when_the_oldest_waits_is_known_and_who_may_not_start_is_left_out() {
    let world =
        given(base()).and(run(1).at(Phase::Running)).and(waiting([2])).after(500).when(Command::RunJob(run_job()));
    let world = world.done();
    assert_eq!((world.state.ready().oldest(9), world.state.ready().oldest(0)), (Some(T0), None));
    let counts =
        [Phase::Queued, Phase::Running, Phase::Scheduled, Phase::Succeeded].map(|phase| world.state.runs_in(phase));
    assert_eq!(counts, [2, 1, 0, 0]);
    let world = world.when_system(&start(id(2))).done();
    assert_eq!(world.state.ready().oldest(9), Some(T0.plus(Millis(500))), "the other one came later");
    let world = world.when(Command::PauseJob { key: settle(), note: String::new() }).done();
    assert_eq!((world.state.ready().oldest(9), world.state.runs_in(Phase::Queued)), (None, 1));
    let world = world.when(report(id(1), 1, succeeded())).done();
    assert_eq!((world.state.runs_in(Phase::Running), world.state.runs_in(Phase::Succeeded)), (1, 0));
}

#[test]
fn a_worker_is_known_by_what_it_holds() {
    let world = given(base()).and(run(1).at(Phase::Running)).and(run(2).at(Phase::Running));
    let held: Vec<_> = world.state.held_by(&of_pay(WORKER)).collect();
    assert_eq!(held, [(id(1), AttemptNumber(1)), (id(2), AttemptNumber(1))]);
    assert_eq!(world.state.held_by(&of_pay(OTHER_WORKER)).count(), 0);
    let world = world.when(report(id(1), 1, succeeded())).done().when(report(id(2), 1, failed("no"))).done();
    assert_eq!(world.state.holders().count(), 0);
    assert_eq!(world.state.next_deadline(), Some(T0.plus(Millis(1000))));
}

fn of_pay(worker_id: WorkerId) -> WorkerKey {
    WorkerKey { worker_id, app: pay() }
}

fn update(spec: JobSpec) -> Command {
    Command::UpdateJob { key: settle(), etag: None, spec: std::sync::Arc::new(spec) }
}
