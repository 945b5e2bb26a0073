//! Triggers in memory: how each stands, its compiled schedule, and when it has something to do next. The standing is the
//! fact; all else is built from it and from the job's definition, and is built anew at each start.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use super::State;
use crate::{
    command::Stamp,
    id::{AppName, JobKey, JobName, Millis, RunId, Timestamp, TriggerKey, TriggerName},
    job::JobSpec,
    run::Run,
    schedule::{self, Overlap, Schedule, TriggerSpec, When},
    trigger::{Backfill, Standing},
};

/// When a trigger has something to do that waits for no time.
pub(super) const AT_ONCE: Timestamp = Timestamp(0);

/// See the module.
#[derive(Debug)]
pub struct Trigger {
    standing: Standing,
    /// The definition of its job, in which it stands by its name.
    job: Arc<JobSpec>,
    /// None if this server cannot make sense of it: the trigger never fires then, and says so.
    schedule: Option<Arc<Schedule>>,
    /// That of the backfill.
    backfill: Option<Arc<Schedule>>,
    jitter: Millis,
    /// What its schedule says of the cursor, asked once.
    next: Option<Timestamp>,
    /// Under which time it stands in the index.
    indexed: Option<Timestamp>,
}

/// Times of a trigger in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

impl Trigger {
    pub(super) fn new(standing: Standing, job: Arc<JobSpec>) -> Self {
        let mut trigger =
            Self { standing, job, schedule: None, backfill: None, jitter: Millis(0), next: None, indexed: None };
        trigger.compile();
        trigger
    }

    /// After the definition, the making or the backfill has changed.
    fn compile(&mut self) {
        let spec = self.spec();
        let key = &self.standing.key;
        let jitter = schedule::jitter(&key.job.app, &key.job.job, key.name.as_str(), spec.jitter);
        let schedule = Schedule::compile(spec, self.standing.made_at).ok().map(Arc::new);
        let backfill = self.standing.backfill.as_ref();
        let backfill = backfill.and_then(|backfill| backfill_schedule(spec, self.standing.made_at, backfill.from));
        (self.jitter, self.schedule, self.backfill) = (jitter, schedule, backfill.map(Arc::new));
        self.ask();
    }

    /// After the cursor has moved, or what is due has changed.
    fn ask(&mut self) {
        self.next = self.next_after(self.standing.cursor);
    }

    fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if self.is_used_up() {
            return None;
        }
        if self.hangs_on_runs() {
            return self.standing.due.first().map(|due| due.time);
        }
        self.schedule.as_ref()?.next(after)
    }

    /// How it stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What it says.
    pub fn spec(&self) -> &TriggerSpec {
        &self.job.triggers[&self.standing.key.name]
    }

    /// Its schedule; none if this server cannot make sense of it.
    pub fn schedule(&self) -> Option<&Arc<Schedule>> {
        self.schedule.as_ref()
    }

    /// By how much each of its fires comes later.
    pub fn jitter(&self) -> Millis {
        self.jitter
    }

    /// The next time of its schedule that is not settled.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether its times are set by ends of runs, and not known before.
    pub fn hangs_on_runs(&self) -> bool {
        matches!(self.spec().when, When::Delay { .. } | When::After { .. })
    }

    /// Whether it has fired as often as it may; what waits counts.
    pub fn is_used_up(&self) -> bool {
        let Some(max) = self.spec().max_fires else { return false };
        let by_schedule = |waiting: &&crate::trigger::Waiting| waiting.source == crate::trigger::FireSource::Schedule;
        let waiting = self.standing.waiting.iter().filter(by_schedule).count() as u64;
        self.standing.counters.fired + waiting >= max
    }

    /// Whether nothing will come of its schedule any more.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        let is_past = |end: Timestamp| end <= now;
        let is_over = if self.hangs_on_runs() {
            self.spec().end_time.is_some_and(is_past) && self.standing.due.is_empty()
        } else {
            self.next.is_none()
        };
        self.is_used_up() || is_over
    }

    /// Whether it has failed so often in a row that it must pause itself.
    pub fn must_pause(&self) -> bool {
        let max = self.spec().pause_after_failures;
        self.standing.pause.is_none() && max.is_some_and(|max| self.standing.failures >= max)
    }

    /// The next time of the backfill, if there is one.
    pub fn backfill_next(&self, backfill: &Backfill) -> Option<Timestamp> {
        self.backfill.as_ref()?.next(backfill.cursor).filter(|next| *next < backfill.to)
    }

    /// The times of the schedule from the first that is not settled to this one, at most so many; none if there is none.
    pub fn span(&self, until: Timestamp, max: u64) -> Option<Span> {
        if !self.hangs_on_runs() {
            return span_of(self.schedule.as_ref()?, self.standing.cursor, until, max);
        }
        let mut span: Option<Span> = None;
        for due in self.standing.due.iter().filter(|due| due.time <= until) {
            let before = span.map_or(0, |span| span.count);
            let count = due.count.min(max - before);
            if count > 0 {
                let first = span.map_or(due.time, |span| span.first);
                span = Some(Span { count: before + count, first, last: due.time });
            }
        }
        span
    }

    /// When it has something to do, with so many of its runs unfinished.
    fn due_at(&self, live: usize) -> Option<Timestamp> {
        if self.must_pause() {
            return Some(AT_ONCE);
        }
        if self.standing.pause.is_some() {
            return None;
        }
        let release = !self.standing.waiting.is_empty() && has_room(self.spec().overlap, live);
        let backfill = self.standing.backfill.as_ref().is_some_and(|backfill| backfill_has_room(backfill, live));
        if release || backfill {
            return Some(AT_ONCE);
        }
        self.next.map(|next| next.plus(self.jitter))
    }

    /// When the first time would be that ends of runs set, or the end of its own last run.
    pub(super) fn delayed(&self, from: Timestamp) -> Option<Timestamp> {
        match self.spec().when {
            When::Delay { delay } => self.admitted(from.plus(delay)),
            _ => None,
        }
    }

    /// A time of its own, moved on until nothing excludes it; none when it is over.
    fn admitted(&self, mut time: Timestamp) -> Option<Timestamp> {
        let spec = self.spec();
        time = time.max(spec.start_time.unwrap_or(time));
        let schedule = self.schedule.as_ref()?;
        for _ in 0..schedule::limits::EXCLUDED_FIRES_MAX {
            if spec.end_time.is_some_and(|end| time >= end) {
                return None;
            }
            match schedule.excluded_until(time) {
                Some(until) => time = until,
                None => return Some(time),
            }
        }
        None
    }

    /// Whether the end of a run at this time counts for it.
    pub(super) fn counts(&self, time: Timestamp) -> bool {
        let spec = self.spec();
        spec.start_time.is_none_or(|start| time >= start)
            && spec.end_time.is_none_or(|end| time < end)
            && self.schedule.as_ref().is_some_and(|schedule| schedule.excluded_until(time).is_none())
    }

    /// What it has to do first: of a delay, the first time; else nothing that is not in its schedule.
    fn anchor(&mut self, now: Timestamp, live: usize) {
        self.standing.due.clear();
        let first = match (&self.spec().when, self.spec().start_time) {
            (When::Delay { .. }, Some(start)) if start > now => self.admitted(start),
            (When::Delay { .. }, _) if live == 0 => self.delayed(now),
            _ => None,
        };
        first.into_iter().for_each(|time| self.standing.push_due(time));
    }
}

/// The times of a schedule after one moment and up to another.
pub(crate) fn span_of(schedule: &Schedule, after: Timestamp, until: Timestamp, max: u64) -> Option<Span> {
    let first = schedule.next(after).filter(|first| *first <= until)?;
    let missed = schedule.missed_between(after, until, max);
    Some(Span { count: missed.count, first, last: missed.last? })
}

/// The schedule of a backfill: that of the trigger, whatever its start and end; a rate keeps its step.
pub(crate) fn backfill_schedule(spec: &TriggerSpec, made_at: Timestamp, from: Timestamp) -> Option<Schedule> {
    let mut spec = TriggerSpec { end_time: None, max_fires: None, ..spec.clone() };
    let origin = spec.start_time.unwrap_or(made_at);
    spec.start_time = match spec.when {
        // The step before the range, so that each time of the grid in it comes.
        When::Rate { period } if spec.start_time.is_some() && origin > from && period.0 > 0 => {
            let steps = (origin.0 - from.0).div_euclid(period.0) + 1;
            Some(Timestamp(origin.0 - steps * period.0))
        }
        When::Rate { .. } => spec.start_time,
        _ => None,
    };
    Schedule::compile(&spec, made_at.min(from)).ok()
}

/// Whether a fire may make its run beside those that are there.
pub fn has_room(overlap: Overlap, live: usize) -> bool {
    match overlap {
        Overlap::Parallel { max } => live < max as usize,
        _ => live == 0,
    }
}

/// Whether the backfill can go on: it skips at once, and waits for everything else.
pub fn backfill_has_room(backfill: &Backfill, live: usize) -> bool {
    backfill.overlap == Overlap::Skip || has_room(backfill.overlap, live)
}

/// The indexes over triggers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TriggerIndex {
    /// What each has to do, and when.
    fires: BTreeSet<(Timestamp, TriggerKey)>,
    /// The unfinished runs of each. Also of one that is gone: made again under its name, it goes on with them.
    live: BTreeMap<TriggerKey, BTreeSet<RunId>>,
    /// By job, who follows the ends of its runs.
    followers: BTreeMap<JobKey, BTreeSet<TriggerKey>>,
}

impl TriggerIndex {
    pub(super) fn insert_run(&mut self, run: &Run) {
        if let Some(key) = run.trigger() {
            self.live.entry(key).or_default().insert(run.id);
        }
    }

    pub(super) fn remove_run(&mut self, run: &Run) {
        let Some(key) = run.trigger() else { return };
        if let Some(live) = self.live.get_mut(&key) {
            live.remove(&run.id);
            if live.is_empty() {
                self.live.remove(&key);
            }
        }
    }

    fn live_count(&self, key: &TriggerKey) -> usize {
        self.live.get(key).map_or(0, BTreeSet::len)
    }

    /// Takes a trigger in, under what it has to do next.
    pub(super) fn insert(&mut self, trigger: &mut Trigger) {
        let key = &trigger.standing.key;
        trigger.indexed = trigger.due_at(self.live_count(key));
        if let Some(at) = trigger.indexed {
            self.fires.insert((at, key.clone()));
        }
        if let Some(followed) = followed(trigger) {
            self.followers.entry(followed).or_default().insert(key.clone());
        }
    }

    /// Takes it out.
    pub(super) fn remove(&mut self, trigger: &mut Trigger) {
        let key = &trigger.standing.key;
        if let Some(at) = trigger.indexed.take() {
            self.fires.remove(&(at, key.clone()));
        }
        if let Some(followed) = followed(trigger)
            && let Some(followers) = self.followers.get_mut(&followed)
        {
            followers.remove(key);
            if followers.is_empty() {
                self.followers.remove(&followed);
            }
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.fires.first().map(|(at, _)| *at)
    }

    pub(super) fn followers(&self, job: &JobKey) -> Vec<TriggerKey> {
        self.followers.get(job).into_iter().flatten().cloned().collect()
    }
}

fn followed(trigger: &Trigger) -> Option<JobKey> {
    match &trigger.spec().when {
        When::After { job, .. } => Some(JobKey { app: trigger.standing.key.job.app.clone(), job: job.clone() }),
        _ => None,
    }
}

impl State {
    /// One trigger.
    pub fn trigger(&self, key: &TriggerKey) -> Option<&Trigger> {
        self.triggers.get(key).map(|trigger| &**trigger)
    }

    /// The triggers of an app behind this one, by job and name.
    pub fn triggers_of<'a>(
        &'a self,
        app: &'a AppName,
        after: Option<&TriggerKey>,
    ) -> impl Iterator<Item = &'a Trigger> + 'a {
        let lower =
            after.map_or_else(|| Bound::Included(first_of(&first_job(app))), |after| Bound::Excluded(after.clone()));
        let from = self.triggers.range((lower, Bound::Unbounded));
        from.take_while(move |(key, _)| &key.job.app == app).map(|(_, trigger)| &**trigger)
    }

    /// The triggers of a job, by name.
    pub fn triggers_of_job(&self, job: JobKey) -> impl Iterator<Item = &Trigger> {
        let from = self.triggers.range(first_of(&job)..);
        from.take_while(move |(key, _)| key.job == job).map(|(_, trigger)| &**trigger)
    }

    /// The runs of a trigger that are not finished.
    pub fn live_runs_of_trigger(&self, key: &TriggerKey) -> impl Iterator<Item = RunId> + '_ {
        self.index.triggers.live.get(key).into_iter().flatten().copied()
    }

    /// How many runs of a trigger are not finished.
    pub fn live_count_of_trigger(&self, key: &TriggerKey) -> usize {
        self.index.triggers.live_count(key)
    }

    /// A trigger that has something to do by now.
    pub fn due_trigger(&self, now: Timestamp) -> Option<&TriggerKey> {
        self.index.triggers.fires.first().filter(|(at, _)| *at <= now).map(|(_, key)| key)
    }

    /// The one way to change a trigger: out of the index, changed, and back.
    pub(super) fn change_trigger(&mut self, key: &TriggerKey, stamp: Stamp, change: impl FnOnce(&mut Standing)) {
        let Some(trigger) = self.triggers.get_mut(key) else { return };
        self.index.triggers.remove(trigger);
        let had_backfill = trigger.standing.backfill.is_some();
        change(&mut trigger.standing);
        trigger.standing.revision = stamp.revision;
        if trigger.standing.backfill.is_some() == had_backfill {
            trigger.ask()
        } else {
            trigger.compile()
        }
        self.index.triggers.insert(trigger);
        self.changes.triggers.insert(key.clone());
    }

    /// A trigger whose runs have become more or fewer.
    pub(super) fn rearm(&mut self, key: &TriggerKey) {
        if let Some(trigger) = self.triggers.get_mut(key) {
            self.index.triggers.remove(trigger);
            self.index.triggers.insert(trigger);
        }
    }

    /// After a job was made or changed: what it has to do by itself is what it says now.
    pub(super) fn put_triggers(&mut self, key: &JobKey, stamp: Stamp) {
        let spec = self.jobs[key].spec.clone();
        for name in self.trigger_names(key) {
            if !spec.triggers.contains_key(&name.name) {
                self.drop_trigger(&name);
            }
        }
        for name in spec.triggers.keys() {
            let key = TriggerKey { job: key.clone(), name: name.clone() };
            self.put_trigger(key, &spec, stamp);
        }
    }

    fn put_trigger(&mut self, key: TriggerKey, job: &Arc<JobSpec>, stamp: Stamp) {
        let now = stamp.now;
        let live = self.index.triggers.live_count(&key);
        let (mut trigger, is_new) = match self.triggers.remove(&key) {
            Some(mut trigger) => {
                self.index.triggers.remove(&mut trigger);
                let is_other = has_other_times(trigger.spec(), &job.triggers[&key.name]);
                trigger.job = job.clone();
                (trigger, is_other)
            }
            None => (Box::new(Trigger::new(Standing::new(key.clone(), now), job.clone())), true),
        };
        if is_new {
            (trigger.standing.made_at, trigger.standing.cursor) = (now, now);
            trigger.standing.revision = stamp.revision;
            self.changes.triggers.insert(key.clone());
        }
        trigger.compile();
        if is_new {
            trigger.anchor(now, live);
            trigger.ask();
        }
        self.index.triggers.insert(&mut trigger);
        self.triggers.insert(key, trigger);
    }

    /// After a job was deleted.
    pub(super) fn drop_triggers(&mut self, key: &JobKey) {
        for name in self.trigger_names(key) {
            self.drop_trigger(&name);
        }
    }

    fn drop_trigger(&mut self, key: &TriggerKey) {
        if let Some(mut trigger) = self.triggers.remove(key) {
            self.index.triggers.remove(&mut trigger);
            self.changes.triggers.insert(key.clone());
        }
    }

    fn trigger_names(&self, job: &JobKey) -> Vec<TriggerKey> {
        self.triggers_of_job(job.clone()).map(|trigger| trigger.standing.key.clone()).collect()
    }
}

/// `-` is the least of all letters of names.
const LEAST: &str = "-";

fn first_job(app: &AppName) -> JobKey {
    JobKey { app: app.clone(), job: JobName::parse(LEAST).expect("a dash is a name") }
}

fn first_of(job: &JobKey) -> TriggerKey {
    TriggerKey { job: job.clone(), name: TriggerName::parse(LEAST).expect("a dash is a name") }
}

/// Whether two definitions name different times.
pub(crate) fn has_other_times(a: &TriggerSpec, b: &TriggerSpec) -> bool {
    let times = |spec: &TriggerSpec| {
        let TriggerSpec { when, zone, gap, fold, exclude, start_time, end_time, .. } = spec.clone();
        (when, zone, gap, fold, exclude, start_time, end_time)
    };
    times(a) != times(b)
}
