//! Fires as time passes, beside runs of earlier fires, paused, by hand, and made up for.

use semel_client::v1::{FireEffect, FireReason, OverlapRule, RunState, TriggerState};

use super::*;
use crate::e2e::{
    harness::in_time,
    raw_worker::{failed_plainly, succeeded},
};

#[tokio::test]
async fn a_rate_fires_once_each_step_and_its_runs_say_for_when() {
    let parallel = v1::TriggerSpec { overlap: overlap(OverlapRule::Parallel, 100), ..every(1) };
    let (pay, clock) = triggered(parallel).await;
    for _ in 0..5 {
        pass(&pay, &clock, 1000).await;
    }
    assert_eq!(scheduled(&pay).await, [1, 2, 3, 4, 5]);
    let made = runs(&pay).await;
    assert!(made.iter().all(|run| run.trigger == "t" && run.request_id.is_empty()));
    let mut worker = pay.worker("p", 1).await;
    let assignment = worker.assignment().await;
    assert_eq!((assignment.trigger.as_str(), assignment.scheduled_time), ("t", made[0].scheduled_time));
    let shown = trigger(&pay).await;
    assert_eq!((shown.state(), shown.live_run_count, shown.next_fire_times.len()), (TriggerState::Active, 5, 10));
    assert_eq!(shown.last_fires[0].run_id, made[4].run_id);
    assert!(!shown.zone_data_version.is_empty());
}

#[tokio::test]
async fn a_fire_beside_a_run_is_skipped_and_counted() {
    let (pay, clock) = triggered(every(1)).await;
    for _ in 0..3 {
        pass(&pay, &clock, 1000).await;
    }
    assert_eq!(scheduled(&pay).await, [1]);
    assert_eq!((counters(&pay).await.fired, counters(&pay).await.skipped_overlap), (1, 2));
    assert_eq!(trigger(&pay).await.last_fires[0].reason(), FireReason::Overlap);
}

#[tokio::test]
async fn a_fire_that_waits_fires_when_the_run_before_it_ends() {
    let buffered = v1::TriggerSpec { overlap: overlap(OverlapRule::BufferOne, 0), ..every(1) };
    let (pay, clock) = triggered(buffered).await;
    let mut worker = pay.worker("p", 5).await;
    for _ in 0..3 {
        pass(&pay, &clock, 1000).await;
    }
    let shown = trigger(&pay).await;
    assert_eq!((shown.waiting_fire_times.len(), shown.counters.expect("some").dropped_buffer), (1, 1));
    let first = worker.assignment().await;
    worker.submit(&crate::e2e::wire::fresh(), succeeded(&first, "")).await.expect("it is taken");
    let second = worker.assignment().await;
    assert_ne!(first.scheduled_time, second.scheduled_time);
    assert_eq!(scheduled(&pay).await, [1, 2]);
}

#[tokio::test]
async fn the_run_before_is_cancelled_if_the_rule_says_so() {
    let cancelling = v1::TriggerSpec { overlap: overlap(OverlapRule::CancelOther, 0), ..every(1) };
    let (pay, clock) = triggered(cancelling).await;
    pass(&pay, &clock, 1000).await;
    pass(&pay, &clock, 1000).await;
    let states: Vec<RunState> = runs(&pay).await.iter().map(v1::Run::state).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Queued]);
}

#[tokio::test]
async fn what_passes_while_it_is_paused_is_missed_and_can_be_made_up_for() {
    let (pay, clock) = triggered(every(10)).await;
    pause(&pay).await;
    pass(&pay, &clock, 35_000).await;
    let shown = trigger(&pay).await;
    assert_eq!((shown.state(), shown.pause_note.as_str()), (TriggerState::Paused, "why"));
    assert!(runs(&pay).await.is_empty());
    resume(&pay).await;
    pay.tick().await;
    assert_eq!(counters(&pay).await.missed_paused, 3);

    let (job, name) = named();
    let from_time = shown.create_time.map(|at| prost_types::Timestamp { seconds: at.seconds + 1, ..at });
    let request = v1::BackfillTriggerRequest {
        job,
        trigger: name,
        from_time,
        overlap: overlap(OverlapRule::Parallel, 10),
        ..Default::default()
    };
    assert_eq!(pay.client.backfill_trigger(request).await.expect("it begins").count, 3);
    pay.tick().await;
    assert_eq!(scheduled(&pay).await, [10, 20, 30]);
    assert_eq!((counters(&pay).await.backfilled, trigger(&pay).await.backfill), (3, None));
}

#[tokio::test]
async fn it_pauses_itself_after_failures_in_a_row() {
    let (pay, clock) = triggered(v1::TriggerSpec { pause_after_failures: 2, ..every(1) }).await;
    let mut worker = pay.worker("p", 1).await;
    for _ in 0..2 {
        pass(&pay, &clock, 1000).await;
        let work = worker.assignment().await;
        worker.submit(&crate::e2e::wire::fresh(), failed_plainly(&work)).await.expect("it is taken");
    }
    let shown = trigger(&pay).await;
    assert_eq!((shown.state(), shown.pause_note.as_str()), (TriggerState::Paused, "2 runs failed in a row"));
    pass(&pay, &clock, 5000).await;
    assert_eq!(runs(&pay).await.len(), 2);
}

#[tokio::test]
async fn fired_by_hand_it_answers_with_the_run_or_says_why_there_is_none() {
    let (pay, _clock) = triggered(every(60)).await;
    let first = fire(&pay, None).await;
    assert_eq!(first.effect(), FireEffect::Run);
    assert_eq!(pay.run(&first.run_id).await.trigger, "t");
    let second = fire(&pay, None).await;
    assert_eq!((second.effect(), second.reason(), second.run_id.as_str()), (FireEffect::None, FireReason::Overlap, ""));
    assert_eq!(fire(&pay, overlap(OverlapRule::BufferOne, 0)).await.effect(), FireEffect::Waits);
    let beside = fire(&pay, overlap(OverlapRule::Parallel, 2)).await;
    assert_eq!(beside.effect(), FireEffect::Run);
    for run_id in [&first.run_id, &beside.run_id] {
        assert_eq!(trigger(&pay).await.waiting_fire_times.len(), 1);
        pay.cancel(run_id).await;
        pay.tick().await;
    }
    assert_eq!((counters(&pay).await.fired_by_hand, trigger(&pay).await.waiting_fire_times.len()), (3, 0));
}

#[tokio::test]
async fn a_job_that_follows_another_starts_when_that_one_has_ended_so() {
    let (pay, _clock) = triggered(every(3600)).await;
    let after = v1::AfterJob { job: "settle".to_owned(), states: vec![RunState::Failed.into()] };
    let follows = v1::TriggerSpec { when: Some(When::After(after)), ..Default::default() };
    let definition = v1::JobSpec { triggers: [("t".to_owned(), follows)].into(), ..spec("other") };
    job(&pay.client, "mend", definition).await;
    let mut worker = pay.worker("p", 1).await;
    let mut mender = pay.worker("other", 1).await;
    for (is_good, expected) in [(true, 0), (false, 1)] {
        let run_id = pay.submit("settle").await;
        let work = worker.assignment().await;
        let report = if is_good { succeeded(&work, "") } else { failed_plainly(&work) };
        worker.submit(&crate::e2e::wire::fresh(), report).await.expect("it is taken");
        in_time(pay.finished(&run_id)).await;
        let mending = runs(&pay).await.iter().filter(|run| run.job == "mend").count();
        assert_eq!(mending, expected);
    }
    assert_eq!(mender.assignment().await.job, "mend");
}
