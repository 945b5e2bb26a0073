//! What the server does by itself: handing runs out, and taking leases back.

use super::given;
use crate::{
    command::SystemCommand,
    id::{AttemptNumber, Millis, RunId},
    run::Phase,
    samples::*,
};

fn start(run_id: RunId) -> SystemCommand {
    SystemCommand::StartAttempt { run_id, worker_id: WORKER, worker_name: "w1".into() }
}

fn expire(run_id: RunId, number: u32) -> SystemCommand {
    SystemCommand::ExpireLease { run_id, number: AttemptNumber(number) }
}

#[test]
fn nothing_happens_to_a_run_nobody_knows() {
    given(base()).when_system(&start(id(9))).then_nothing();
    given(base()).when_system(&expire(id(9), 1)).then_nothing();
    given(base()).when_tick().then_nothing();
}

#[test]
fn an_attempt_without_a_time_out_has_no_end() {
    let world = given(base())
        .and(run(1).with_plan(|plan| plan.attempt_timeout = None).at(Phase::Queued))
        .when_system(&start(id(1)))
        .then([started(id(1), 1, None)]);
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn the_time_out_counts_from_the_hand_over() {
    given(base()).and(run(1).at(Phase::Queued)).after(5000).when_system(&start(id(1))).then([started(
        id(1),
        1,
        Some(T0.plus(Millis(65_000))),
    )]);
}

#[test]
fn a_run_is_handed_out_once() {
    given(base())
        .and(run(1).at(Phase::Queued))
        .when_system(&start(id(1)))
        .done()
        .when_system(&start(id(1)))
        .then_nothing();
}

#[test]
fn a_lease_of_another_number_is_not_this_one() {
    for number in [0, 2, u32::MAX] {
        given(base()).and(run(1).at(Phase::Running)).when_system(&expire(id(1), number)).then_nothing();
    }
}

#[test]
fn a_lease_is_taken_back_once() {
    given(base())
        .and(run(1).at(Phase::Running))
        .when_system(&expire(id(1), 1))
        .done()
        .when_system(&expire(id(1), 1))
        .then_nothing();
}

#[test]
fn a_run_that_ended_in_this_batch_is_handed_to_nobody() {
    given(base()).and(run(1).at(Phase::Queued)).when(cancel(id(1))).done().when_system(&start(id(1))).then_nothing();
}
