//! What happened: from a record of the log to the events that watchers are told. One event for each step of a run: that an
//! attempt ended is a part of the step that follows from it.

use std::sync::Arc;

use semel_core::{
    event::{Event, Record, WorkerStanding},
    facts::{self, Facts, JobFacts, RunFacts},
    id::{AppName, AttemptNumber, JobKey, JobName, RunId, Timestamp, TriggerKey},
    job::{Job, Labels},
    run::{Attempt, AttemptEnd, Phase, Run},
};
use semel_proto::v1::{self, event::Subject};

use super::{header::count, run, time, trigger};
use crate::engine::Connected;

/// An event, with what a filter must know of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// Of which app; none if it is about all of them.
    pub(crate) app: Option<AppName>,
    /// Of which job.
    pub(crate) job: Option<JobName>,
    /// Of which run.
    pub(crate) run_id: Option<RunId>,
    /// The labels of the run or the job.
    pub(crate) labels: Arc<Labels>,
    /// What happened.
    pub(crate) kind: v1::EventKind,
    /// The event.
    pub(crate) event: v1::Event,
}

/// What is told of a record. `recall` gives a run by its id, for records that were written before facts were kept.
pub(crate) fn told(record: &Record, recall: impl Fn(RunId) -> Option<Run>) -> Vec<Told> {
    let mut teller = Teller { record, facts: record.facts.iter(), ended: None };
    record.events.iter().filter_map(|event| teller.tell(event, &recall)).collect()
}

/// Goes through the events of a record.
struct Teller<'r> {
    record: &'r Record,
    /// What is left of the facts: they stand in the order of the events that they belong to.
    facts: std::slice::Iter<'r, Facts>,
    /// How an attempt ended, until the step that follows from it.
    ended: Option<(AttemptNumber, AttemptEnd)>,
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event, recall: &impl Fn(RunId) -> Option<Run>) -> Option<Told> {
        match event {
            Event::RunCreated { run, .. } => Some(self.made(run)),
            Event::JobCreated { job } => Some(self.job_made(job)),
            Event::AttemptEnded { number, how, error, .. } => {
                let end = AttemptEnd { how: *how, time: self.record.time, error: error.clone() };
                self.ended = Some((*number, end));
                None
            }
            Event::WorkerChanged { app, worker_id, worker_name, standing, processors, slots } => {
                let worker = v1::Worker {
                    worker_id: worker_id.to_string(),
                    app: app.to_string(),
                    worker_name: worker_name.to_string(),
                    state: worker_state(*standing).into(),
                    processors: processors.iter().map(ToString::to_string).collect(),
                    slots: i32::try_from(*slots).unwrap_or(i32::MAX),
                    revision: count(self.record.revision.0),
                };
                Some(self.of_app(Some(app), worker_kind(*standing), Some(Subject::Worker(worker))))
            }
            Event::TriggerFired { key, .. }
            | Event::TriggerSkipped { key, .. }
            | Event::TriggerPaused { key, .. }
            | Event::TriggerResumed { key }
            | Event::BackfillStarted { key, .. }
            | Event::BackfillEnded { key, .. } => Some(self.of_trigger(event, key)),
            Event::WorkersReset => Some(self.of_app(None, v1::EventKind::WorkersReset, None)),
            _ => match (facts::stepped(event), facts::changed_job(event)) {
                (Some(run_id), _) => match self.run_facts() {
                    Some(facts) => Some(self.step(event, run_id, Some(facts.from), facts)),
                    None => recall(run_id).map(|run| self.step(event, run_id, None, recalled(run))),
                },
                (None, Some(key)) => Some(self.job_changed(event, key)),
                (None, None) => None,
            },
        }
    }

    fn run_facts(&mut self) -> Option<RunFacts> {
        match self.facts.next() {
            Some(Facts::Run(facts)) => Some(facts.clone()),
            _ => None,
        }
    }

    fn job_facts(&mut self) -> Option<&JobFacts> {
        match self.facts.next() {
            Some(Facts::Job(facts)) => Some(facts),
            _ => None,
        }
    }

    fn event(&self, kind: v1::EventKind, app: Option<&AppName>, subject: Option<Subject>) -> v1::Event {
        v1::Event {
            revision: count(self.record.revision.0),
            time: Some(time::timestamp(self.record.time)),
            kind: kind.into(),
            app: app.map(ToString::to_string).unwrap_or_default(),
            request_id: self.record.request_id.map(|id| id.to_string()).unwrap_or_default(),
            principal: self.record.principal.to_string(),
            subject,
        }
    }

    fn of_app(&self, app: Option<&AppName>, kind: v1::EventKind, subject: Option<Subject>) -> Told {
        Told {
            app: app.cloned(),
            job: None,
            run_id: None,
            labels: Arc::default(),
            kind,
            event: self.event(kind, app, subject),
        }
    }

    fn of_run(
        &self,
        kind: v1::EventKind,
        run_id: RunId,
        job: &JobKey,
        labels: Arc<Labels>,
        event: v1::RunEvent,
    ) -> Told {
        Told {
            app: Some(job.app.clone()),
            job: Some(job.job.clone()),
            run_id: Some(run_id),
            labels,
            kind,
            event: self.event(kind, Some(&job.app), Some(Subject::Run(event))),
        }
    }

    fn made(&self, run: &Run) -> Told {
        let optional = |at: Option<Timestamp>| at.map(time::timestamp);
        let event = v1::RunEvent {
            run_id: run.id.to_string(),
            job: run.job.job.to_string(),
            to_state: run::phase(run.state.phase()).into(),
            labels: (*run.labels).clone(),
            create_time: Some(time::timestamp(run.create_time)),
            start_time: optional(run.start_time),
            deadline: optional(run.deadline),
            processor: run.plan.processor.to_string(),
            priority: run.priority,
            max_attempts: i32::try_from(run.plan.retry.max_attempts).unwrap_or(i32::MAX),
            unique_key: run.unique_key.clone().unwrap_or_default(),
            retry_of: run.retry_of.map(|id| id.to_string()).unwrap_or_default(),
            trigger: run::trigger(run.cause.as_deref()),
            scheduled_time: run::scheduled_time(run.cause.as_deref()),
            ..v1::RunEvent::default()
        };
        self.of_run(v1::EventKind::RunCreated, run.id, &run.job, run.labels.clone(), event)
    }

    /// A step of a run that exists.
    fn step(&mut self, event: &Event, run_id: RunId, from: Option<Phase>, facts: RunFacts) -> Told {
        let RunFacts { job, labels, held, cause, .. } = facts;
        let ended = self.ended.take();
        let now = time::timestamp(self.record.time);
        let mut step = v1::RunEvent {
            run_id: run_id.to_string(),
            job: job.job.to_string(),
            from_state: from.map(run::phase).unwrap_or_default().into(),
            attempt: held.map(|held| run::attempt(&after(held, ended.as_ref()))),
            reason: ended.map(|(_, end)| end.error).unwrap_or_default(),
            labels: (*labels).clone(),
            create_time: Some(time::timestamp(run_id.time())),
            trigger: run::trigger(cause.as_deref()),
            scheduled_time: run::scheduled_time(cause.as_deref()),
            ..v1::RunEvent::default()
        };
        let to = match event {
            Event::AttemptStarted { number, worker_id, worker_name, deadline, .. } => {
                step.attempt = Some(run::attempt(&Attempt {
                    number: *number,
                    worker_id: *worker_id,
                    worker_name: worker_name.clone(),
                    start_time: self.record.time,
                    deadline: *deadline,
                    end: None,
                }));
                Phase::Running
            }
            Event::RunRetrying { until, .. } => {
                step.retry_time = Some(time::timestamp(*until));
                Phase::Retrying
            }
            Event::RunCancelRequested { reason, .. } => {
                step.reason.clone_from(reason);
                Phase::Cancelling
            }
            Event::RunEnded { outcome, reason, .. } => {
                step.reason.clone_from(reason);
                step.end_time = Some(now);
                Phase::from(*outcome)
            }
            _ => Phase::Queued,
        };
        step.to_state = run::phase(to).into();
        self.of_run(step_kind(to), run_id, &job, labels, step)
    }

    fn job_made(&self, job: &Job) -> Told {
        let event = v1::JobEvent {
            job: job.key.job.to_string(),
            etag: job.etag.0.to_string(),
            paused: job.pause.is_some(),
            pause_note: job.pause.as_ref().map(|pause| pause.note.clone()).unwrap_or_default(),
            processor: job.spec.plan.processor.to_string(),
            labels: (*job.spec.labels).clone(),
            create_time: Some(time::timestamp(job.create_time)),
        };
        self.of_job(v1::EventKind::JobCreated, &job.key, event)
    }

    fn job_changed(&mut self, event: &Event, key: &JobKey) -> Told {
        let etag = self.record.revision.0.to_string();
        let mut changed = v1::JobEvent { job: key.job.to_string(), etag, ..v1::JobEvent::default() };
        if let Some(facts) = self.job_facts() {
            changed.paused = facts.pause.is_some();
            changed.pause_note = facts.pause.as_ref().map(|pause| pause.note.clone()).unwrap_or_default();
            changed.processor = facts.processor.to_string();
            changed.labels.clone_from(&facts.labels);
            changed.create_time = Some(time::timestamp(facts.create_time));
            if matches!(event, Event::JobDeleted { .. }) {
                changed.etag = facts.etag.0.to_string();
            }
        }
        let kind = match event {
            Event::JobUpdated { spec, .. } => {
                changed.processor = spec.plan.processor.to_string();
                changed.labels.clone_from(&spec.labels);
                v1::EventKind::JobUpdated
            }
            Event::JobPaused { note, .. } => {
                (changed.paused, changed.pause_note) = (true, note.clone());
                v1::EventKind::JobPaused
            }
            Event::JobResumed { .. } => {
                (changed.paused, changed.pause_note) = (false, String::new());
                v1::EventKind::JobResumed
            }
            _ => v1::EventKind::JobDeleted,
        };
        self.of_job(kind, key, changed)
    }

    fn of_trigger(&mut self, event: &Event, key: &TriggerKey) -> Told {
        let labels = match self.facts.next() {
            Some(Facts::Trigger(facts)) => (*facts.labels).clone(),
            _ => Labels::new(),
        };
        let (kind, mut told) = trigger::event(event);
        (told.job, told.trigger) = (key.job.job.to_string(), key.name.to_string());
        told.labels.clone_from(&labels);
        Told {
            app: Some(key.job.app.clone()),
            job: Some(key.job.job.clone()),
            run_id: None,
            labels: Arc::new(labels),
            kind,
            event: self.event(kind, Some(&key.job.app), Some(Subject::Trigger(told))),
        }
    }

    fn of_job(&self, kind: v1::EventKind, key: &JobKey, event: v1::JobEvent) -> Told {
        Told {
            app: Some(key.app.clone()),
            job: Some(key.job.clone()),
            run_id: None,
            labels: Arc::new(event.labels.clone()),
            kind,
            event: self.event(kind, Some(&key.app), Some(Subject::Job(event))),
        }
    }
}

/// The attempt that a worker held, after what happened to it.
fn after(held: Attempt, ended: Option<&(AttemptNumber, AttemptEnd)>) -> Attempt {
    let end = ended.filter(|(number, _)| *number == held.number).map(|(_, end)| end.clone());
    Attempt { end, ..held }
}

/// What can still be said of a run whose record has no facts. Where it stood before, and who had it, is not known any more.
fn recalled(run: Run) -> RunFacts {
    RunFacts { job: run.job, from: run.state.phase(), labels: run.labels, held: None, cause: run.cause }
}

fn step_kind(to: Phase) -> v1::EventKind {
    match to {
        Phase::Scheduled => v1::EventKind::RunCreated,
        Phase::Queued => v1::EventKind::RunQueued,
        Phase::Running => v1::EventKind::RunStarted,
        Phase::Retrying => v1::EventKind::RunRetrying,
        Phase::Cancelling => v1::EventKind::RunCancelling,
        Phase::Succeeded => v1::EventKind::RunSucceeded,
        Phase::Failed => v1::EventKind::RunFailed,
        Phase::Cancelled => v1::EventKind::RunCancelled,
        Phase::Expired => v1::EventKind::RunExpired,
    }
}

/// The kinds of events that lead to the state of a run.
pub(crate) fn kinds_of_state(phase: Phase) -> &'static [v1::EventKind] {
    match phase {
        Phase::Scheduled => &[v1::EventKind::RunCreated],
        Phase::Queued => &[v1::EventKind::RunCreated, v1::EventKind::RunQueued],
        Phase::Running => &[v1::EventKind::RunStarted],
        Phase::Retrying => &[v1::EventKind::RunRetrying],
        Phase::Cancelling => &[v1::EventKind::RunCancelling],
        Phase::Succeeded => &[v1::EventKind::RunSucceeded],
        Phase::Failed => &[v1::EventKind::RunFailed],
        Phase::Cancelled => &[v1::EventKind::RunCancelled],
        Phase::Expired => &[v1::EventKind::RunExpired],
    }
}

fn worker_state(standing: WorkerStanding) -> v1::WorkerState {
    match standing {
        WorkerStanding::Connected => v1::WorkerState::Connected,
        WorkerStanding::Draining => v1::WorkerState::Draining,
        WorkerStanding::Disconnected => v1::WorkerState::Disconnected,
        WorkerStanding::Lost => v1::WorkerState::Lost,
    }
}

/// The kind of the event by which a worker came to stand there.
pub(crate) fn worker_kind(standing: WorkerStanding) -> v1::EventKind {
    match standing {
        WorkerStanding::Connected => v1::EventKind::WorkerConnected,
        WorkerStanding::Draining => v1::EventKind::WorkerDraining,
        WorkerStanding::Disconnected => v1::EventKind::WorkerDisconnected,
        WorkerStanding::Lost => v1::EventKind::WorkerLost,
    }
}

/// A worker that is connected.
pub(crate) fn connected(worker: &Connected) -> v1::Worker {
    v1::Worker {
        worker_id: worker.hello.worker_id.to_string(),
        app: worker.hello.app.to_string(),
        worker_name: worker.hello.worker_name.to_string(),
        state: worker_state(worker.standing).into(),
        processors: worker.hello.processors.iter().map(ToString::to_string).collect(),
        slots: i32::try_from(worker.hello.slots).unwrap_or(i32::MAX),
        revision: count(worker.revision.0),
    }
}

#[cfg(test)]
mod tests {
    use semel_core::id::{RequestId, Revision};

    use super::*;

    fn name<T>(parsed: Result<T, String>) -> T {
        parsed.expect("a name")
    }

    fn job_key() -> JobKey {
        JobKey { app: name(AppName::parse("pay")), job: name(JobName::parse("settle")) }
    }

    fn record(events: Vec<Event>, facts: Vec<Facts>) -> Record {
        Record {
            revision: Revision(7),
            time: Timestamp(1500),
            request_id: Some(RequestId([1; 16])),
            principal: "app:pay".into(),
            events,
            facts,
        }
    }

    fn running(attempt: u32) -> Facts {
        Facts::Run(RunFacts {
            job: job_key(),
            from: Phase::Running,
            labels: Arc::new([("a".to_owned(), "b".to_owned())].into()),
            held: Some(Attempt {
                number: AttemptNumber(attempt),
                worker_id: semel_core::id::WorkerId([2; 16]),
                worker_name: "w".into(),
                start_time: Timestamp(1000),
                deadline: None,
                end: None,
            }),
            cause: None,
        })
    }

    fn step_of(told: &Told) -> &v1::RunEvent {
        match &told.event.subject {
            Some(Subject::Run(run)) => run,
            other => panic!("not about a run: {other:?}"),
        }
    }

    fn ended(run: u8, attempt: u32, error: &str) -> Event {
        let how = semel_core::run::AttemptOutcome::Failed;
        let number = AttemptNumber(attempt);
        Event::AttemptEnded { run_id: RunId([run; 16]), number, how, error: error.to_owned(), result: None }
    }

    #[test]
    fn the_end_of_an_attempt_is_a_part_of_the_step_that_follows_and_of_no_other() {
        let events = vec![
            ended(1, 3, "no"),
            Event::RunRetrying { run_id: RunId([1; 16]), until: Timestamp(9000) },
            Event::RunQueued { run_id: RunId([2; 16]) },
        ];
        let told = told(&record(events, vec![running(3), running(1)]), |_| None);
        assert_eq!(told.len(), 2);
        let (first, second) = (step_of(&told[0]), step_of(&told[1]));
        assert_eq!((first.from_state(), first.to_state()), (v1::RunState::Running, v1::RunState::Retrying));
        let attempt = first.attempt.as_ref().expect("an attempt");
        assert_eq!((attempt.attempt, attempt.state(), attempt.error.as_str()), (3, v1::AttemptState::Failed, "no"));
        assert_eq!((first.reason.as_str(), attempt.worker_name.as_str()), ("no", "w"));
        assert_eq!(second.attempt.as_ref().expect("an attempt").state(), v1::AttemptState::Running);
        assert!(second.reason.is_empty());
    }

    #[test]
    fn what_was_logged_before_facts_were_kept_is_told_as_far_as_its_run_is_there() {
        let event = || vec![ended(1, 1, "no"), Event::RunQueued { run_id: RunId([1; 16]) }];
        assert!(told(&record(event(), Vec::new()), |_| None).is_empty(), "nobody knows whose it was");
        let known = told(&record(event(), vec![running(1)]), |_| None);
        assert_eq!(known[0].app, Some(job_key().app));
    }

    #[test]
    fn nothing_is_told_of_logs_tokens_and_keys() {
        let events = vec![
            Event::TokenForgotten { token_id: semel_core::id::TokenId([1; 16]) },
            Event::UniqueKeyReleased { key: job_key(), unique_key: "k".to_owned() },
            Event::AppDeleted { app: job_key().app },
        ];
        assert!(told(&record(events, Vec::new()), |_| None).is_empty());
    }
}
