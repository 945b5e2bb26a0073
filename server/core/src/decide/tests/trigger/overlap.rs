//! A fire whose time has come while a run of an earlier one is not finished.

use super::*;
use crate::schedule::Overlap;

fn by(overlap: Overlap) -> World {
    rate(|trigger| trigger.overlap = overlap).after(STEP).then_fires(&["run 1"])
}

#[test]
fn skip_makes_none_and_counts_it() {
    let world = by(Overlap::Skip).after(STEP).then_fires(&["Overlap 2"]).after(STEP).then_fires(&["Overlap 3"]);
    assert_eq!(world.standing().counters.overlap, 2);
    world.ends(Outcome::Failed).after(STEP).then_fires(&["run 4"]);
}

#[test]
fn buffer_one_lets_the_first_wait_and_drops_the_others() {
    let world = by(Overlap::BufferOne).after(STEP).then_fires(&["waits 2"]).after(STEP).then_fires(&["Buffer 3"]);
    let world = world.restarted().ends(Outcome::Succeeded).restarted().then_fires(&["run 2"]);
    let counters = world.standing().counters;
    assert_eq!((counters.fired, counters.buffer, counters.late_max), (2, 1, Millis(STEP)));
    assert!(world.standing().waiting.is_empty());
}

#[test]
fn buffer_all_lets_so_many_wait_one_behind_the_other() {
    let mut world = by(Overlap::BufferAll { max: 2 });
    for (step, expected) in [(2, "waits 2"), (3, "waits 3"), (4, "Buffer 4")] {
        world = world.after(STEP).then_fires(&[expected]);
        assert_eq!(world.now, at(step));
    }
    let world = world.ends(Outcome::Succeeded).then_fires(&["run 2"]).ends(Outcome::Cancelled).then_fires(&["run 3"]);
    world.ends(Outcome::Succeeded).then_fires(&[]).after(STEP).then_fires(&["run 5"]);
}

#[test]
fn what_waits_goes_before_what_comes() {
    let world = by(Overlap::BufferAll { max: 5 }).after(STEP).then_fires(&["waits 2"]).after(STEP);
    world.ends(Outcome::Succeeded).then_fires(&["run 2", "waits 3"]);
}

#[test]
fn cancel_other_ends_what_nobody_holds_and_fires_at_once() {
    let world = by(Overlap::CancelOther).after(STEP).then_fires(&["ended Cancelled", "run 2"]);
    assert_eq!(world.state.live_count_of_trigger(&key()), 1);
}

#[test]
fn cancel_other_asks_who_runs_to_stop_and_fires_once_it_has() {
    let world = by(Overlap::CancelOther).starts().after(STEP).then_fires(&["stop", "waits 2"]);
    let world = world.after(STEP).then_fires(&["Buffer 2", "waits 3"]).restarted();
    world.ends(Outcome::Cancelled).then_fires(&["run 3"]).then_fires(&[]);
}

#[test]
fn parallel_makes_them_beside_each_other_up_to_a_bound() {
    let world = by(Overlap::Parallel { max: 2 }).after(STEP).then_fires(&["run 2"]).after(STEP);
    let world = world.then_fires(&["Overlap 3"]).ends(Outcome::Succeeded).after(STEP).then_fires(&["run 4"]);
    assert_eq!(world.state.live_count_of_trigger(&key()), 2);
}

#[test]
fn what_waits_when_it_is_paused_goes_on_waiting() {
    let world = by(Overlap::BufferOne).after(STEP).then_fires(&["waits 2"]).when(pause()).done();
    let world = world.ends(Outcome::Succeeded).then_fires(&[]).when(resume()).done();
    world.then_fires(&["run 2"]);
}

#[test]
fn runs_that_others_made_do_not_count() {
    rate(|_| {}).and([run(1).created()]).after(STEP).then_fires(&["run 1"]);
}

#[test]
fn two_triggers_of_a_job_do_not_hold_each_other_up() {
    let mut job = spec_with_trigger(every(STEP));
    job.triggers.insert(trigger_name("u"), every(STEP));
    let mut world = given(base_with(job)).after(STEP);
    for name in ["t", "u"] {
        let key = trigger_key(name);
        assert_eq!(world.state.due_trigger(world.now), Some(&key));
        let step = world.decide_system(&SystemCommand::FireTrigger { key: key.clone() });
        world.apply(step).expect("it is never refused");
        assert_eq!(world.state.live_count_of_trigger(&key), 1);
    }
}

#[test]
fn what_waits_counts_towards_how_often_it_may_fire() {
    let world = rate(|trigger| (trigger.overlap, trigger.max_fires) = (Overlap::BufferAll { max: 9 }, Some(2)));
    let world = world.after(STEP).then_fires(&["run 1"]).after(STEP).then_fires(&["waits 2"]).after(STEP);
    world.then_fires(&[]).ends(Outcome::Succeeded).then_fires(&["run 2"]).ends(Outcome::Succeeded).then_fires(&[]);
}
