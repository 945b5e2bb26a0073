//! Times that passed while nobody could fire them.

use super::*;
use crate::{
    limits,
    schedule::{Misfire, Overlap},
};

fn by(misfire: Misfire) -> World {
    rate(|trigger| (trigger.misfire, trigger.overlap) = (misfire, Overlap::Parallel { max: 100 }))
}

#[test]
fn what_is_a_little_late_is_in_time_by_any_rule() {
    for misfire in [Misfire::FireOnce, Misfire::Skip, Misfire::FireAll] {
        by(misfire).after(STEP + limits::MISFIRE_AFTER.0).then_fires(&["run 1"]);
    }
    let fast = |misfire| {
        let mut trigger = every(2000);
        (trigger.misfire, trigger.overlap) = (misfire, Overlap::Parallel { max: 100 });
        with(trigger)
    };
    for misfire in [Misfire::FireOnce, Misfire::Skip, Misfire::FireAll] {
        fast(misfire).after(6000).then_fires(&["run 0.2", "run 0.4", "run 0.6"]);
    }
}

#[test]
fn once_fires_the_last_and_counts_the_others() {
    let world = by(Misfire::FireOnce).after(5 * STEP + 9000).then_fires(&["Misfire 1..4 x4", "run 5"]);
    let counters = world.standing().counters;
    assert_eq!((counters.fired, counters.misfire, counters.late_last), (1, 4, Millis(9000)));
    world.after(1000).then_fires(&["run 6"]);
}

#[test]
fn once_of_one_is_that_one() {
    by(Misfire::FireOnce).after(STEP + 9000).then_fires(&["run 1"]);
}

#[test]
fn once_takes_the_last_even_if_that_is_in_time() {
    by(Misfire::FireOnce).after(5 * STEP + 10).then_fires(&["Misfire 1..4 x4", "run 5"]);
}

#[test]
fn skip_misses_what_is_late_and_fires_what_is_in_time() {
    by(Misfire::Skip).after(5 * STEP + 9000).then_fires(&["Misfire 1..5 x5"]).after(1000).then_fires(&["run 6"]);
    by(Misfire::Skip).after(5 * STEP + 10).then_fires(&["Misfire 1..4 x4", "run 5"]);
}

#[test]
fn all_fires_each_in_order() {
    by(Misfire::FireAll).after(3 * STEP + 9000).then_fires(&["run 1", "run 2", "run 3"]);
}

#[test]
fn what_is_older_than_the_catch_up_window_is_missed() {
    let within = |misfire| {
        let world = rate(|trigger| {
            (trigger.misfire, trigger.overlap) = (misfire, Overlap::Parallel { max: 100 });
            trigger.catch_up = Millis(25_000);
        });
        world.after(8 * STEP)
    };
    within(Misfire::FireAll).then_fires(&["Misfire 1..5 x5", "run 6", "run 7", "run 8"]);
    within(Misfire::FireOnce).then_fires(&["Misfire 1..5 x5", "Misfire 6..7 x2", "run 8"]);
}

#[test]
fn a_restart_in_the_middle_of_catching_up_loses_and_doubles_nothing() {
    let mut world = by(Misfire::FireAll).after(4 * STEP + 9000);
    let mut said = Vec::new();
    loop {
        world = world.restarted();
        let events = world.act();
        if events.is_empty() {
            break;
        }
        said.extend(events.iter().filter_map(short));
    }
    assert_eq!(said, ["run 1", "run 2", "run 3", "run 4"]);
}

#[test]
fn a_long_outage_of_a_fast_rate_is_settled_in_slices() {
    let mut trigger = every(100);
    trigger.catch_up = Millis(1000);
    let mut world = with(trigger).after(100 * 25_000);
    let mut slices = Vec::new();
    loop {
        let events = world.act();
        if events.is_empty() {
            break;
        }
        assert!(events.len() <= 2, "one fire or one slice: {events:?}");
        slices.extend(events.iter().filter_map(short).filter(|said| said.starts_with("Misfire")));
    }
    assert_eq!(slices.len(), 3, "{slices:?}");
    let counters = world.standing().counters;
    assert_eq!((counters.misfire, counters.fired, counters.overlap), (24_949, 1, 50));
}

#[test]
fn with_the_overlap_rule_what_is_caught_up_is_skipped_too() {
    let world = rate(|trigger| trigger.misfire = Misfire::FireAll).after(3 * STEP + 9000);
    world.then_fires(&["run 1", "Overlap 2", "Overlap 3"]);
}
