//! The dedup broken on purpose, and the checker that must notice: within so many seeds, and by the right rule. A rule
//! that no breakage breaks says nothing.

use std::collections::BTreeMap;

use crate::{checker::Rule, disk::Breakage, runner};

/// Within so many seeds each breakage must be noticed.
const SEEDS: u64 = 40;

/// Lives worlds that are broken in one way, until one of the rules that this way breaks is seen broken.
fn check(breakage: Breakage, breaks: &[Rule]) {
    let mut seen: BTreeMap<Rule, (u64, String)> = BTreeMap::new();
    for seed in 0..SEEDS {
        for violation in runner::live(seed, breakage).violations {
            seen.entry(violation.rule).or_insert((seed, violation.what));
        }
        if let Some(rule) = breaks.iter().find(|rule| seen.contains_key(rule)) {
            let (seed, what) = &seen[rule];
            eprintln!("{breakage:?} breaks {rule:?}, as seed {seed} shows: {what}");
            return;
        }
    }
    panic!("{breakage:?} went unnoticed in {SEEDS} seeds; expected one of {breaks:?}, saw {seen:#?}");
}

#[test]
fn a_store_that_does_not_find_what_it_remembers_executes_twice() {
    check(Breakage::ForgetsOnPrefetch, &[Rule::OneEffect]);
    check(Breakage::ForgetsOnPrefetch, &[Rule::EqualAnswers]);
    check(Breakage::ForgetsOnPrefetch, &[Rule::Reuse]);
}

#[test]
fn a_store_that_checks_refuses_to_remember_a_request_twice() {
    // The second line of defence: the store itself stops the server before a second effect is written.
    check(Breakage::ForgetsOnPrefetchAndChecks, &[Rule::Store]);
    let worlds = (0..SEEDS / 4).map(|seed| runner::live(seed, Breakage::ForgetsOnPrefetchAndChecks));
    let violations: Vec<_> = worlds.flat_map(|world| world.violations).collect();
    assert!(violations.iter().all(|violation| violation.rule != Rule::OneEffect), "{violations:#?}");
}

#[test]
fn an_effect_without_its_record_happens_twice() {
    check(Breakage::DropsRecords, &[Rule::OneEffect]);
    check(Breakage::DropsRecords, &[Rule::DecidedOnce]);
}

#[test]
fn a_commit_that_is_torn_before_its_records_happens_twice() {
    check(Breakage::TearsOffRecords, &[Rule::OneEffect]);
}

#[test]
fn a_commit_that_is_torn_before_its_effects_loses_what_was_answered() {
    check(Breakage::TearsOffEffects, &[Rule::OkStays]);
}

#[test]
fn a_window_that_forgets_early_executes_twice() {
    check(Breakage::ForgetsEarly, &[Rule::OneEffect]);
}

#[test]
fn a_commit_that_is_not_synced_loses_what_was_answered() {
    check(Breakage::SkipsSync, &[Rule::OkStays]);
}

#[test]
fn what_was_seen_of_a_run_is_lost_with_a_commit_that_is_not_synced() {
    check(Breakage::SkipsSync, &[Rule::Durable]);
}

#[test]
fn a_clock_that_goes_back_after_a_restart_opens_the_window_again() {
    check(Breakage::ForgetsTime, &[Rule::OneEffect, Rule::Window]);
}

#[test]
fn a_former_owner_that_may_still_write_does() {
    // Or the store, whose second line of defence it meets: the new owner writes a record with its first batch, and no two
    // may have one position.
    check(Breakage::IgnoresEpoch, &[Rule::Epoch, Rule::Store]);
}

#[test]
fn a_trigger_whose_cursor_is_not_kept_fires_twice() {
    check(Breakage::ForgetsCursors, &[Rule::Triggers]);
}
