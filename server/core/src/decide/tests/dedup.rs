//! Business keys (promise D13): two different requests under one key make one run, and the second is told which.
//! What becomes of the *same* request is told in `window`, and needs no decision.

use super::{World, given};
use crate::{
    command::{Command, RunJob, SystemCommand},
    event::Event,
    id::{AttemptNumber, Millis, RunId},
    rejection::Rejection,
    reply::Reply,
    run::{Outcome, Phase},
    samples::*,
};

fn exists(run_id: RunId, phase: Phase) -> Reply {
    Reply::Run { run_id, phase, existing: true, create_time: T0 }
}

fn released_key() -> Event {
    Event::UniqueKeyReleased { key: settle(), unique_key: "k".to_owned() }
}

fn hold(millis: i64) -> Option<Millis> {
    Some(Millis(millis))
}

#[track_caller]
fn makes_a_run(world: World) -> World {
    let before = world.runs.len();
    let world = world.when(run_job_unique("k", None)).done();
    assert_eq!(world.runs.len(), before + 1, "a run was made");
    world
}

#[test]
fn a_key_is_held_while_its_run_lives_and_the_answer_says_where_it_stands() {
    for phase in Phase::ALL {
        let world = given(base()).and(run(1).unique("k", None).at(phase));
        if phase.is_terminal() {
            makes_a_run(world);
        } else {
            let world = world.when(run_job_unique("k", None)).then_silent(&exists(id(1), phase));
            world.committed().when(run_job_unique("k", None)).then_silent(&exists(id(1), phase));
        }
    }
}

#[test]
fn a_key_that_is_held_past_the_end_names_the_run_and_how_it_ended() {
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
        let until = T0.plus(Millis(1000));
        let world = given(base()).and(run(1).unique("k", Some(until)).at(phase)).committed().after(999);
        let world = world.when(run_job_unique("k", None)).then_silent(&exists(id(1), phase));
        makes_a_run(world.after(1).when_tick().then([released_key()]));
    }
}

#[test]
fn a_hold_that_is_over_does_not_wait_for_the_tick() {
    let until = T0.plus(Millis(1000));
    let world = given(base()).and(run(1).unique("k", Some(until)).at(Phase::Cancelled)).committed().after(1000);
    let world = makes_a_run(world);
    // The key is the new run's now, and the old hold's timer is gone with it.
    let new = *world.runs.last().expect("it was made");
    assert_eq!(world.state.unique_hold(&settle(), "k").expect("it is held").run_id, new);
    world.after(100_000).when_tick().then_nothing();
}

#[test]
fn a_run_that_outlives_the_hold_keeps_its_key_to_its_end() {
    let world = given(base()).when(run_job_unique("k", hold(1000))).done();
    let run_id = made(3);
    let world = world.after(5000).when_tick().then_nothing();
    let world = world.when(run_job_unique("k", None)).then_silent(&exists(run_id, Phase::Queued));
    let world = world.when(cancel(run_id)).then([over(run_id, Outcome::Cancelled, "enough")]);
    makes_a_run(world);
}

#[test]
fn the_hold_counts_from_the_creation_of_the_run() {
    let world = given(base()).when(run_job_unique("k", hold(1000))).done().after(600).when(cancel(made(3))).done();
    let world = world.after(399).when_tick().then_nothing();
    world.after(1).when_tick().then([released_key()]).when_tick().then_nothing();
}

#[test]
fn a_hold_of_nothing_is_no_hold() {
    let world = given(base()).when(run_job_unique("k", hold(0))).done().when(cancel(made(3))).done();
    makes_a_run(world);
}

#[test]
fn the_hold_of_the_first_stands_whatever_the_second_asks() {
    let world = given(base()).when(run_job_unique("k", None)).done();
    let world = world.when(run_job_unique("k", hold(9000))).then_silent(&exists(made(3), Phase::Queued));
    makes_a_run(world.when(cancel(made(3))).done());
}

#[test]
fn other_keys_and_no_key_make_runs() {
    let world = given(base()).when(run_job_unique("k", None)).done();
    let world = world.when(run_job_unique("K", None)).done().when(Command::RunJob(run_job())).done();
    let world = world.when(Command::RunJob(run_job())).done();
    assert_eq!(world.runs.len(), 4);
}

#[test]
fn the_keys_of_another_job_are_its_own() {
    let other = key_of("pay", "other");
    let world = given(base()).and([Event::JobCreated { job: Box::new(job_at(&other, spec(), 0)) }]);
    let world = world.when(run_job_unique("k", None)).done();
    let Command::RunJob(wish) = run_job_unique("k", None) else { unreachable!() };
    let world = world.when(Command::RunJob(RunJob { key: other, ..wish })).done();
    assert_eq!(world.runs.len(), 2);
}

#[test]
fn the_answer_follows_the_run() {
    let world = given(base()).when(run_job_unique("k", hold(99_000))).done();
    let start = SystemCommand::StartAttempt { run_id: made(3), worker_id: WORKER, worker_name: "w1".into() };
    let world = world.when_system(&start).done();
    let world = world.when(run_job_unique("k", None)).then_silent(&exists(made(3), Phase::Running));
    let world = world.when(report(made(3), 1, succeeded())).done();
    let world = world.when(run_job_unique("k", None)).then_silent(&exists(made(3), Phase::Succeeded));
    assert_eq!(world.run(made(3)).expect("it ended").attempt, AttemptNumber(1));
}

#[test]
fn a_held_key_survives_a_restart() {
    let world = given(base()).when(run_job_unique("k", hold(1000))).done().when(cancel(made(3))).done();
    let world = world.restarted();
    let world = world.when(run_job_unique("k", None)).then_silent(&exists(made(3), Phase::Cancelled));
    makes_a_run(world.after(1000).when_tick().then([released_key()]));
}

#[test]
fn a_repeated_run_takes_its_key_along() {
    let world = given(base()).and(run(1).unique("k", None).at(Phase::Failed)).committed().when(retry(id(1))).done();
    let hold = world.state.unique_hold(&settle(), "k").expect("the key is held").clone();
    assert_ne!(hold.run_id, id(1));
    world.when(run_job_unique("k", None)).then_silent(&Reply::Run {
        run_id: hold.run_id,
        phase: Phase::Queued,
        existing: true,
        create_time: hold.create_time,
    });
}

#[test]
fn a_run_is_not_repeated_while_another_one_has_its_key() {
    let world = given(base()).and(run(1).unique("k", None).at(Phase::Failed)).committed();
    let world = world.when(run_job_unique("k", None)).done();
    world
        .when(retry(id(1)))
        .then_rejected(&Rejection::AlreadyExists { what: "run with the unique key", name: "k".to_owned() });
}

#[test]
fn the_keys_of_a_job_go_with_it() {
    let world = given(base()).when(run_job_unique("k", hold(9000))).done().when(cancel(made(3))).done();
    let world = world.when(Command::DeleteJob { key: settle(), etag: None }).done();
    assert_eq!(world.state.unique_hold(&settle(), "k"), None);
}

#[test]
fn an_expired_run_lets_its_key_go_in_the_same_tick() {
    let world = given(base())
        .and(run(1).with(|run| run.deadline = Some(T0.plus(Millis(5)))).unique("k", None).at(Phase::Running))
        .after(5)
        .when_tick()
        .done();
    makes_a_run(world);
}
