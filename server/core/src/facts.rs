//! What a record says of the things that its events are about, so that it can be read by itself: by a watcher, long
//! after, when the run or the job may be gone. Taken from the state before the events are evolved; nothing is decided by
//! it.
//!
//! Context: an event names its run by id alone, and a dashboard wants to know its job, its labels, where it stood before
//! and which worker had it. Choice: a record carries that much of it, shared with the run in memory, so that noting it
//! costs the engine two counters and the log about 20 to 100 bytes. Rejected: looking the run up when the event is
//! told (it has moved on by then, or was forgotten), and more fields in each event (what decides would also describe).
//! A record that makes a run has none: the event holds the run itself, so `RunJob` costs what it did.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::{
    event::Event,
    id::{JobKey, ProcessorName, Revision, RunId, Timestamp, TriggerKey},
    job::{Labels, Pause},
    run::{Attempt, Cause, Phase},
    state::State,
};

/// What is said of one thing.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Facts {
    /// Of a run: one for each step of a run, in the order of these events.
    #[n(0)]
    Run(#[n(0)] RunFacts),
    /// Of a job: one for each change of a job but its making, in their order.
    #[n(1)]
    Job(#[n(0)] JobFacts),
    /// Of a trigger: one for each event about one, in their order.
    #[n(2)]
    Trigger(#[n(0)] TriggerFacts),
}

/// A run before a step.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct RunFacts {
    /// Its job.
    #[n(0)]
    pub job: JobKey,
    /// Where it stood.
    #[n(1)]
    pub from: Phase,
    /// Its labels.
    #[cbor(n(2), with = "crate::codec::shared")]
    pub labels: Arc<Labels>,
    /// The attempt that a worker held.
    #[n(3)]
    pub held: Option<Attempt>,
    /// The trigger that made it.
    #[n(4)]
    pub cause: Option<Box<Cause>>,
}

/// The job of a trigger to which something happened.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TriggerFacts {
    /// Its labels.
    #[cbor(n(0), with = "crate::codec::shared")]
    pub labels: Arc<Labels>,
}

/// A job before a change.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct JobFacts {
    /// Its etag.
    #[n(0)]
    pub etag: Revision,
    /// What it needs.
    #[n(1)]
    pub processor: ProcessorName,
    /// Its labels.
    #[cbor(n(2), with = "crate::codec::shared")]
    pub labels: Arc<Labels>,
    /// Whether and why it was paused.
    #[n(3)]
    pub pause: Option<Pause>,
    /// When it was created.
    #[n(4)]
    pub create_time: Timestamp,
}

/// The run of an event that takes a run a step on, unless it makes it.
pub fn stepped(event: &Event) -> Option<RunId> {
    match event {
        Event::RunQueued { run_id }
        | Event::AttemptStarted { run_id, .. }
        | Event::RunRetrying { run_id, .. }
        | Event::RunCancelRequested { run_id, .. }
        | Event::RunEnded { run_id, .. } => Some(*run_id),
        _ => None,
    }
}

/// The job of an event that changes one, unless it makes it.
pub fn changed_job(event: &Event) -> Option<&JobKey> {
    match event {
        Event::JobUpdated { key, .. }
        | Event::JobDeleted { key }
        | Event::JobPaused { key, .. }
        | Event::JobResumed { key } => Some(key),
        _ => None,
    }
}

/// The trigger of an event that is about one.
pub fn trigger(event: &Event) -> Option<&TriggerKey> {
    match event {
        Event::TriggerFired { key, .. }
        | Event::TriggerSkipped { key, .. }
        | Event::TriggerPaused { key, .. }
        | Event::TriggerResumed { key }
        | Event::BackfillStarted { key, .. }
        | Event::BackfillEnded { key, .. } => Some(key),
        _ => None,
    }
}

/// What must be noted beside these events, before they are evolved.
pub fn of(state: &State, events: &[Event]) -> Vec<Facts> {
    let noted =
        |event| run_facts(state, event).or_else(|| job_facts(state, event)).or_else(|| trigger_facts(state, event));
    events.iter().filter_map(noted).collect()
}

fn run_facts(state: &State, event: &Event) -> Option<Facts> {
    let run = state.run(stepped(event)?)?;
    Some(Facts::Run(RunFacts {
        job: run.job.clone(),
        from: run.state.phase(),
        labels: run.labels.clone(),
        held: run.held().cloned(),
        cause: run.cause.clone(),
    }))
}

fn trigger_facts(state: &State, event: &Event) -> Option<Facts> {
    let job = state.job(&trigger(event)?.job)?;
    Some(Facts::Trigger(TriggerFacts { labels: job.spec.labels.clone() }))
}

fn job_facts(state: &State, event: &Event) -> Option<Facts> {
    let job = state.job(changed_job(event)?)?;
    Some(Facts::Job(JobFacts {
        etag: job.etag,
        processor: job.spec.plan.processor.clone(),
        labels: job.spec.labels.clone(),
        pause: job.pause.clone(),
        create_time: job.create_time,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::Stamp, limits::Limits, run::Outcome, samples::*};

    fn state(events: &[Event]) -> State {
        let mut state = State::new(Limits::default());
        for (revision, event) in (1..).zip(events) {
            state.evolve(Stamp { now: T0, revision: Revision(revision), entropy: 0 }, event);
        }
        state
    }

    #[test]
    fn a_step_is_noted_with_where_the_run_stood_and_who_had_it() {
        let running = run(1).with(|run| run.labels = labels(&[("a", "b")]).into()).at(Phase::Running);
        let state = state(&[base(), running].concat());
        let facts = of(&state, &[over(id(1), Outcome::Succeeded, "")]);
        let [Facts::Run(noted)] = facts.as_slice() else { panic!("one run: {facts:?}") };
        assert_eq!((noted.job.clone(), noted.from, noted.labels["a"].as_str()), (settle(), Phase::Running, "b"));
        assert_eq!(noted.held.as_ref().map(|held| held.worker_id), Some(WORKER));
    }

    #[test]
    fn a_change_of_a_job_is_noted_with_what_it_was() {
        let state = state(&base());
        let facts = of(&state, &[Event::JobPaused { key: settle(), note: "why".to_owned() }]);
        let [Facts::Job(noted)] = facts.as_slice() else { panic!("one job: {facts:?}") };
        assert!(noted.pause.is_none());
    }

    #[test]
    fn what_makes_a_run_or_touches_none_needs_no_facts() {
        let state = state(&base());
        assert!(of(&state, &[run(1).created(), Event::WorkersReset]).is_empty());
    }
}
