//! Triggers that hang on the end of a run: of another job, or of their own.

use super::*;
use crate::{
    id::{JobKey, JobName},
    rejection::Rejection,
    schedule::{Exclusion, Overlap},
};

fn first() -> JobKey {
    key_of("pay", "first")
}

fn after(job: &str, outcomes: &[Outcome]) -> TriggerSpec {
    let job = JobName::parse(job).expect("a good name");
    let mut trigger = trigger_spec(When::After { job, outcomes: outcomes.to_vec() });
    trigger.overlap = Overlap::BufferAll { max: 100 };
    trigger
}

/// Two jobs, of which `settle` follows `first`.
fn followed(outcomes: &[Outcome]) -> World {
    with(after("first", outcomes)).and([Event::JobCreated { job: Box::new(job_at(&first(), spec(), 3)) }])
}

fn run_of_first(n: u64) -> Event {
    run(n).with(|run| run.job = first()).created()
}

#[test]
fn the_end_of_a_run_fires_it_if_it_ended_as_wished() {
    for (outcome, fires) in [(Outcome::Succeeded, true), (Outcome::Failed, false), (Outcome::Cancelled, true)] {
        let world = followed(&[Outcome::Succeeded, Outcome::Cancelled]).and([run_of_first(1)]).after(70);
        let held = [started(id(1), 1, None), ended(id(1), 1, AttemptOutcome::Failed, ""), over_by(outcome)];
        let world = match outcome {
            Outcome::Cancelled => world.and([over_by(outcome)]),
            _ => world.and(held),
        };
        let world = world.restarted();
        if fires {
            let world = world.then_fires(&["run 0.007"]);
            assert_eq!(world.newest().cause, cause(T0.plus(Millis(70)), FireSource::Schedule));
        } else {
            world.then_fires(&[]);
        }
    }
}

fn over_by(outcome: Outcome) -> Event {
    over(id(1), outcome, "")
}

#[test]
fn a_crash_between_the_end_and_the_fire_loses_nothing() {
    let mut world = followed(&[Outcome::Expired]).and([run_of_first(1), over_by(Outcome::Expired)]);
    world.restart();
    assert_eq!(world.standing().due.len(), 1);
    world.after(60_000).then_fires(&["run 0"]);
}

#[test]
fn each_of_many_ends_counts() {
    let ends = (1..=3).flat_map(|n| [run_of_first(n), over(id(n), Outcome::Expired, "")]);
    let world = followed(&[Outcome::Expired]).and(ends);
    let world = world.then_fires(&["run 0", "waits 0", "waits 0"]);
    world.ends(Outcome::Succeeded).then_fires(&["run 0"]).ends(Outcome::Succeeded).then_fires(&["run 0"]);
}

#[test]
fn ends_while_it_is_paused_are_counted_as_such() {
    let world = followed(&[Outcome::Expired]).when(pause()).done();
    let world = world.and([run_of_first(1), over_by(Outcome::Expired)]).then_fires(&[]).when(resume()).done();
    let world = world.then_fires(&["Paused 0"]);
    assert_eq!(world.standing().counters.paused, 1);
}

#[test]
fn the_end_of_a_run_of_another_app_does_not_count() {
    let shop = key_of("shop", "first");
    let made = [
        Event::AppCreated { app: Box::new(app_at("shop", 4)) },
        Event::JobCreated { job: Box::new(job_at(&shop, spec(), 5)) },
        run(1).with(|run| run.job = shop.clone()).created(),
        over_by(Outcome::Expired),
    ];
    followed(&[Outcome::Expired]).and(made).then_fires(&[]);
}

#[test]
fn a_job_cannot_follow_itself_by_any_way_round() {
    let create = |job: JobKey, follows: &str| {
        let spec = spec_with_trigger(after(follows, &[Outcome::Succeeded]));
        Command::CreateJob { key: job, spec: std::sync::Arc::new(spec) }
    };
    let cycle = |job: &JobKey| Rejection::TriggerCycle { job: job.to_string() };
    let other = key_of("pay", "other");
    given(base()).when(create(other.clone(), "other")).then_rejected(&cycle(&other));
    let world = followed(&[Outcome::Succeeded]).when(create(other.clone(), "settle")).done();
    let spec = std::sync::Arc::new(spec_with_trigger(after("other", &[Outcome::Succeeded])));
    let update = Command::UpdateJob { key: first(), etag: None, spec };
    world.when(update).then_rejected(&cycle(&first()));
}

fn delay() -> TriggerSpec {
    trigger_spec(When::Delay { delay: Millis(STEP) })
}

#[test]
fn a_delay_counts_from_the_end_of_the_last_run() {
    let world = with(delay()).after(STEP - 1).then_fires(&[]).after(1).then_fires(&["run 1"]);
    let world = world.after(5 * STEP).then_fires(&[]).ends(Outcome::Failed).restarted().then_fires(&[]);
    world.after(STEP - 1).then_fires(&[]).after(1).then_fires(&["run 7"]);
}

#[test]
fn a_delay_begins_with_its_start_time() {
    let mut trigger = delay();
    trigger.start_time = Some(at(3));
    with(trigger).after(3 * STEP).then_fires(&["run 3"]).ends(Outcome::Succeeded).after(STEP).then_fires(&["run 4"]);
}

#[test]
fn a_delay_goes_on_after_what_came_to_nothing() {
    let world = with(delay()).when(pause()).done().after(3 * STEP).when(resume()).done();
    world.then_fires(&["Paused 1"]).after(STEP).then_fires(&["run 4"]);
}

#[test]
fn a_delay_waits_for_a_run_that_was_made_by_hand() {
    let world = with(delay()).when(fire()).done().after(STEP).then_fires(&["Overlap 1"]);
    world.after(STEP).then_fires(&[]).ends(Outcome::Succeeded).after(STEP).then_fires(&["run 3"]);
}

#[test]
fn a_delay_that_was_down_fires_late() {
    let world = with(delay()).after(3 * STEP).restarted().then_fires(&["run 1"]);
    assert_eq!(world.standing().counters.late_last, Millis(2 * STEP));
}

#[test]
fn what_is_excluded_counts_for_no_end_and_moves_a_delay_on() {
    let out = Exclusion::Range { from: T0, to: at(3) };
    let mut follows = after("first", &[Outcome::Expired]);
    follows.exclude = vec![out.clone()];
    let world = with(follows).and([Event::JobCreated { job: Box::new(job_at(&first(), spec(), 3)) }]);
    let world = world.and([run_of_first(1), over_by(Outcome::Expired)]).then_fires(&[]).after(3 * STEP);
    world.and([run_of_first(2), over(id(2), Outcome::Expired, "")]).then_fires(&["run 3"]);

    let mut delay = delay();
    delay.exclude = vec![out];
    with(delay).after(3 * STEP - 1).then_fires(&[]).after(1).then_fires(&["run 3"]);
}
