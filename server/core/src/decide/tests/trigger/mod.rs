//! Triggers: each time that a schedule names is settled once, by a run or with a reason. The trigger of these tests is
//! `t` of the job `settle`, made at T0; its rate is 10 s unless it is said.

mod backfill;
mod follow;
mod life;
mod misfire;
mod overlap;

use super::{World, given};
use crate::{
    command::{Command, SystemCommand},
    event::Event,
    id::{Millis, Revision, RunId, Timestamp, TriggerKey},
    run::{AttemptOutcome, Cause, Outcome, Phase, Run},
    samples::*,
    schedule::{TriggerSpec, When},
    trigger::{FireSource, SkipReason, Standing},
};

/// The step of the trigger.
const STEP: i64 = 10_000;

fn key() -> TriggerKey {
    trigger_key("t")
}

fn at(steps: i64) -> Timestamp {
    T0.plus(Millis(steps * STEP))
}

fn every(step: i64) -> TriggerSpec {
    trigger_spec(When::Rate { period: Millis(step) })
}

/// A world with a job that has this trigger.
fn with(trigger: TriggerSpec) -> World {
    given(base_with(spec_with_trigger(trigger)))
}

/// A world with the rate of these tests, changed so.
fn rate(change: impl FnOnce(&mut TriggerSpec)) -> World {
    let mut trigger = every(STEP);
    change(&mut trigger);
    with(trigger)
}

impl World {
    pub(super) fn standing(&self) -> &Standing {
        self.state.trigger(&key()).expect("it is there").standing()
    }

    /// What the trigger has to do now; nothing if it has nothing to do.
    fn act(&mut self) -> Vec<Event> {
        if self.state.due_trigger(self.now).is_none() {
            return Vec::new();
        }
        let step = self.decide_system(&SystemCommand::FireTrigger { key: key() });
        let events = step.as_ref().expect("it is never refused").0.clone();
        assert!(!events.is_empty(), "a trigger that is due does something: {:?}", self.standing());
        self.apply(step).expect("it is never refused");
        events
    }

    /// All that triggers have to do now, in short.
    #[track_caller]
    fn then_fires(mut self, expected: &[&str]) -> Self {
        let mut said = Vec::new();
        for _ in 0..100 {
            let events = self.act();
            if events.is_empty() {
                assert_eq!(said, expected);
                return self;
            }
            said.extend(events.iter().filter_map(short));
        }
        panic!("it never comes to rest: {said:?}");
    }

    /// The end of the newest run of the trigger, from where it stands.
    fn ends(mut self, outcome: Outcome) -> Self {
        let run_id = self.state.live_runs_of_trigger(&key()).last().expect("a run of it is unfinished");
        let phase = self.phase(run_id).expect("it is known");
        let is_of_worker = matches!(outcome, Outcome::Succeeded | Outcome::Failed);
        if phase == Phase::Queued && is_of_worker {
            self.evolve(&[started(run_id, 1, None)]);
        }
        let how = if outcome == Outcome::Succeeded { AttemptOutcome::Succeeded } else { AttemptOutcome::Failed };
        let end = (phase != Phase::Queued || is_of_worker).then(|| ended(run_id, 1, how, ""));
        let events: Vec<Event> = end.into_iter().chain([over(run_id, outcome, "")]).collect();
        self.evolve(&events);
        self
    }

    /// A worker takes the newest run of the trigger.
    fn starts(mut self) -> Self {
        let run_id = self.state.live_runs_of_trigger(&key()).last().expect("a run of it is unfinished");
        self.evolve(&[started(run_id, 1, None)]);
        self
    }

    /// The newest run of the trigger.
    fn newest(&self) -> Run {
        self.run(*self.runs.last().expect("a run was made")).expect("it is known")
    }
}

/// An event of a trigger in short: what, for which step from T0 (or times of several), why.
fn short(event: &Event) -> Option<String> {
    let step = |time: &Timestamp| {
        #[expect(clippy::cast_precision_loss, reason = "small in tests")]
        let steps = (time.0 - T0.0) as f64 / STEP as f64;
        steps.to_string()
    };
    Some(match event {
        Event::TriggerFired { scheduled_time, run_id: Some(_), .. } => format!("run {}", step(scheduled_time)),
        Event::TriggerFired { scheduled_time, run_id: None, .. } => format!("waits {}", step(scheduled_time)),
        Event::TriggerSkipped { reason, count: 1, to, .. } => format!("{reason:?} {}", step(to)),
        Event::TriggerSkipped { reason, count, from, to, .. } => {
            format!("{reason:?} {}..{} x{count}", step(from), step(to))
        }
        Event::TriggerPaused { note, by_itself, .. } => format!("paused {by_itself} {note}"),
        Event::BackfillEnded { done, .. } => format!("backfill ended {done}"),
        Event::RunEnded { outcome, .. } => format!("ended {outcome:?}"),
        Event::RunCancelRequested { .. } => "stop".to_owned(),
        _ => return None,
    })
}

fn fire() -> Command {
    Command::FireTrigger { key: key(), overlap: None }
}

fn pause() -> Command {
    Command::PauseTrigger { key: key(), note: "why".to_owned() }
}

fn resume() -> Command {
    Command::ResumeTrigger { key: key() }
}

fn cause(scheduled_time: Timestamp, source: FireSource) -> Option<Box<Cause>> {
    Some(Box::new(Cause { trigger: trigger_name("t"), scheduled_time, source }))
}
