//! What is there at the end: the runs and the log of events, as the reading half of the store shows them, and whether
//! the log makes sense by itself.

use std::collections::{BTreeMap, BTreeSet};

use semel_core::{
    event::{Event, Record},
    id::{AppName, JobKey, RequestId, Revision, RunId, Timestamp, WorkerId},
    run::{Outcome, Run, RunState},
    trigger::Standing,
};
use semel_server::{
    engine::Options,
    store::{DedupKey, Reader, RunQuery},
};

use crate::{
    archive::Archive,
    checker::{Rule, Violation, violation},
    triggers::TriggerStory,
};

/// One entry of the log that a request caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) revision: Revision,
    pub(crate) time: Timestamp,
    pub(crate) principal: String,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) by_request: BTreeMap<DedupKey, Vec<Effect>>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) runs_of_request: BTreeMap<DedupKey, Vec<RunId>>,
    /// The last position of the log.
    pub(crate) last: Revision,
    /// How many times of triggers were settled by a run, and how many with a reason.
    pub(crate) fired: u64,
    pub(crate) skipped: u64,
}

const PAGE: usize = 500;

impl Effects {
    /// Takes a run in, once.
    fn took(&mut self, run: Run) {
        if let Some(request_id) = run.request_id.filter(|_| !self.runs.contains_key(&run.id)) {
            let key = DedupKey { request_id, app: run.job.app.clone() };
            self.runs_of_request.entry(key).or_default().push(run.id);
        }
        self.runs.insert(run.id, run);
    }
}

/// Reads all of it, page by page, as a caller would. `sent` are the ids that were sent, each to an app.
pub(crate) fn read(
    violations: &mut Vec<Violation>,
    reader: &dyn Reader,
    archive: &Archive,
    options: &Options,
    sent: &BTreeSet<DedupKey>,
    standings: &[Standing],
) -> Effects {
    let mut effects = Effects::default();
    let mut story = Story::default();
    let mut triggers = TriggerStory::default();
    let mut time = Timestamp(0);
    let mut archived = archive.records.chunks(PAGE);
    loop {
        let from_archive = archived.next();
        let page = match from_archive {
            Some(page) => page.to_vec(),
            None => reader.records(effects.last.next(), PAGE).expect("the memory can be read"),
        };
        for record in &page {
            if record.revision != effects.last.next() || record.time < time || record.events.is_empty() {
                let what =
                    format!("after {:?} at {time:?} comes {:?} at {:?}", effects.last, record.revision, record.time);
                violations.push(violation(Rule::Log, what));
            }
            effects.last = record.revision;
            time = record.time;
            story.take(violations, record);
            triggers.take(violations, record);
            if let Some(request_id) = record.request_id {
                let effect =
                    Effect { revision: record.revision, time: record.time, principal: record.principal.to_string() };
                let key = story.key(record, request_id, sent);
                check_minted(violations, request_id, record, options);
                effects.by_request.entry(key).or_default().push(effect);
            }
        }
        if from_archive.is_none() && page.len() < PAGE {
            break;
        }
    }
    read_runs(&mut effects, reader);
    for run in archive.runs.values() {
        effects.took(run.clone());
    }
    story.compare(violations, &effects.runs);
    triggers.compare(violations, standings);
    (effects.fired, effects.skipped) = (triggers.fired, triggers.skipped);
    effects
}

fn check_minted(violations: &mut Vec<Violation>, id: RequestId, record: &Record, options: &Options) {
    let (minted_at, window) = (id.minted_at(), options.window);
    if minted_at < record.time.minus(window.length) || minted_at > record.time.plus(window.future_max) {
        violations.push(violation(Rule::Window, format!("{id} took effect at {:?}, outside its window", record.time)));
    }
}

fn read_runs(effects: &mut Effects, reader: &dyn Reader) {
    let mut after = None;
    loop {
        let apps = reader.apps(after.as_ref(), PAGE).expect("the memory can be read");
        for app in &apps {
            read_runs_of(effects, reader, &app.name);
        }
        match apps.last() {
            Some(app) if apps.len() == PAGE => after = Some(app.name.clone()),
            _ => return,
        }
    }
}

fn read_runs_of(effects: &mut Effects, reader: &dyn Reader, app: &AppName) {
    let mut before = None;
    loop {
        let query = RunQuery {
            app: app.clone(),
            job: None,
            phases: Vec::new(),
            labels: BTreeMap::new(),
            from: None,
            until: None,
            before,
            limit: PAGE,
        };
        let page = reader.runs(&query).expect("the memory can be read");
        for run in page.items {
            effects.took(run);
        }
        before = page.next;
        if before.is_none() {
            return;
        }
    }
}

/// What the log tells, event by event, by rules of its own.
#[derive(Default)]
struct Story {
    runs: BTreeMap<RunId, Life>,
    /// The limit of each job, and whether it is paused.
    jobs: BTreeMap<JobKey, (Option<u32>, bool)>,
    running: BTreeMap<JobKey, BTreeSet<RunId>>,
    keys: BTreeMap<(JobKey, String), RunId>,
    /// The app that the record that was taken last is about, and the one under which its request is remembered.
    scope: Option<(AppName, AppName)>,
}

/// The life of a run.
#[derive(Debug)]
struct Life {
    job: JobKey,
    unique_key: Option<String>,
    attempt: u32,
    holder: Option<WorkerId>,
    outcome: Option<Outcome>,
}

impl Story {
    /// Under what the request behind the record just taken is remembered. An app may have changed by a request about
    /// apps or by one of its own; then it is the one that was sent.
    fn key(&self, record: &Record, request_id: RequestId, sent: &BTreeSet<DedupKey>) -> DedupKey {
        let (about, scope) = self.scope.clone().unwrap_or_else(|| unreachable!("an event names an app: {record:?}"));
        let own = DedupKey { request_id, app: about };
        let key = DedupKey { request_id, app: scope };
        if sent.contains(&own) && !sent.contains(&key) { own } else { key }
    }

    fn take(&mut self, violations: &mut Vec<Violation>, record: &Record) {
        for event in &record.events {
            self.scope = Some((self.app_of(event), self.scope_of(event)));
            let mut broken = |rule, what: String| {
                violations.push(violation(rule, format!("at {:?}, {event:?}: {what}", record.revision)));
            };
            match event {
                Event::JobCreated { job } => {
                    self.jobs.insert(job.key.clone(), (job.spec.max_running, false));
                }
                Event::JobUpdated { key, spec } => {
                    self.jobs.entry(key.clone()).or_default().0 = spec.max_running;
                }
                Event::JobPaused { key, .. } => self.jobs.entry(key.clone()).or_default().1 = true,
                Event::JobResumed { key } => self.jobs.entry(key.clone()).or_default().1 = false,
                Event::JobDeleted { key } => {
                    if self.runs.values().any(|life| &life.job == key && life.outcome.is_none()) {
                        broken(Rule::RunLife, "the job is deleted and has a run that has not ended".to_owned());
                    }
                    self.jobs.remove(key);
                }
                Event::RunCreated { run, .. } => self.created(&mut broken, run),
                _ => self.run_event(&mut broken, event),
            }
        }
    }

    fn created(&mut self, broken: &mut impl FnMut(Rule, String), run: &Run) {
        if !self.jobs.contains_key(&run.job) {
            broken(Rule::RunLife, "its job is not there".to_owned());
        }
        if let Some(unique_key) = &run.unique_key {
            let held = self.keys.insert((run.job.clone(), unique_key.clone()), run.id);
            let holder = held.and_then(|holder| self.runs.get(&holder)).filter(|life| life.outcome.is_none());
            if let Some(holder) = holder {
                broken(Rule::UniqueKey, format!("its key is held by {holder:?}"));
            }
        }
        let life =
            Life { job: run.job.clone(), unique_key: run.unique_key.clone(), attempt: 0, holder: None, outcome: None };
        if self.runs.insert(run.id, life).is_some() {
            broken(Rule::RunLife, "created twice".to_owned());
        }
    }

    fn run_event(&mut self, broken: &mut impl FnMut(Rule, String), event: &Event) {
        let Some(run_id) = run_of(event) else { return };
        let Some(life) = self.runs.get_mut(&run_id) else {
            return broken(Rule::RunLife, "no such run was created".to_owned());
        };
        if life.outcome.is_some() {
            broken(Rule::RunLife, format!("it has ended: {life:?}"));
        }
        match event {
            Event::AttemptStarted { number, worker_id, .. } => {
                if life.holder.is_some() || number.0 != life.attempt + 1 {
                    broken(Rule::Fencing, format!("after {life:?}"));
                }
                life.attempt = number.0;
                life.holder = Some(*worker_id);
                let job = life.job.clone();
                self.started(broken, run_id, job);
            }
            Event::AttemptEnded { number, .. } => {
                if life.holder.take().is_none() || number.0 != life.attempt {
                    broken(Rule::Fencing, format!("after {life:?}"));
                }
                self.running.entry(life.job.clone()).or_default().remove(&run_id);
            }
            Event::RunQueued { .. } | Event::RunRetrying { .. } | Event::RunEnded { .. } if life.holder.is_some() => {
                broken(Rule::RunLife, format!("an attempt is open: {life:?}"));
            }
            Event::RunCancelRequested { .. } | Event::LogAppended { .. } if life.holder.is_none() => {
                broken(Rule::RunLife, format!("no attempt is open: {life:?}"));
            }
            Event::RunEnded { outcome, .. } => life.outcome = Some(*outcome),
            _ => {}
        }
    }

    fn started(&mut self, broken: &mut impl FnMut(Rule, String), run_id: RunId, key: JobKey) {
        let (max, is_paused) = self.jobs.get(&key).copied().unwrap_or_default();
        let running = self.running.entry(key).or_default();
        running.insert(run_id);
        if is_paused || max.is_some_and(|max| running.len() > max as usize) {
            broken(Rule::Limit, format!("paused: {is_paused}, running {} of {max:?}", running.len()));
        }
    }

    fn scope_of(&self, event: &Event) -> AppName {
        match event {
            Event::AppCreated { .. } | Event::AppUpdated { .. } | Event::AppDeleted { .. } => AppName::system(),
            _ => self.app_of(event),
        }
    }

    fn app_of(&self, event: &Event) -> AppName {
        match event {
            Event::AppCreated { app } | Event::AppUpdated { app } => app.name.clone(),
            Event::AppDeleted { app } | Event::TokenRevoked { app, .. } => app.clone(),
            Event::TokenForgotten { .. } => AppName::system(),
            Event::JobCreated { job } => job.key.app.clone(),
            Event::JobUpdated { key, .. }
            | Event::JobDeleted { key }
            | Event::JobPaused { key, .. }
            | Event::JobResumed { key }
            | Event::UniqueKeyReleased { key, .. } => key.app.clone(),
            Event::RunCreated { run, .. } => run.job.app.clone(),
            Event::TriggerFired { key, .. }
            | Event::TriggerSkipped { key, .. }
            | Event::TriggerPaused { key, .. }
            | Event::TriggerResumed { key }
            | Event::BackfillStarted { key, .. }
            | Event::BackfillEnded { key, .. } => key.job.app.clone(),
            _ => run_of(event)
                .and_then(|run_id| self.runs.get(&run_id))
                .map_or_else(AppName::system, |life| life.job.app.clone()),
        }
    }

    /// The rows of the runs must say what the log says, and all must have ended.
    fn compare(&self, violations: &mut Vec<Violation>, runs: &BTreeMap<RunId, Run>) {
        for (run_id, life) in &self.runs {
            let Some(run) = runs.get(run_id) else {
                violations
                    .push(violation(Rule::Durable, format!("the log has run {run_id}, its row is gone: {life:?}")));
                continue;
            };
            let outcome = match run.state {
                RunState::Ended { outcome, .. } => Some(outcome),
                _ => None,
            };
            let is_same = run.attempt.0 == life.attempt && run.unique_key == life.unique_key && outcome == life.outcome;
            if !is_same {
                violations.push(violation(Rule::Durable, format!("the log says {life:?}, the row says {run:?}")));
            }
            if outcome.is_none() {
                violations.push(violation(Rule::Liveness, format!("run {run_id} has not ended: {:?}", run.state)));
            }
        }
        for run_id in runs.keys().filter(|run_id| !self.runs.contains_key(run_id)) {
            violations.push(violation(Rule::Durable, format!("there is a run {run_id}, and the log does not know it")));
        }
    }
}

fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::RunQueued { run_id }
        | Event::AttemptStarted { run_id, .. }
        | Event::AttemptEnded { run_id, .. }
        | Event::RunRetrying { run_id, .. }
        | Event::RunCancelRequested { run_id, .. }
        | Event::RunEnded { run_id, .. }
        | Event::LogAppended { run_id, .. } => Some(*run_id),
        _ => None,
    }
}
