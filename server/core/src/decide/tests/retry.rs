//! Running again what has ended, and going on at once with what waits for its next attempt.

use super::given;
use crate::{
    event::Event,
    id::{Millis, Revision},
    job::JobSpec,
    rejection::Rejection,
    reply::Reply,
    run::{Outcome, Phase, Run},
    samples::*,
};

/// The run that a retry made.
fn made_by(world: &super::World) -> Run {
    let id = *world.runs.last().expect("a run was made");
    world.run(id).expect("a run was made")
}

#[test]
fn a_run_nobody_knows_cannot_be_retried() {
    let rejection = Rejection::NotFound { what: "run", name: id(9).to_string() };
    given(base()).when(retry(id(9))).then_rejected(&rejection);
}

#[test]
fn what_is_repeated_keeps_input_labels_and_priority() {
    let old = run(1).with_payload(payload("in")).with(|run| {
        run.labels = labels(&[("who", "me")]).into();
        run.priority = 9;
    });
    let mut world = given(base()).and(old.at(Phase::Failed)).committed().when(retry(id(1))).done();
    let new = made_by(&world);
    assert_eq!((new.labels, new.priority, new.retry_of), (labels(&[("who", "me")]).into(), 9, Some(id(1))));
    assert!(new.has_payload);
    world.commit();
    assert_eq!(world.disk.payload(new.id), Some(&payload("in")));
}

#[test]
fn input_is_kept_even_if_the_run_began_and_ended_in_this_very_batch() {
    let mut world =
        given(base()).and(run(1).with_payload(payload("in")).at(Phase::Cancelled)).when(retry(id(1))).done();
    assert!(made_by(&world).has_payload);
    world.commit();
    assert_eq!(world.disk.payload(made_by(&world).id), Some(&payload("in")));
}

#[test]
fn input_is_kept_if_the_run_ended_in_this_very_batch() {
    let mut world = given(base())
        .and(run(1).with_payload(payload("in")).at(Phase::Queued))
        .committed()
        .when(cancel(id(1)))
        .done()
        .when(retry(id(1)))
        .done();
    world.commit();
    assert_eq!(world.disk.payload(made_by(&world).id), Some(&payload("in")));
}

#[test]
fn a_run_without_input_gets_none_from_the_job_when_repeated() {
    let world = given(base_with(JobSpec { payload: Some(payload("later")), ..spec() }))
        .and(run(1).at(Phase::Failed))
        .committed()
        .when(retry(id(1)))
        .done();
    assert!(!made_by(&world).has_payload, "the same input: none");
}

#[test]
fn what_is_repeated_follows_the_plan_of_the_job_now() {
    let now = spec_with_plan(|plan| plan.processor = processor("http"));
    let world = given(base_with(JobSpec { run_timeout: Some(Millis(700)), ..now }))
        .and(run(1).at(Phase::Failed))
        .committed()
        .when(retry(id(1)))
        .done();
    let new = made_by(&world);
    assert_eq!(new.plan.processor, processor("http"));
    assert_eq!(new.deadline, Some(T0.plus(Millis(700))));
}

#[test]
fn what_is_repeated_starts_afresh() {
    let old = run(1).with(|run| {
        run.deadline = Some(T0.plus(Millis(1)));
        run.start_time = Some(T0.plus(Millis(1)));
    });
    let world = given(base()).and(old.unique("k", None).at(Phase::Expired)).committed().when(retry(id(1))).done();
    let expected = Run { retry_of: Some(id(1)), unique_key: Some("k".to_owned()), ..run_with_id(made(5), 5) };
    assert_eq!(made_by(&world), expected);
}

#[test]
fn what_has_ended_stays_what_it_is() {
    let world = given(base()).and(run(1).at(Phase::Failed)).committed();
    let before = world.run(id(1));
    let world = world.when(retry(id(1))).done();
    assert_eq!(world.run(id(1)), before);
}

#[test]
fn a_run_whose_job_is_gone_cannot_be_repeated() {
    given(base())
        .and(run(1).at(Phase::Failed))
        .and([Event::JobDeleted { key: settle() }])
        .committed()
        .when(retry(id(1)))
        .then_rejected(&Rejection::NotFound { what: "job", name: "pay/settle".to_owned() });
}

#[test]
fn a_run_can_be_repeated_twice_and_both_name_it() {
    let world = given(base()).and(run(1).at(Phase::Failed)).committed().when(retry(id(1))).done();
    let first = made_by(&world).id;
    let world = world.when(retry(id(1))).done();
    assert_ne!(made_by(&world).id, first);
    assert_eq!(made_by(&world).retry_of, Some(id(1)));
}

#[test]
fn a_retry_may_be_repeated_itself() {
    let world = given(base()).and(run(1).at(Phase::Failed)).committed().when(retry(id(1))).done();
    let second = made_by(&world).id;
    let world = world.and([over(second, Outcome::Cancelled, "")]).committed().when(retry(second)).done();
    assert_eq!(made_by(&world).retry_of, Some(second));
}

#[test]
fn going_on_at_once_counts_nothing_and_forgets_the_wait() {
    let world = given(base())
        .and(run(1).at(Phase::Retrying))
        .when(retry(id(1)))
        .then_answers(&Reply::Retried { run_id: id(1), created: false, phase: Phase::Queued }, [queued(id(1))]);
    assert_eq!(world.state.next_deadline(), None);
    let run = world.run(id(1)).expect("it is live");
    assert_eq!((run.failed_count, run.revision), (1, Revision(7)));
}

#[test]
fn a_second_retry_in_the_same_batch_finds_it_under_way() {
    given(base())
        .and(run(1).at(Phase::Retrying))
        .when(retry(id(1)))
        .done()
        .when(retry(id(1)))
        .then_rejected(&Rejection::RunNotRetryable { phase: Phase::Queued });
}

#[test]
fn a_paused_job_takes_retries_and_holds_them_back() {
    let pause = Event::JobPaused { key: settle(), note: String::new() };
    let world = given(base()).and([pause]).and(run(1).at(Phase::Cancelled)).committed().when(retry(id(1))).done();
    assert_eq!(made_by(&world).state.phase(), Phase::Queued);
    assert_eq!(world.state.ready().heads().count(), 0);
}
