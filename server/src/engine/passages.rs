//! What of runs is told to whoever draws traces: the stretches of their lives that have ended, each whole. Told beside the log
//! and not from it: a trace wants to know when a run began to wait, and no watcher does. Costs nothing as long as nobody wants
//! to know, and holds nobody up: what is too much is counted and lost.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use semel_core::{
    State,
    command::Command,
    event::Event,
    id::{AttemptNumber, JobKey, RunId, Timestamp, WorkerId},
    run::{AttemptOutcome, Outcome, Run, RunState},
    trace::TraceContext,
};
use tokio::sync::mpsc;

use super::envelope::Envelope;

/// Batches of them that wait for the receiver. One is what a commit brings, so this is a second of a busy server at least.
const WAITING_MAX: usize = 1024;

/// A stretch of a run's life that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Which run.
    pub run_id: RunId,
    /// Of which job.
    pub job: JobKey,
    /// Where it stands in a trace; none for one that a trigger made by itself.
    pub trace: Option<Box<TraceContext>>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// What it was.
    pub kind: PassageKind,
}

/// What a stretch was.
#[derive(Clone, Debug, PartialEq)]
pub enum PassageKind {
    /// It waited: since it was made, or since the attempt before.
    Wait {
        /// Since when it could have begun but for a worker or a free place; none if it never could.
        queued: Option<Timestamp>,
        /// The attempt that it waited for: the next one, whether or not it came to it.
        number: AttemptNumber,
        /// How the run ended instead; none if the attempt began.
        ended: Option<Outcome>,
    },
    /// A worker had it.
    Attempt {
        /// The number of the attempt.
        number: AttemptNumber,
        /// Who.
        worker_id: WorkerId,
        /// What that worker calls itself.
        worker_name: Arc<str>,
        /// How it ended.
        how: AttemptOutcome,
        /// Why, if it failed.
        error: String,
    },
    /// All of its life, of one that a trigger made.
    Whole {
        /// How it ended.
        outcome: Outcome,
        /// Why; for people.
        reason: String,
    },
}

/// What ends with these events, in their order. Asked before they are evolved, while the state still knows what was.
pub(super) fn of(state: &State, events: &[Event], now: Timestamp) -> Vec<Passage> {
    events.iter().flat_map(|event| ended(state, event, now)).flatten().collect()
}

fn ended(state: &State, event: &Event, now: Timestamp) -> [Option<Passage>; 2] {
    let known = |run_id| state.run(run_id).filter(|run| is_told(run));
    let found = match event {
        Event::AttemptStarted { run_id, number, .. } => {
            known(*run_id).map(|run| [Some(wait(run, *number, None, now)), None])
        }
        Event::AttemptEnded { run_id, how, error, .. } => {
            known(*run_id).map(|run| [attempt(run, *how, error, now), None])
        }
        Event::RunEnded { run_id, outcome, reason } => known(*run_id).map(|run| {
            let next = AttemptNumber(run.attempt.0 + 1);
            let waited = run.held().is_none().then(|| wait(run, next, Some(*outcome), now));
            let whole = PassageKind::Whole { outcome: *outcome, reason: reason.clone() };
            [waited, run.trace.is_none().then(|| passage(run, run.create_time, now, whole))]
        }),
        _ => None,
    };
    found.unwrap_or_default()
}

/// Those that are recorded, and those of which that is decided later.
fn is_told(run: &Run) -> bool {
    match &run.trace {
        Some(trace) => trace.is_sampled(),
        None => run.cause.is_some(),
    }
}

fn wait(run: &Run, number: AttemptNumber, ended: Option<Outcome>, now: Timestamp) -> Passage {
    let before = run.attempts.last().and_then(|attempt| attempt.end.as_ref()).map(|end| end.time);
    let queued = match run.state {
        RunState::Queued { since } => Some(since),
        _ => None,
    };
    passage(run, before.unwrap_or(run.create_time), now, PassageKind::Wait { queued, number, ended })
}

fn attempt(run: &Run, how: AttemptOutcome, error: &str, now: Timestamp) -> Option<Passage> {
    let held = run.held()?;
    let kind = PassageKind::Attempt {
        number: held.number,
        worker_id: held.worker_id,
        worker_name: held.worker_name.clone(),
        how,
        error: error.to_owned(),
    };
    Some(passage(run, held.start_time, now, kind))
}

fn passage(run: &Run, from: Timestamp, to: Timestamp, kind: PassageKind) -> Passage {
    Passage { run_id: run.id, job: run.job.clone(), trace: run.trace.clone(), from, to, kind }
}

/// The receiving end.
pub struct Passages {
    told: mpsc::Receiver<Vec<Passage>>,
    lost: Arc<AtomicU64>,
}

/// The engine's end.
pub struct PassageSender {
    sender: mpsc::Sender<Vec<Passage>>,
    lost: Arc<AtomicU64>,
}

impl Passages {
    /// Both ends.
    pub fn channel() -> (PassageSender, Self) {
        let (sender, told) = mpsc::channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        (PassageSender { sender, lost: lost.clone() }, Self { told, lost })
    }

    /// What ended next; none once the engine has gone.
    pub async fn next(&mut self) -> Option<Vec<Passage>> {
        self.told.recv().await
    }

    /// What ended next and is there already.
    pub fn at_hand(&mut self) -> Option<Vec<Passage>> {
        self.told.try_recv().ok()
    }

    /// How many were lost since this was asked last.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl PassageSender {
    /// Tells what is durable, if there is room.
    pub(super) fn send(&self, passages: Vec<Passage>) {
        let count = passages.len() as u64;
        if count > 0 && self.sender.try_send(passages).is_err() {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Where the run of a report stands in a trace, before it is over.
pub(super) fn trace_of_report(state: &State, envelope: &Envelope) -> Option<Box<TraceContext>> {
    match &envelope.command {
        Command::ReportAttempt { attempt, .. } => state.run(attempt.run_id)?.trace.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
