//! Every phase of a run against everything that can come to it, each outcome written out. One test for each cell; each
//! cell is asked before the commit and after it.

use std::sync::Arc;

use super::{
    given,
    world::{Step, World},
};
use crate::{
    command::{Command, Report, SystemCommand},
    event::Event,
    id::{AttemptNumber, Millis, Revision, RunId, Timestamp},
    rejection::Rejection,
    reply::Reply,
    run::{AttemptOutcome, LogStream, Outcome, Phase},
    samples::{self, *},
};

/// What comes to the run.
enum Comes {
    Wish(Command),
    Server(SystemCommand),
    /// A tick, that long after T0.
    Later(i64),
    /// A tick half a second after T0, at the deadline of the run.
    Deadline,
}
use Comes::{Deadline, Later, Server, Wish};

fn r() -> RunId {
    id(1)
}

fn check(phase: &str, comes: &Comes, expected: &Step) {
    let phase = Phase::ALL.into_iter().find(|each| each.as_str().eq_ignore_ascii_case(phase)).expect("a phase");
    let deadline = matches!(comes, Deadline).then(|| T0.plus(Millis(500)));
    let given = || given(base()).and(run(1).with(|run| run.deadline = deadline).at(phase));
    for mut world in [given(), given().committed()] {
        assert_eq!(world.phase(r()), Some(phase));
        let step = ask(&mut world, comes);
        assert_eq!(&step, expected, "{phase:?}");
        let was = world.run(r());
        if world.apply(step).is_err() || phase.is_terminal() {
            assert_eq!(world.run(r()), was, "nothing happened to it");
        }
    }
}

fn ask(world: &mut World, comes: &Comes) -> Step {
    match comes {
        Wish(command) => world.decide(command),
        Server(command) => world.decide_system(command),
        Later(millis) => {
            world.wait(*millis);
            world.decide_system(&SystemCommand::Tick)
        }
        Deadline => {
            world.wait(500);
            world.decide_system(&SystemCommand::Tick)
        }
    }
}

macro_rules! table {
    ($($name:ident: $comes:expr => { $($phase:ident: $expected:expr,)+ })+) => {
        /// How many cells each row has.
        const ROWS: &[(&str, &[&str])] = &[$((stringify!($name), &[$(stringify!($phase)),+])),+];
        $(mod $name {
            use super::*;
            $(#[test]
            fn $phase() {
                check(stringify!($phase), &$comes, &$expected);
            })+
        })+
    };
}

#[test]
fn no_cell_is_missing() {
    for (row, cells) in ROWS {
        let phases: Vec<String> = Phase::ALL.iter().map(|phase| phase.as_str().to_lowercase()).collect();
        assert_eq!(*cells, phases, "{row}");
    }
}

table! {
    cancel: Wish(samples::cancel(r())) => {
        scheduled: does(Reply::RunPhase(Phase::Cancelled), [over(r(), Outcome::Cancelled, "enough")]),
        queued: does(Reply::RunPhase(Phase::Cancelled), [over(r(), Outcome::Cancelled, "enough")]),
        running: does(Reply::RunPhase(Phase::Cancelling), [cancel_requested(r(), "enough", in_ms(30_000))]),
        retrying: does(Reply::RunPhase(Phase::Cancelled), [over(r(), Outcome::Cancelled, "enough")]),
        cancelling: silent(Reply::RunPhase(Phase::Cancelling)),
        succeeded: finished(Phase::Succeeded),
        failed: finished(Phase::Failed),
        cancelled: finished(Phase::Cancelled),
        expired: finished(Phase::Expired),
    }
    retry: Wish(samples::retry(r())) => {
        scheduled: not_retryable(Phase::Scheduled),
        queued: not_retryable(Phase::Queued),
        running: not_retryable(Phase::Running),
        retrying: does(Reply::Retried { run_id: r(), created: false, phase: Phase::Queued }, [samples::queued(r())]),
        cancelling: not_retryable(Phase::Cancelling),
        succeeded: again(7),
        failed: again(7),
        cancelled: again(5),
        expired: again(5),
    }
    report_succeeded: Wish(report(r(), 1, samples::succeeded())) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [gone(AttemptOutcome::Succeeded, ""), over(r(), Outcome::Succeeded, "")]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Succeeded, ""), over(r(), Outcome::Succeeded, "")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    report_failed: Wish(report(r(), 1, samples::failed("no"))) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [gone(AttemptOutcome::Failed, "no"), samples::retrying(r(), in_ms(1000))]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Failed, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    report_permanent: Wish(report(r(), 1, failing(true, None))) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [gone(AttemptOutcome::Failed, "no"), over(r(), Outcome::Failed, "no")]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Failed, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    report_retry_after: Wish(report(r(), 1, failing(false, Some(Millis(90_000))))) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [gone(AttemptOutcome::Failed, "no"), samples::retrying(r(), in_ms(90_000))]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Failed, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    report_cancelled: Wish(report(r(), 1, Report::Cancelled)) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(
            Reply::Done,
            [
                gone(AttemptOutcome::Failed, "the worker cancelled it unasked"),
                samples::retrying(r(), in_ms(1000)),
            ],
        ),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Cancelled, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    report_released: Wish(report(r(), 1, released())) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [gone(AttemptOutcome::Released, "draining"), samples::queued(r())]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [gone(AttemptOutcome::Released, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    log: Wish(samples::log(r(), 1, "hello")) => {
        scheduled: stale("the run is SCHEDULED and no attempt is open"),
        queued: stale("the run is QUEUED and no attempt is open"),
        running: does(Reply::Done, [logged("hello")]),
        retrying: stale("the run is RETRYING and no attempt is open"),
        cancelling: does(Reply::Done, [logged("hello")]),
        succeeded: stale("the run is SUCCEEDED"),
        failed: stale("the run is FAILED"),
        cancelled: stale("the run is CANCELLED"),
        expired: stale("the run is EXPIRED"),
    }
    start_attempt: Server(start(r())) => {
        scheduled: nothing(),
        queued: server([started_by(OTHER_WORKER, r(), 1, Some(in_ms(60_000)))]),
        running: nothing(),
        retrying: nothing(),
        cancelling: nothing(),
        succeeded: nothing(),
        failed: nothing(),
        cancelled: nothing(),
        expired: nothing(),
    }
    expire_lease: Server(SystemCommand::ExpireLease { run_id: r(), number: AttemptNumber(1) }) => {
        scheduled: nothing(),
        queued: nothing(),
        running: server([gone(AttemptOutcome::Lost, LOST), samples::queued(r())]),
        retrying: nothing(),
        cancelling: server([gone(AttemptOutcome::Lost, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: nothing(),
        failed: nothing(),
        cancelled: nothing(),
        expired: nothing(),
    }
    tick_while_nothing_is_due: Later(999) => {
        scheduled: nothing(),
        queued: nothing(),
        running: nothing(),
        retrying: nothing(),
        cancelling: nothing(),
        succeeded: nothing(),
        failed: nothing(),
        cancelled: nothing(),
        expired: nothing(),
    }
    tick_a_day_later: Later(86_400_000) => {
        scheduled: server([samples::queued(r())]),
        queued: nothing(),
        running: server([gone(AttemptOutcome::TimedOut, TIMED_OUT), samples::retrying(r(), in_ms(86_401_000))]),
        retrying: server([samples::queued(r())]),
        cancelling: server([gone(AttemptOutcome::Cancelled, ""), over(r(), Outcome::Cancelled, "enough")]),
        succeeded: nothing(),
        failed: nothing(),
        cancelled: nothing(),
        expired: nothing(),
    }
    tick_at_the_deadline: Deadline => {
        scheduled: server([over(r(), Outcome::Expired, PASSED)]),
        queued: server([over(r(), Outcome::Expired, PASSED)]),
        running: server([gone(AttemptOutcome::TimedOut, PASSED), over(r(), Outcome::Expired, PASSED)]),
        retrying: server([over(r(), Outcome::Expired, PASSED)]),
        cancelling: server([gone(AttemptOutcome::TimedOut, PASSED), over(r(), Outcome::Expired, PASSED)]),
        succeeded: nothing(),
        failed: nothing(),
        cancelled: nothing(),
        expired: nothing(),
    }
}

const LOST: &str = "the worker was lost: it was not heard of for longer than its lease";
const TIMED_OUT: &str = "the attempt took longer than its time-out";
const PASSED: &str = "its deadline passed";

fn in_ms(millis: i64) -> Timestamp {
    T0.plus(Millis(millis))
}

fn gone(how: AttemptOutcome, error: &str) -> Event {
    ended(r(), 1, how, error)
}

fn logged(text: &'static str) -> Event {
    let data = bytes::Bytes::from_static(text.as_bytes());
    Event::LogAppended { run_id: r(), number: AttemptNumber(1), stream: LogStream::Stdout, data }
}

fn failing(permanent: bool, retry_after: Option<Millis>) -> Report {
    Report::Failed { error: "no".to_owned(), permanent, retry_after }
}

fn start(run_id: RunId) -> SystemCommand {
    SystemCommand::StartAttempt { run_id, worker_id: OTHER_WORKER, worker_name: "w1".into() }
}

fn does<const N: usize>(reply: Reply, events: [Event; N]) -> Step {
    Ok((events.into(), Some(reply)))
}

fn silent(reply: Reply) -> Step {
    Ok((Vec::new(), Some(reply)))
}

fn server<const N: usize>(events: [Event; N]) -> Step {
    Ok((events.into(), None))
}

fn nothing() -> Step {
    server([])
}

fn finished(phase: Phase) -> Step {
    Err(Rejection::RunFinished { phase })
}

fn not_retryable(phase: Phase) -> Step {
    Err(Rejection::RunNotRetryable { phase })
}

fn stale(why: &str) -> Step {
    Err(Rejection::LeaseStale { why: why.to_owned() })
}

/// A new run, made in this revision, that names the old one.
fn again(revision: u64) -> Step {
    let mut run = run_with_id(made(revision), revision);
    run.retry_of = Some(r());
    run.revision = Revision(revision);
    let reply = Reply::Retried { run_id: run.id, created: true, phase: Phase::Queued };
    does(reply, [Event::RunCreated { run: Arc::new(run), unique_until: None, payload: None }])
}
