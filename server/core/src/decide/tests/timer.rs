//! What is due when: several timers at once, in one tick and over several, by the server's clock alone.

use super::{World, given};
use crate::{
    id::{Millis, Timestamp},
    limits,
    run::{AttemptOutcome, Outcome, Phase},
    samples::*,
};

const TIMED_OUT: &str = "the attempt took longer than its time-out";
const PASSED: &str = "its deadline passed";

fn in_ms(millis: i64) -> Timestamp {
    T0.plus(Millis(millis))
}

/// A world with a run that has this deadline.
fn with_deadline(phase: Phase, deadline: i64) -> World {
    given(base()).and(run(1).with(|run| run.deadline = Some(in_ms(deadline))).at(phase))
}

/// Ticks until nothing is due. Bounded, so that a timer that never goes fails the test.
pub(super) fn tick_until_quiet(mut world: World) -> World {
    for _ in 0..1000 {
        if world.state.next_deadline().is_none_or(|at| at > world.now) {
            return world.when_tick().then_nothing();
        }
        let before = world.state.due(world.now, usize::MAX);
        world = world.when_tick().done();
        assert_ne!(world.state.due(world.now, usize::MAX), before, "a tick does something about what is due");
    }
    panic!("there is always something due: {:?}", world.state.due(world.now, usize::MAX));
}

#[test]
fn two_timers_of_one_run_in_one_tick_go_one_after_the_other() {
    // A server that was down all night finds both past.
    let world = with_deadline(Phase::Running, 90_000).after(1_000_000);
    let world = world
        .when_tick()
        .then([ended(id(1), 1, AttemptOutcome::TimedOut, TIMED_OUT), retrying(id(1), in_ms(1_001_000))]);
    world.when_tick().then([over(id(1), Outcome::Expired, PASSED)]).when_tick().then_nothing();
}

#[test]
fn the_deadline_wins_if_it_is_earlier() {
    with_deadline(Phase::Running, 30_000)
        .after(1_000_000)
        .when_tick()
        .then([ended(id(1), 1, AttemptOutcome::TimedOut, PASSED), over(id(1), Outcome::Expired, PASSED)])
        .when_tick()
        .then_nothing();
}

#[test]
fn a_cancelled_run_is_given_up_before_its_later_deadline() {
    with_deadline(Phase::Cancelling, 40_000)
        .after(1_000_000)
        .when_tick()
        .then([ended(id(1), 1, AttemptOutcome::Cancelled, ""), over(id(1), Outcome::Cancelled, "enough")])
        .when_tick()
        .then_nothing();
}

#[test]
fn a_wait_that_ends_at_the_deadline_ends_with_it() {
    let world = with_deadline(Phase::Retrying, 1000).after(1000);
    let world = world.when_tick().then([queued(id(1))]);
    world.when_tick().then([over(id(1), Outcome::Expired, PASSED)]).when_tick().then_nothing();
}

#[test]
fn a_wait_beyond_the_deadline_never_ends() {
    let world = with_deadline(Phase::Retrying, 999).after(1000);
    world.when_tick().then([over(id(1), Outcome::Expired, PASSED)]).when_tick().then_nothing();
}

#[test]
fn a_start_time_and_a_deadline_at_one_moment_expire_the_run() {
    let world = with_deadline(Phase::Scheduled, 3_600_000).after(3_600_000);
    let world = tick_until_quiet(world);
    assert_eq!(world.phase(id(1)), Some(Phase::Expired));
}

#[test]
fn nothing_is_due_a_millisecond_early() {
    for (phase, millis) in [(Phase::Running, 60_000), (Phase::Retrying, 1000), (Phase::Scheduled, 3_600_000)] {
        let world = given(base()).and(run(1).at(phase));
        assert_eq!(world.state.next_deadline(), Some(in_ms(millis)));
        world.after(millis - 1).when_tick().then_nothing();
    }
}

#[test]
fn the_timers_of_many_runs_go_off_in_one_tick_in_order() {
    let world = given(base())
        .and(run(1).at(Phase::Scheduled))
        .and(run(2).at(Phase::Retrying))
        .and(run(3).with(|run| run.deadline = Some(in_ms(500))).at(Phase::Queued))
        .and(run(4).at(Phase::Cancelling))
        .after(3_600_000);
    world
        .when_tick()
        .then([
            over(id(3), Outcome::Expired, PASSED),
            queued(id(2)),
            ended(id(4), 1, AttemptOutcome::Cancelled, ""),
            over(id(4), Outcome::Cancelled, "enough"),
            queued(id(1)),
        ])
        .when_tick()
        .then_nothing();
}

#[test]
fn a_report_after_the_time_out_is_stale_only_once_the_server_said_so() {
    let world = given(base()).and(run(1).at(Phase::Running)).after(60_000);
    let world = world.when(report(id(1), 1, succeeded())).done();
    world.when_tick().then_nothing();
}

#[test]
fn the_timers_of_a_former_attempt_go_with_it() {
    let world = given(base()).and(run(1).at(Phase::Running)).after(59_000);
    let world = world.when(report(id(1), 1, released())).done();
    world.after(1000).when_tick().then_nothing();
}

#[test]
fn what_has_ended_has_no_timers() {
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
        let world = with_deadline(phase, 30_000);
        assert_eq!(world.state.next_deadline(), None);
    }
}

#[test]
fn a_flood_of_timers_is_handled_in_bounded_ticks() {
    let count = limits::TICK_TIMERS_MAX as u64 + 5;
    let mut world = World::new(T0);
    let runs = (0..count).map(|n| run(n).with(|run| run.deadline = Some(in_ms(1))).created());
    // The invariants are asked once at the end: with each event they would cost the square of it.
    world.evolve(&base());
    let stamp = world.stamp();
    for event in runs {
        world.state.evolve(stamp, &event);
    }
    world.wait(1);
    let (events, _) = world.decide_system(&crate::command::SystemCommand::Tick).expect("a tick is never refused");
    assert_eq!(events.len(), limits::TICK_TIMERS_MAX);
    for event in events {
        world.state.evolve(stamp, &event);
    }
    assert_eq!(world.state.next_deadline(), Some(in_ms(1)), "the rest is due at once");
    let (events, _) = world.decide_system(&crate::command::SystemCommand::Tick).expect("a tick is never refused");
    assert_eq!(events.len(), 5);
    world.state.check_invariants();
}
