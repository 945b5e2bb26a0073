//! Cancelling: what a cancelled run becomes, and when.

use super::given;
use crate::{
    command::{Command, Report, SystemCommand},
    id::{AttemptNumber, Millis, WorkerKey},
    limits::Limits,
    rejection::Rejection,
    reply::Reply,
    run::{AttemptOutcome, Outcome, Phase},
    samples::*,
};

#[test]
fn a_cancel_without_a_reason_says_so_itself() {
    let command = Command::CancelRun { app: pay(), run_id: id(1), reason: String::new() };
    given(base()).and(run(1).at(Phase::Queued)).when(command).then([over(
        id(1),
        Outcome::Cancelled,
        "cancelled by request",
    )]);
}

#[test]
fn a_run_nobody_knows_cannot_be_cancelled() {
    let rejection = Rejection::NotFound { what: "run", name: id(9).to_string() };
    given(base()).when(cancel(id(9))).then_rejected(&rejection);
}

#[test]
fn a_second_cancel_gives_no_more_grace_and_keeps_the_first_reason() {
    let again = Command::CancelRun { app: pay(), run_id: id(1), reason: "really".to_owned() };
    let world = given(base())
        .and(run(1).at(Phase::Cancelling))
        .after(10_000)
        .when(again)
        .then_silent(&Reply::RunPhase(Phase::Cancelling));
    assert_eq!(world.run(id(1)).expect("it is live").reason, "enough");
    assert_eq!(world.state.next_deadline(), Some(T0.plus(Millis(30_000))));
}

#[test]
fn the_grace_of_a_cancel_is_the_operators() {
    let limits = Limits { cancel_grace: Millis(5), ..Limits::default() };
    let mut world = super::World::with_limits(T0, limits);
    for event in base().into_iter().chain(run(1).at(Phase::Running)) {
        world.evolve(&[event]);
    }
    world.when(cancel(id(1))).then([cancel_requested(id(1), "enough", T0.plus(Millis(5)))]);
}

#[test]
fn a_worker_that_does_not_let_go_is_given_up_and_its_late_report_is_refused() {
    given(base())
        .and(run(1).at(Phase::Running))
        .when(cancel(id(1)))
        .done()
        .after(30_000)
        .when_tick()
        .then([ended(id(1), 1, AttemptOutcome::Cancelled, ""), over(id(1), Outcome::Cancelled, "enough")])
        .when(report(id(1), 1, succeeded()))
        .then_rejected(&Rejection::LeaseStale { why: "the run is CANCELLED".to_owned() });
}

#[test]
fn the_grace_is_not_over_a_millisecond_early() {
    given(base()).and(run(1).at(Phase::Cancelling)).after(29_999).when_tick().then_nothing();
}

#[test]
fn an_attempt_that_times_out_while_cancelled_ends_the_run_as_cancelled() {
    given(base())
        .and(run(1).with_plan(|plan| plan.attempt_timeout = Some(Millis(20_000))).at(Phase::Cancelling))
        .after(20_000)
        .when_tick()
        .then([ended(id(1), 1, AttemptOutcome::TimedOut, ""), over(id(1), Outcome::Cancelled, "enough")]);
}

#[test]
fn a_run_that_succeeds_although_cancelled_succeeded() {
    let world = given(base())
        .and(run(1).at(Phase::Cancelling))
        .when(report(id(1), 1, succeeded()))
        .then([ended(id(1), 1, AttemptOutcome::Succeeded, ""), over(id(1), Outcome::Succeeded, "")]);
    assert_eq!(world.run(id(1)).expect("it has just ended").reason, "");
}

#[test]
fn a_cancelled_run_still_holds_its_worker_and_its_place() {
    let spec = crate::job::JobSpec { max_running: Some(1), ..spec() };
    let world = given(base_with(spec)).and(run(1).at(Phase::Cancelling)).and(run(2).at(Phase::Queued));
    assert_eq!(
        world.state.held_by(&WorkerKey { worker_id: WORKER, app: pay() }).collect::<Vec<_>>(),
        [(id(1), AttemptNumber(1))]
    );
    assert_eq!(world.state.counts(&settle()).running, 1);
    assert_eq!(world.state.ready().first(&pay(), &processor("exec")), None);
    let world = world.when(report(id(1), 1, Report::Cancelled)).done();
    assert_eq!(world.state.holders().count(), 0);
    let first = world.state.ready().first(&pay(), &processor("exec")).expect("there is place again");
    assert_eq!(first.run_id, id(2));
}

#[test]
fn a_lost_worker_ends_a_cancelled_run_whatever_the_policy() {
    for policy in [crate::job::LostWorker::Retry, crate::job::LostWorker::Fail] {
        given(base())
            .and(run(1).with_plan(|plan| plan.lost_worker = policy).at(Phase::Cancelling))
            .when_system(&SystemCommand::ExpireLease { run_id: id(1), number: AttemptNumber(1) })
            .then([ended(id(1), 1, AttemptOutcome::Lost, ""), over(id(1), Outcome::Cancelled, "enough")]);
    }
}

#[test]
fn a_cancelled_run_that_failed_for_good_is_cancelled() {
    let broken = Report::Failed { error: "no".to_owned(), permanent: true, retry_after: None };
    given(base())
        .and(run(1).at(Phase::Cancelling))
        .when(report(id(1), 1, broken))
        .then([ended(id(1), 1, AttemptOutcome::Failed, ""), over(id(1), Outcome::Cancelled, "enough")]);
}

#[test]
fn two_cancels_in_one_batch_end_a_waiting_run_once() {
    given(base())
        .and(run(1).at(Phase::Queued))
        .committed()
        .when(cancel(id(1)))
        .then([over(id(1), Outcome::Cancelled, "enough")])
        .when(cancel(id(1)))
        .then_rejected(&Rejection::RunFinished { phase: Phase::Cancelled });
}
