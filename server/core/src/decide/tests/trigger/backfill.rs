//! Making up for times that passed.

use super::*;
use crate::{command::BackfillRange, limits, rejection::Rejection, reply::Reply, schedule::Overlap};

const IN_TURN: Overlap = Overlap::BufferAll { max: limits::BUFFER_DEFAULT };

fn backfill(from: i64, to: Option<i64>, overlap: Overlap) -> Command {
    let range = BackfillRange { from: at(from), to: to.map(at), overlap };
    Command::BackfillTrigger { key: key(), range }
}

fn cancel() -> Command {
    Command::CancelBackfill { key: key() }
}

/// The trigger was paused for ten steps, and that is settled.
fn missed() -> World {
    let world = rate(|_| {}).when(pause()).done().after(10 * STEP + 5).when(resume()).done();
    world.then_fires(&["Paused 1..10 x10"])
}

#[test]
fn each_time_of_the_range_gets_its_run_one_after_the_other() {
    let world = missed().when(backfill(2, Some(5), IN_TURN));
    assert_eq!(world.answer(), Some(&Reply::Backfill(3)));
    let world = world.done().restarted().then_fires(&["run 2"]);
    assert_eq!(world.newest().cause, cause(at(2), FireSource::Backfill));
    let world = world.ends(Outcome::Succeeded).then_fires(&["run 3"]).restarted().ends(Outcome::Failed);
    let world = world.then_fires(&["run 4"]).ends(Outcome::Succeeded).then_fires(&["backfill ended true"]);
    let counters = world.standing().counters;
    assert_eq!((counters.backfilled, counters.fired, counters.paused), (3, 0, 10));
    assert_eq!(counters.late_total, Millis(0), "making up is not lateness");
    world.after(STEP).then_fires(&["run 11"]);
}

#[test]
fn so_many_at_a_time() {
    let world =
        missed().when(backfill(1, Some(4), Overlap::Parallel { max: 2 })).done().then_fires(&["run 1", "run 2"]);
    let world = world.ends(Outcome::Succeeded).then_fires(&["run 3"]);
    world.ends(Outcome::Succeeded).then_fires(&["backfill ended true"]);
}

#[test]
fn skip_makes_one_and_counts_the_others() {
    let world = missed().when(backfill(1, Some(4), Overlap::Skip)).done();
    let world = world.then_fires(&["run 1", "Overlap 2", "Overlap 3", "backfill ended true"]);
    assert_eq!(world.standing().counters.overlap, 2);
}

#[test]
fn a_pause_holds_it_and_resuming_goes_on() {
    let world = missed().when(backfill(1, Some(3), IN_TURN)).done().then_fires(&["run 1"]).when(pause()).done();
    let world = world.ends(Outcome::Succeeded).then_fires(&[]).when(resume()).done();
    world.then_fires(&["run 2"]).ends(Outcome::Succeeded).then_fires(&["backfill ended true"]);
}

#[test]
fn it_can_be_cancelled() {
    let world = missed().when(backfill(1, Some(3), IN_TURN)).done().then_fires(&["run 1"]);
    let ended = Event::BackfillEnded { key: key(), done: false };
    let world = world.when(cancel()).then_answers(&Reply::Done, [ended]).ends(Outcome::Succeeded).then_fires(&[]);
    world.when(cancel()).then_silent(&Reply::Done);
}

#[test]
fn one_at_a_time() {
    let world = missed().when(backfill(1, Some(3), IN_TURN)).done();
    let rejection = Rejection::BackfillUnderWay { trigger: key().to_string() };
    world.when(backfill(1, Some(3), IN_TURN)).then_rejected(&rejection);
}

#[test]
fn a_range_without_times_is_no_backfill() {
    let range = BackfillRange { from: at(0).plus(Millis(1)), to: Some(at(1)), overlap: IN_TURN };
    missed().when(Command::BackfillTrigger { key: key(), range }).then_silent(&Reply::Backfill(0));
}

#[test]
fn what_cannot_be_made_up_for_is_refused_with_the_reason() {
    let refused = |command: Command, world: World, says: &str| {
        let step = world.decide(&command);
        let Err(Rejection::BackfillUnfit { problem }) = step else { panic!("it is refused: {step:?}") };
        assert!(problem.contains(says), "{problem}");
    };
    refused(backfill(1, Some(50), IN_TURN), missed(), "lies ahead");
    refused(backfill(3, Some(3), IN_TURN), missed(), "empty");
    let delay = with(trigger_spec(When::Delay { delay: Millis(STEP) })).after(STEP);
    refused(backfill(0, None, IN_TURN), delay, "hangs on the end of a run");
    let fast = with(every(100)).when(pause()).done().after(100 * 20_000);
    refused(backfill(0, None, IN_TURN), fast, "more than 10000 times");
}

#[test]
fn it_reaches_back_before_the_trigger_was_made() {
    let start = rate(|trigger| trigger.start_time = Some(at(0)));
    let world = start.after(5).when(backfill(-3, Some(0), IN_TURN));
    assert_eq!(world.answer(), Some(&Reply::Backfill(3)));
    world.done().then_fires(&["run -3"]);
}

#[test]
fn other_times_end_it() {
    let world = missed().when(backfill(1, Some(4), IN_TURN)).done();
    let spec = std::sync::Arc::new(spec_with_trigger(every(2 * STEP)));
    let world = world.when(Command::UpdateJob { key: settle(), etag: None, spec }).done();
    assert_eq!(world.standing().backfill, None);
}
