//! Triggers, judged by the log alone: each time of a rate is settled once, in order, by a run or with a reason; what waits
//! comes out once; a fire and its run are one record; and the counters that users see are what the log adds up to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use semel_core::{
    event::{Event, Record},
    id::{JobKey, Millis, RunId, Timestamp, TriggerKey},
    job::JobSpec,
    schedule::{Overlap, TriggerSpec, When},
    trigger::{FireSource, SkipReason, Standing},
};

use crate::checker::{Rule, Violation, violation};

/// See the module.
#[derive(Default)]
pub(crate) struct TriggerStory {
    lives: BTreeMap<TriggerKey, Life>,
    /// The unfinished runs of triggers.
    live: BTreeMap<RunId, TriggerKey>,
    /// The run that the fire before it in the record has named.
    announced: Option<(RunId, TriggerKey, Timestamp)>,
    time: Timestamp,
    /// How many times were settled by a run, and how many with a reason.
    pub(crate) fired: u64,
    pub(crate) skipped: u64,
}

struct Life {
    spec: TriggerSpec,
    /// The next time of a rate that is to be settled.
    next: Option<Timestamp>,
    is_paused: bool,
    waiting: VecDeque<(Timestamp, FireSource)>,
    /// How many times the backfill has left.
    backfill: Option<(u64, Timestamp)>,
    runs: BTreeMap<FireSource, u64>,
    skips: BTreeMap<SkipReason, u64>,
}

impl Life {
    fn new(spec: TriggerSpec, now: Timestamp) -> Self {
        let next = first_of(&spec, now);
        Self {
            spec,
            next,
            is_paused: false,
            waiting: VecDeque::new(),
            backfill: None,
            runs: BTreeMap::new(),
            skips: BTreeMap::new(),
        }
    }

    fn period(&self) -> Option<Millis> {
        match self.spec.when {
            When::Rate { period } => Some(period),
            _ => None,
        }
    }

    /// So many times from one to another are settled.
    fn settle(&mut self, from: Timestamp, to: Timestamp, count: u64) -> Result<(), String> {
        let Some(period) = self.period() else { return Ok(()) };
        if self.next != Some(from) {
            return Err(format!("the next time to settle is {:?}", self.next));
        }
        let steps = (to.0 - from.0) / period.0;
        if (to.0 - from.0) % period.0 != 0 || steps + 1 != i64::try_from(count).unwrap_or(i64::MAX) {
            return Err(format!("there are {} times in between", steps + 1));
        }
        self.next = Some(to.plus(period));
        Ok(())
    }

    /// The next one of the backfill is settled.
    fn fill(&mut self, at: Timestamp) -> Result<(), String> {
        match &mut self.backfill {
            Some((left, last)) if *left > 0 && *last < at => {
                (*left, *last) = (*left - 1, at);
                Ok(())
            }
            other => Err(format!("the backfill is {other:?}")),
        }
    }
}

fn first_of(spec: &TriggerSpec, now: Timestamp) -> Option<Timestamp> {
    match spec.when {
        When::Rate { period } => Some(now.plus(period)),
        _ => None,
    }
}

impl TriggerStory {
    /// Takes in the next record of the log.
    pub(crate) fn take(&mut self, violations: &mut Vec<Violation>, record: &Record) {
        self.time = record.time;
        for event in &record.events {
            if let Err(what) = self.event(event) {
                let what = format!("at {:?}, {:?}, {event:?}: {what}", record.revision, record.time);
                violations.push(violation(Rule::Triggers, what));
            }
        }
        if let Some((run_id, ..)) = self.announced.take() {
            violations.push(violation(Rule::Triggers, format!("{run_id} was announced and not made")));
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::JobCreated { job } => self.defined(&job.key, &job.spec),
            Event::JobUpdated { key, spec } => self.defined(key, spec),
            Event::JobDeleted { key } => self.lives.retain(|trigger, _| &trigger.job != key),
            Event::TriggerPaused { key, .. } => self.life(key)?.is_paused = true,
            Event::TriggerResumed { key } => self.life(key)?.is_paused = false,
            Event::BackfillStarted { key, backfill } => {
                self.life(key)?.backfill = Some((backfill.count, backfill.from.minus(Millis(1))));
            }
            Event::BackfillEnded { key, done } => match self.life(key)?.backfill.take() {
                Some((left, _)) if !done || left == 0 => {}
                other => return Err(format!("it had {other:?} left")),
            },
            Event::TriggerFired { .. } => return self.fired(event),
            Event::TriggerSkipped { .. } => return self.skipped(event),
            Event::RunCreated { run, .. } => {
                let made = run.trigger().zip(run.cause.as_ref().map(|cause| cause.scheduled_time));
                let announced = self.announced.take();
                let is_same = announced == made.map(|(key, time)| (run.id, key, time));
                self.live.extend(run.trigger().map(|key| (run.id, key)));
                return if is_same { Ok(()) } else { Err("its fire says otherwise".to_owned()) };
            }
            Event::RunEnded { run_id, .. } => drop(self.live.remove(run_id)),
            _ => {}
        }
        Ok(())
    }

    fn life(&mut self, key: &TriggerKey) -> Result<&mut Life, String> {
        self.lives.get_mut(key).ok_or_else(|| format!("there is no trigger {key}"))
    }

    fn defined(&mut self, key: &JobKey, spec: &JobSpec) {
        self.lives.retain(|trigger, _| &trigger.job != key || spec.triggers.contains_key(&trigger.name));
        for (name, trigger) in &spec.triggers {
            let key = TriggerKey { job: key.clone(), name: name.clone() };
            let life = self.lives.entry(key).or_insert_with(|| Life::new(trigger.clone(), self.time));
            if life.spec.when != trigger.when {
                life.next = first_of(trigger, self.time);
            }
            life.spec = trigger.clone();
        }
    }

    fn fired(&mut self, event: &Event) -> Result<(), String> {
        let Event::TriggerFired { key, source, scheduled_time, waited, run_id, .. } = event else { return Ok(()) };
        let (live, time) = (self.live.values().filter(|of| *of == key).count(), self.time);
        let life = self.life(key)?;
        if *waited {
            let first = life.waiting.pop_front();
            if first != Some((*scheduled_time, *source)) {
                return Err(format!("the first that waits is {first:?}"));
            }
        } else if *source == FireSource::Schedule {
            life.settle(*scheduled_time, *scheduled_time, 1)?;
        } else if *source == FireSource::Backfill {
            life.fill(*scheduled_time)?;
        }
        if *scheduled_time > time {
            return Err("it is not time yet".to_owned());
        }
        if life.is_paused && *source != FireSource::Hand {
            return Err("it is paused".to_owned());
        }
        let Some(run_id) = run_id else {
            life.waiting.push_back((*scheduled_time, *source));
            return Ok(());
        };
        let has_room = match life.spec.overlap {
            Overlap::Parallel { max } => live < max as usize,
            _ => live == 0,
        };
        if *source == FireSource::Schedule && !has_room {
            return Err(format!("{live} runs of it are unfinished under {:?}", life.spec.overlap));
        }
        *life.runs.entry(*source).or_default() += 1;
        if life.spec.max_fires.is_some_and(|max| life.runs.get(&FireSource::Schedule).is_some_and(|runs| *runs > max))
            && *source == FireSource::Schedule
            && !*waited
        {
            return Err("it has fired too often".to_owned());
        }
        self.announced = Some((*run_id, key.clone(), *scheduled_time));
        self.fired += 1;
        Ok(())
    }

    fn skipped(&mut self, event: &Event) -> Result<(), String> {
        let Event::TriggerSkipped { key, source, waited, reason, count, from, to } = event else { return Ok(()) };
        self.skipped += count;
        let time = self.time;
        let life = self.life(key)?;
        *life.skips.entry(*reason).or_default() += count;
        if *waited {
            let first = life.waiting.pop_front();
            return if first == Some((*to, *source)) { Ok(()) } else { Err(format!("first waits {first:?}")) };
        }
        if *to > time {
            return Err("it is not time yet".to_owned());
        }
        match source {
            FireSource::Schedule => life.settle(*from, *to, *count),
            FireSource::Backfill => life.fill(*to),
            FireSource::Hand => Ok(()),
        }
    }

    /// The rows of triggers must say what the log says, and no time may be left that has come.
    pub(crate) fn compare(&self, violations: &mut Vec<Violation>, standings: &[Standing]) {
        let mut broken = |what: String| violations.push(violation(Rule::Triggers, what));
        let known: BTreeSet<&TriggerKey> = standings.iter().map(|standing| &standing.key).collect();
        if known != self.lives.keys().collect() {
            broken(format!("the triggers are {known:?}, the log knows {:?}", self.lives.keys()));
        }
        for standing in standings {
            let Some(life) = self.lives.get(&standing.key) else { continue };
            let counters = &standing.counters;
            let runs = |source| life.runs.get(&source).copied().unwrap_or(0);
            let skips = |reason| life.skips.get(&reason).copied().unwrap_or(0);
            let counted = [
                (counters.fired, runs(FireSource::Schedule)),
                (counters.by_hand, runs(FireSource::Hand)),
                (counters.backfilled, runs(FireSource::Backfill)),
                (counters.overlap, skips(SkipReason::Overlap)),
                (counters.buffer, skips(SkipReason::Buffer)),
                (counters.misfire, skips(SkipReason::Misfire)),
                (counters.paused, skips(SkipReason::Paused)),
                (counters.quota, skips(SkipReason::Quota)),
                (counters.replaced, skips(SkipReason::Replaced)),
            ];
            if counted.iter().any(|(row, log)| row != log) || standing.waiting.len() != life.waiting.len() {
                broken(format!("{}: the row says {standing:?}, row and log: {counted:?}", standing.key));
            }
            let is_used_up = life.spec.max_fires.is_some_and(|max| counters.fired >= max);
            if !life.is_paused && !is_used_up && life.next.is_some_and(|next| next <= self.time) {
                broken(format!("{}: {:?} has come and is not settled by {:?}", standing.key, life.next, self.time));
            }
        }
    }
}
