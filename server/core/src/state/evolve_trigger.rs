//! What events do to triggers: what is settled moves the cursor, in the same step in which the run is made or the reason is
//! counted. And what the end of a run means for those that wait for it.

use super::State;
use crate::{
    command::Stamp,
    event::Event,
    id::{Timestamp, TriggerKey},
    job::Pause,
    run::{Outcome, Run, RunState},
    schedule::When,
    trigger::{Effect, FireSource, PastFire, Standing, Waiting},
};

impl State {
    pub(super) fn evolve_trigger(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::TriggerFired { key, .. } => {
                self.change_trigger(key, stamp, |standing| fired(standing, stamp, event));
            }
            Event::TriggerSkipped { key, .. } => self.trigger_skipped(key, stamp, event),
            Event::TriggerPaused { key, note, .. } => self.change_trigger(key, stamp, |standing| {
                standing.pause = Some(Pause::again(standing.pause.as_ref(), note, stamp.now));
            }),
            Event::TriggerResumed { key } => self.change_trigger(key, stamp, |standing| {
                standing.pause = None;
                standing.paused_until = Some(stamp.now);
                standing.failures = 0;
            }),
            Event::BackfillStarted { key, backfill } => {
                self.change_trigger(key, stamp, |standing| standing.backfill = Some(backfill.clone()));
            }
            Event::BackfillEnded { key, .. } => self.change_trigger(key, stamp, |standing| standing.backfill = None),
            _ => unreachable!("the caller names the events about triggers"),
        }
    }

    fn trigger_skipped(&mut self, key: &TriggerKey, stamp: Stamp, event: &Event) {
        let Event::TriggerSkipped { source, waited, reason, count, to, .. } = event else { return };
        let is_idle = self.live_count_of_trigger(key) == 0;
        let delayed = self.trigger(key).and_then(|trigger| trigger.delayed(stamp.now));
        self.change_trigger(key, stamp, |standing| {
            if *waited {
                standing.waiting.remove(0);
            } else {
                settle(standing, *source, *to, *count);
            }
            if let (FireSource::Backfill, Some(backfill)) = (*source, &mut standing.backfill) {
                backfill.skipped += count;
            }
            standing.counters.skipped(*reason, *count);
            let effect = Effect::Skipped(*reason);
            let fire = PastFire { scheduled_time: *to, time: stamp.now, effect, count: *count, source: *source };
            standing.remember(fire, *waited);
            // No run comes of it whose end would set the next time of a delay.
            if is_idle && standing.waiting.is_empty() && standing.due.is_empty() {
                delayed.into_iter().for_each(|time| standing.push_due(time));
            }
        });
    }

    /// What the end of a run means: for the trigger that made it, and for those that follow its job. The events that ends
    /// the run brings all of it about, so no crash can come in between.
    pub(super) fn triggers_after(&mut self, run: &Run, stamp: Stamp) {
        let RunState::Ended { outcome, time } = run.state else { return };
        self.index.triggers.remove_run(run);
        if let Some(key) = run.trigger() {
            self.own_run_ended(&key, stamp, outcome);
        }
        for key in self.index.triggers.followers(&run.job) {
            let counts = self.trigger(&key).is_some_and(|trigger| match &trigger.spec().when {
                When::After { outcomes, .. } => outcomes.contains(&outcome) && trigger.counts(time),
                _ => false,
            });
            if counts {
                self.change_trigger(&key, stamp, |standing| standing.push_due(time));
            }
        }
    }

    fn own_run_ended(&mut self, key: &TriggerKey, stamp: Stamp, outcome: Outcome) {
        let is_idle = self.live_count_of_trigger(key) == 0;
        let Some(trigger) = self.trigger(key) else { return };
        let is_delay = matches!(trigger.spec().when, When::Delay { .. });
        let delayed = trigger.delayed(stamp.now);
        self.change_trigger(key, stamp, |standing| {
            match outcome {
                Outcome::Succeeded => standing.failures = 0,
                Outcome::Failed | Outcome::Expired => standing.failures = standing.failures.saturating_add(1),
                Outcome::Cancelled => {}
            }
            if is_delay && is_idle && standing.waiting.is_empty() {
                standing.due.clear();
                delayed.into_iter().for_each(|time| standing.push_due(time));
            }
        });
    }
}

fn fired(standing: &mut Standing, stamp: Stamp, event: &Event) {
    let Event::TriggerFired { source, scheduled_time, waited, late, run_id, .. } = event else { return };
    if *waited {
        standing.waiting.remove(0);
    } else {
        settle(standing, *source, *scheduled_time, 1);
    }
    let effect = match run_id {
        Some(run_id) => {
            standing.counters.fired(*source, *late);
            if let (FireSource::Backfill, Some(backfill)) = (*source, &mut standing.backfill) {
                backfill.fired += 1;
            }
            Effect::Run(*run_id)
        }
        None => {
            standing.waiting.push(Waiting { scheduled_time: *scheduled_time, source: *source });
            Effect::Waits
        }
    };
    let fire = PastFire { scheduled_time: *scheduled_time, time: stamp.now, effect, count: 1, source: *source };
    standing.remember(fire, *waited);
}

/// Everything up to this time is settled, or so much of what was due.
fn settle(standing: &mut Standing, source: FireSource, to: Timestamp, count: u64) {
    match source {
        FireSource::Schedule => {
            standing.take_due(count);
            standing.cursor = standing.cursor.max(to);
        }
        FireSource::Backfill => {
            if let Some(backfill) = &mut standing.backfill {
                backfill.cursor = backfill.cursor.max(to);
            }
        }
        FireSource::Hand => {}
    }
}
