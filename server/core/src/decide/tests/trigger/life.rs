//! The life of a trigger: its first fire, its last, its pauses, and what a change of its job means for it.

use super::*;
use crate::{limits::Limits, rejection::Rejection, reply::Reply, schedule::Overlap, trigger::Effect};

#[test]
fn a_fire_makes_a_run_of_its_job_in_the_same_record() {
    let mut world = rate(|trigger| trigger.labels = labels(&[("by", "t")])).after(STEP);
    let events = world.act();
    let [Event::TriggerFired { run_id: Some(run_id), late, scheduled_time, .. }, Event::RunCreated { run, .. }] =
        events.as_slice()
    else {
        panic!("a fire and its run: {events:?}");
    };
    assert_eq!((*run_id, *late, *scheduled_time), (run.id, Millis(0), at(1)));
    assert_eq!((run.cause.clone(), run.request_id), (cause(at(1), FireSource::Schedule), None));
    assert_eq!(run.labels["by"], "t");
    let standing = world.standing();
    assert_eq!((standing.cursor, standing.counters.fired), (at(1), 1));
    assert_eq!(standing.last_fires.last().map(|fire| fire.effect), Some(Effect::Run(*run_id)));
}

#[test]
fn nothing_fires_before_its_time_and_each_time_once() {
    rate(|_| {})
        .after(STEP - 1)
        .then_fires(&[])
        .after(1)
        .then_fires(&["run 1"])
        .then_fires(&[])
        .ends(Outcome::Succeeded)
        .then_fires(&[])
        .after(STEP)
        .then_fires(&["run 2"]);
}

#[test]
fn a_restart_between_two_fires_neither_loses_nor_doubles_one() {
    let world = rate(|_| {}).after(STEP).then_fires(&["run 1"]).ends(Outcome::Succeeded).restarted();
    world.then_fires(&[]).after(STEP).restarted().then_fires(&["run 2"]).restarted().then_fires(&[]);
}

#[test]
fn the_input_of_a_trigger_goes_before_that_of_its_job() {
    let mut job = spec_with_trigger(every(STEP));
    job.payload = Some(payload("job"));
    let with_input = |input: Option<crate::codec::Payload>| {
        let mut job = job.clone();
        job.triggers.get_mut(&trigger_name("t")).expect("it is there").payload = input;
        let mut world = given(base_with(job)).after(STEP).then_fires(&["run 1"]);
        world.commit();
        let id = *world.runs.last().expect("a run was made");
        world.disk.payload(id).cloned()
    };
    assert_eq!(with_input(None), Some(payload("job")));
    assert_eq!(with_input(Some(payload("mine"))), Some(payload("mine")));
}

#[test]
fn jitter_moves_the_fire_and_not_its_scheduled_time() {
    let mut world = rate(|trigger| trigger.jitter = Millis(4000));
    let jitter = world.state.trigger(&key()).expect("it is there").jitter();
    assert!(jitter > Millis(0) && jitter <= Millis(4000), "{jitter:?}");
    world.wait(STEP + jitter.0 - 1);
    let world = world.then_fires(&[]).after(1).then_fires(&["run 1"]);
    assert_eq!(world.newest().cause, cause(at(1), FireSource::Schedule));
    assert_eq!(world.standing().counters.late_total, Millis(0));
}

#[test]
fn lateness_is_counted() {
    let world = rate(|_| {}).after(STEP + 300).then_fires(&["run 1"]).ends(Outcome::Succeeded);
    let world = world.after(STEP - 200).then_fires(&["run 2"]);
    let counters = world.standing().counters;
    assert_eq!((counters.late_total, counters.late_max, counters.late_last), (Millis(400), Millis(300), Millis(100)));
}

#[test]
fn a_trigger_fires_no_more_often_than_it_may() {
    let world = rate(|trigger| {
        (trigger.max_fires, trigger.overlap) = (Some(2), Overlap::Parallel { max: 9 });
    });
    let world = world.after(STEP).then_fires(&["run 1"]).after(STEP).then_fires(&["run 2"]).after(STEP).then_fires(&[]);
    assert!(world.state.trigger(&key()).expect("it is there").has_ended(world.now));
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn a_list_of_times_ends_with_the_last_of_them() {
    let when = When::Times { times: vec![at(1), at(3)] };
    let world = with(trigger_spec(when)).after(STEP).then_fires(&["run 1"]).ends(Outcome::Succeeded);
    let world = world.after(STEP).then_fires(&[]).after(STEP).then_fires(&["run 3"]);
    assert!(world.state.trigger(&key()).expect("it is there").has_ended(world.now));
}

#[test]
fn what_passes_while_it_is_paused_is_missed_and_counted() {
    let world = rate(|_| {})
        .when(pause())
        .then_answers(&Reply::Done, [Event::TriggerPaused { key: key(), note: "why".to_owned(), by_itself: false }]);
    let world = world.after(3 * STEP + 5).then_fires(&[]).restarted();
    assert_eq!(world.state.next_deadline(), None, "a paused trigger wakes nobody");
    let world = world.when(resume()).then([Event::TriggerResumed { key: key() }]);
    let world = world.restarted().then_fires(&["Paused 1..3 x3"]).after(STEP).then_fires(&["run 4"]);
    assert_eq!((world.standing().counters.paused, world.standing().pause.clone()), (3, None));
}

#[test]
fn a_paused_job_still_takes_the_runs_of_its_triggers() {
    let world = rate(|_| {}).and([Event::JobPaused { key: settle(), note: String::new() }]);
    let world = world.after(STEP).then_fires(&["run 1"]);
    assert!(world.state.ready().heads().next().is_none());
}

#[test]
fn it_pauses_itself_after_failures_in_a_row() {
    let world = rate(|trigger| trigger.pause_after_failures = Some(2));
    let world = world.after(STEP).then_fires(&["run 1"]).ends(Outcome::Succeeded).after(STEP).then_fires(&["run 2"]);
    let world = world.starts().ends(Outcome::Failed).after(STEP).then_fires(&["run 3"]);
    let world = world.ends(Outcome::Cancelled).after(STEP).then_fires(&["run 4"]);
    let world = world.ends(Outcome::Expired).restarted().then_fires(&["paused true 2 runs failed in a row"]);
    let world = world.after(STEP).then_fires(&[]).when(resume()).done().then_fires(&["Paused 5"]);
    assert_eq!(world.standing().failures, 0);
    world.after(STEP).then_fires(&["run 6"]);
}

#[test]
fn fired_by_hand_it_makes_a_run_now_and_keeps_its_times() {
    let world = rate(|trigger| trigger.max_fires = Some(1)).after(3);
    let made = RunId::new(world.now, Revision(3), ENTROPY);
    let world = world.when(fire());
    assert_eq!(world.answer(), Some(&Reply::TriggerFired(Effect::Run(made))));
    let world = world.done();
    assert_eq!(world.newest().cause, cause(world.now, FireSource::Hand));
    assert_eq!(world.newest().request_id, Some(REQUEST));
    let world = world.ends(Outcome::Succeeded).after(STEP - 3).then_fires(&["run 1"]);
    assert_eq!((world.standing().counters.fired, world.standing().counters.by_hand), (1, 1));
}

#[test]
fn fired_by_hand_it_keeps_to_the_overlap_rule_or_to_another() {
    let world = rate(|_| {}).after(STEP).then_fires(&["run 1"]).when(fire());
    assert_eq!(world.answer(), Some(&Reply::TriggerFired(Effect::Skipped(SkipReason::Overlap))));
    let beside = Command::FireTrigger { key: key(), overlap: Some(Overlap::Parallel { max: 2 }) };
    let world = world.done().when(beside);
    assert!(matches!(world.answer(), Some(Reply::TriggerFired(Effect::Run(_)))));
    assert_eq!(world.done().state.live_count_of_trigger(&key()), 2);
}

#[test]
fn without_room_for_a_run_a_fire_is_skipped_and_a_hand_is_refused() {
    let limits = Limits { live_runs_per_app_max: 1, ..Limits::default() };
    let mut world = World::with_limits(T0, limits);
    base_with(spec_with_trigger(every(STEP))).iter().for_each(|event| world.evolve(std::slice::from_ref(event)));
    world.evolve(&[run(1).created()]);
    let world = world.after(STEP).then_fires(&["Quota 1"]);
    assert_eq!(world.standing().counters.quota, 1);
    let rejection = Rejection::QuotaExceeded { app: pay(), what: "unfinished runs", limit: 1 };
    world.when(fire()).then_rejected(&rejection);
}

#[test]
fn other_times_begin_now_and_what_had_come_is_counted() {
    let update = |change: fn(&mut TriggerSpec)| {
        let mut trigger = every(STEP);
        change(&mut trigger);
        Command::UpdateJob { key: settle(), etag: None, spec: std::sync::Arc::new(spec_with_trigger(trigger)) }
    };
    let world = rate(|_| {}).after(STEP + STEP / 2).then_fires(&["run 1"]).ends(Outcome::Succeeded);
    let world = world.when(update(|trigger| trigger.jitter = Millis(0))).done();
    assert_eq!(world.standing().cursor, at(1), "the same times go on");
    let world = world.after(STEP).when(update(|trigger| trigger.when = When::Rate { period: Millis(2 * STEP) })).done();
    assert_eq!((world.standing().counters.replaced, world.standing().counters.fired), (1, 1));
    let world = world.restarted().after(2 * STEP - 1).then_fires(&[]).after(1).then_fires(&["run 4.5"]);
    assert_eq!(world.standing().made_at, T0.plus(Millis(25_000)));
}

#[test]
fn a_trigger_that_is_gone_fires_no_more_and_a_new_one_begins_anew() {
    let world = rate(|_| {}).after(STEP).then_fires(&["run 1"]);
    let without = Command::UpdateJob { key: settle(), etag: None, spec: std::sync::Arc::new(spec()) };
    let world = world.when(without).done().restarted().after(5 * STEP).then_fires(&[]);
    let with = std::sync::Arc::new(spec_with_trigger(every(STEP)));
    let world = world.when(Command::UpdateJob { key: settle(), etag: None, spec: with }).done();
    let world = world.after(STEP).then_fires(&["Overlap 7"]);
    assert_eq!(world.standing().counters.fired, 0);
}

#[test]
fn a_job_that_is_deleted_takes_its_triggers_along() {
    let mut world = rate(|_| {}).when(Command::DeleteJob { key: settle(), etag: None }).done().restarted();
    assert!(world.state.trigger(&key()).is_none());
    world.wait(STEP);
    assert_eq!(world.state.due_trigger(world.now), None);
}

#[test]
fn what_is_not_there_is_not_found() {
    let no_trigger = Rejection::NotFound { what: "trigger", name: "pay/settle/t".to_owned() };
    let no_job = Rejection::NotFound { what: "job", name: "pay/settle".to_owned() };
    for command in [fire(), pause(), resume()] {
        given(base()).when(command.clone()).then_rejected(&no_trigger);
        given([base().remove(0)]).when(command).then_rejected(&no_job);
    }
}

#[test]
fn resuming_what_is_not_paused_changes_nothing() {
    rate(|_| {}).when(resume()).then_silent(&Reply::Done);
}

#[test]
fn a_fire_by_hand_goes_through_while_it_is_paused() {
    let world = rate(|_| {}).when(pause()).done().when(fire());
    assert!(matches!(world.answer(), Some(Reply::TriggerFired(Effect::Run(_)))));
}

#[test]
fn a_run_that_ends_well_by_its_worker_frees_its_trigger() {
    let world = rate(|trigger| trigger.overlap = Overlap::BufferOne).after(STEP).then_fires(&["run 1"]).starts();
    let run_id = world.newest().id;
    let world = world.after(STEP).then_fires(&["waits 2"]).when(report(run_id, 1, succeeded()));
    let world = world.then([ended(run_id, 1, AttemptOutcome::Succeeded, ""), over(run_id, Outcome::Succeeded, "")]);
    world.restarted().then_fires(&["run 2"]);
}
