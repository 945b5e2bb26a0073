//! What workers say: fencing, retries and their waits, lost workers, results and logs.

use bytes::Bytes;

use super::{World, given};
use crate::{
    command::{AttemptRef, Command, Report, SystemCommand},
    event::Event,
    id::{AttemptNumber, Millis, RunId},
    job::LostWorker,
    limits::{self, Limits},
    rejection::Rejection,
    reply::Reply,
    run::{AttemptOutcome, LogStream, Outcome, Phase},
    samples::*,
};

fn stale(why: &str) -> Rejection {
    Rejection::LeaseStale { why: why.to_owned() }
}

/// The next attempt of the run begins.
fn start(world: World, run_id: RunId) -> World {
    world.when_system(&SystemCommand::StartAttempt { run_id, worker_id: WORKER, worker_name: "w1".into() }).done()
}

fn expire(run_id: RunId, number: u32) -> SystemCommand {
    SystemCommand::ExpireLease { run_id, number: AttemptNumber(number) }
}

#[test]
fn a_run_nobody_knows_is_stale() {
    given(base()).when(report(id(9), 1, succeeded())).then_rejected(&stale("there is no such run"));
    given(base()).when(log(id(9), 1, "x")).then_rejected(&stale("there is no such run"));
}

#[test]
fn an_old_attempt_is_fenced_off_once_another_has_begun() {
    let world = given(base()).and(run(1).at(Phase::Running)).when_system(&expire(id(1), 1)).done();
    let world = start(world, id(1));
    let why = stale("attempt 2 has taken the place of attempt 1");
    let world = world.when(report(id(1), 1, succeeded())).then_rejected(&why);
    let world = world.when(log(id(1), 1, "x")).then_rejected(&why);
    world.when(report(id(1), 2, succeeded())).done();
}

#[test]
fn an_attempt_that_has_not_begun_cannot_be_reported() {
    let why = stale("attempt 1 has taken the place of attempt 2");
    given(base()).and(run(1).at(Phase::Running)).when(report(id(1), 2, succeeded())).then_rejected(&why);
}

#[test]
fn another_worker_cannot_speak_for_the_one_that_holds_it() {
    let attempt = AttemptRef { worker_id: OTHER_WORKER, ..attempt(id(1), 1) };
    for phase in [Phase::Running, Phase::Cancelling] {
        for report in [succeeded(), failed("no"), Report::Cancelled, released()] {
            let command = Command::ReportAttempt { attempt: attempt.clone(), report };
            let world = given(base()).and(run(1).at(phase));
            world.when(command).then_rejected(&stale("it belongs to another worker"));
        }
    }
}

#[test]
fn a_second_report_in_the_same_batch_is_stale() {
    given(base())
        .and(run(1).at(Phase::Running))
        .committed()
        .when(report(id(1), 1, succeeded()))
        .done()
        .when(report(id(1), 1, failed("no")))
        .then_rejected(&stale("the run is SUCCEEDED"));
}

#[test]
fn a_result_is_kept_beside_the_run() {
    let result = Some(payload("out"));
    let event = Event::AttemptEnded {
        run_id: id(1),
        number: AttemptNumber(1),
        how: AttemptOutcome::Succeeded,
        error: String::new(),
        result: result.clone(),
    };
    let mut world = given(base())
        .and(run(1).at(Phase::Running))
        .when(report(id(1), 1, Report::Succeeded { result }))
        .then([event, over(id(1), Outcome::Succeeded, "")]);
    world.commit();
    assert!(world.run(id(1)).expect("it ended").has_result);
    assert_eq!(world.disk.result(id(1)), Some(&payload("out")));
}

#[test]
fn the_waits_between_attempts_grow_and_the_last_failure_ends_the_run() {
    let mut world = given(base()).and(run(1).at(Phase::Queued));
    for (number, wait) in [(1, 1000), (2, 2000)] {
        world = start(world, id(1)).after(7);
        let until = world.now.plus(Millis(wait));
        world = world
            .when(report(id(1), number, failed("no")))
            .then([ended(id(1), number, AttemptOutcome::Failed, "no"), retrying(id(1), until)])
            .after(wait - 1)
            .when_tick()
            .then_nothing()
            .after(1)
            .when_tick()
            .then([queued(id(1))]);
    }
    start(world, id(1))
        .when(report(id(1), 3, failed("no more")))
        .then([ended(id(1), 3, AttemptOutcome::Failed, "no more"), over(id(1), Outcome::Failed, "no more")]);
}

#[test]
fn a_retry_after_does_not_lend_more_attempts() {
    let report_last = Report::Failed { error: "no".to_owned(), permanent: false, retry_after: Some(Millis(1)) };
    given(base())
        .and(run(1).with_plan(|plan| plan.retry.max_attempts = 1).at(Phase::Running))
        .when(report(id(1), 1, report_last))
        .then([ended(id(1), 1, AttemptOutcome::Failed, "no"), over(id(1), Outcome::Failed, "no")]);
}

#[test]
fn a_time_out_counts_as_a_failure() {
    given(base())
        .and(run(1).with_plan(|plan| plan.retry.max_attempts = 1).at(Phase::Running))
        .after(ATTEMPT_TIMEOUT.0)
        .when_tick()
        .then([
            ended(id(1), 1, AttemptOutcome::TimedOut, "the attempt took longer than its time-out"),
            over(id(1), Outcome::Failed, "the attempt took longer than its time-out"),
        ]);
}

#[test]
fn released_attempts_do_not_count_towards_the_policy() {
    let mut world = given(base()).and(run(1).at(Phase::Queued));
    for number in 1..=5 {
        world = start(world, id(1))
            .when(report(id(1), number, released()))
            .then([ended(id(1), number, AttemptOutcome::Released, "draining"), queued(id(1))]);
    }
    let run = world.run(id(1)).expect("it is live");
    assert_eq!((run.failed_count, run.lost_count, run.attempt), (0, 0, AttemptNumber(5)));
    let until = world.now.plus(BACKOFF);
    start(world, id(1))
        .when(report(id(1), 6, failed("no")))
        .then([ended(id(1), 6, AttemptOutcome::Failed, "no"), retrying(id(1), until)]);
}

#[test]
fn lost_workers_do_not_count_towards_the_policy_but_have_a_bound_of_their_own() {
    let mut world = given(base()).and(run(1).at(Phase::Queued));
    let error = "the worker was lost: it was not heard of for longer than its lease";
    for number in 1..limits::LOST_ATTEMPTS_MAX {
        world = start(world, id(1))
            .when_system(&expire(id(1), number))
            .then([ended(id(1), number, AttemptOutcome::Lost, error), queued(id(1))]);
        assert_eq!(world.run(id(1)).expect("it is live").failed_count, 0);
    }
    let last = limits::LOST_ATTEMPTS_MAX;
    start(world, id(1)).when_system(&expire(id(1), last)).then([
        ended(id(1), last, AttemptOutcome::Lost, error),
        over(id(1), Outcome::Failed, "10 workers were lost over it"),
    ]);
}

#[test]
fn a_lost_worker_fails_the_run_where_the_job_says_so() {
    let error = "the worker was lost: it was not heard of for longer than its lease";
    given(base())
        .and(run(1).with_plan(|plan| plan.lost_worker = LostWorker::Fail).at(Phase::Running))
        .when_system(&expire(id(1), 1))
        .then([ended(id(1), 1, AttemptOutcome::Lost, error), over(id(1), Outcome::Failed, error)]);
}

#[test]
fn the_lease_of_an_old_attempt_says_nothing_about_the_new_one() {
    let world = given(base()).and(run(1).at(Phase::Running)).when_system(&expire(id(1), 1)).done();
    start(world, id(1)).when_system(&expire(id(1), 1)).then_nothing();
}

#[test]
fn only_the_last_attempts_are_kept_and_numbers_go_on() {
    let mut world = given(base()).and(run(1).at(Phase::Queued));
    let count = u32::try_from(limits::ATTEMPTS_KEPT_MAX).expect("it is small") + 3;
    for number in 1..=count {
        world = start(world, id(1)).when(report(id(1), number, released())).done();
    }
    let run = world.run(id(1)).expect("it is live");
    assert_eq!(run.attempts.len(), limits::ATTEMPTS_KEPT_MAX);
    assert_eq!((run.attempts[0].number, run.attempt), (AttemptNumber(4), AttemptNumber(count)));
}

#[test]
fn the_last_failure_is_told_while_waiting_and_forgotten_on_success() {
    let world = given(base()).and(run(1).at(Phase::Running)).when(report(id(1), 1, failed("no"))).done();
    assert_eq!(world.run(id(1)).expect("it is live").reason, "no");
    let world = start(world.after(1000).when_tick().done(), id(1)).when(report(id(1), 2, succeeded())).done();
    assert_eq!(world.run(id(1)).expect("it ended").reason, "");
}

/// A world with a bound of this many bytes on a log, and a run that is held.
fn with_log_bound(log_bytes_max: u64) -> World {
    let mut world = World::with_limits(T0, Limits { log_bytes_max, ..Limits::default() });
    for event in base().into_iter().chain(run(1).at(Phase::Running)) {
        world.evolve(&[event]);
    }
    world
}

fn logged(stream: LogStream, data: impl Into<Bytes>) -> Event {
    Event::LogAppended { run_id: id(1), number: AttemptNumber(1), stream, data: data.into() }
}

#[test]
fn pieces_of_a_log_are_numbered_in_order_and_carry_the_servers_time() {
    let world = with_log_bound(1000).when(log(id(1), 1, "a")).done().after(5).when(log(id(1), 1, "b")).done();
    let world = world.committed();
    let rows: Vec<_> = world.disk.logs.iter().map(|row| (row.index, row.time, &row.data[..])).collect();
    assert_eq!(rows, [(0, T0, &b"a"[..]), (1, T0.plus(Millis(5)), &b"b"[..])]);
}

#[test]
fn a_log_goes_on_over_attempts() {
    let world = given(base()).and(run(1).at(Phase::Running)).when(log(id(1), 1, "a")).done();
    let world = start(world.when(report(id(1), 1, released())).done(), id(1)).when(log(id(1), 2, "b")).done();
    let world = world.committed();
    let rows: Vec<_> = world.disk.logs.iter().map(|row| (row.index, row.number.0)).collect();
    assert_eq!(rows, [(0, 1), (1, 2)]);
}

#[test]
fn a_log_that_is_too_long_says_so_once_and_takes_nothing_more() {
    let mut notice = b"\n[log cut: it has reached its bound of 100 bytes]\n".to_vec();
    notice.resize(95, b' ');
    let world = with_log_bound(100)
        .when(log(id(1), 1, "hello"))
        .then([logged(LogStream::Stdout, "hello")])
        .when(long_log(96))
        .then([logged(LogStream::System, notice)]);
    assert_eq!(world.run(id(1)).expect("it is live").log_bytes, 100);
    world.when(log(id(1), 1, "more")).then_silent(&Reply::Done);
}

#[test]
fn a_log_that_would_be_exactly_full_says_so_too() {
    let world = with_log_bound(100).when(long_log(99)).done();
    let notice = "\n[log cut: it has reached its bound of 100 bytes]\n";
    world
        .when(log(id(1), 1, "x"))
        .then([logged(LogStream::System, notice)])
        .when(log(id(1), 1, "x"))
        .then_silent(&Reply::Done);
}

#[test]
fn an_empty_piece_of_a_log_is_no_piece() {
    with_log_bound(100).when(log(id(1), 1, "")).then_silent(&Reply::Done);
}

fn long_log(len: usize) -> Command {
    let data = Bytes::from(vec![b'x'; len]);
    Command::AppendLog { attempt: attempt(id(1), 1), stream: LogStream::Stdout, data }
}
