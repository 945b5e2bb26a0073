//! Why a run is where it is.

use semel_core::{
    id::Timestamp,
    run::{Run, RunState},
};

use super::step::Engine;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What it is.
    pub kind: ExplanationKind,
    /// The same in a sentence.
    pub message: String,
    /// Until when it holds the run back.
    pub until: Option<Timestamp>,
}

/// What holds a run back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplanationKind {
    /// A worker holds it.
    Running,
    /// It waits for its start time.
    StartTime,
    /// It waits before its next attempt.
    Backoff,
    /// Its job is paused.
    JobPaused,
    /// Its job has as many runs going as it may.
    ConcurrencyLimit,
    /// No worker with its processor is connected.
    NoWorker,
    /// All slots of such workers are taken.
    NoFreeSlot,
    /// Others go first.
    BehindOthers,
    /// It waits for its worker to let go.
    Cancelling,
    /// It is about to be handed out.
    AboutToStart,
}

/// Why a run that is not finished is where it is; the first reason is what holds it back now.
pub fn explain(engine: &Engine, run: &Run) -> Vec<Explanation> {
    match run.state {
        RunState::Scheduled { until } => {
            vec![reason(ExplanationKind::StartTime, "it waits for its start time".to_owned(), Some(until))]
        }
        RunState::Retrying { until } => {
            let message = format!(
                "attempt {} failed ({}); the next of {} starts after the back-off",
                run.attempt.0, run.reason, run.plan.retry.max_attempts
            );
            vec![reason(ExplanationKind::Backoff, message, Some(until))]
        }
        RunState::Running => vec![reason(ExplanationKind::Running, held_by(run), None)],
        RunState::Cancelling { give_up_time } => {
            let message = format!("it was asked to stop; {}", held_by(run));
            vec![reason(ExplanationKind::Cancelling, message, Some(give_up_time))]
        }
        RunState::Queued { .. } => queued(engine, run),
        RunState::Ended { .. } => Vec::new(),
    }
}

fn held_by(run: &Run) -> String {
    run.held().map_or_else(String::new, |attempt| {
        format!("attempt {} is held by worker {} ({})", attempt.number.0, attempt.worker_name, attempt.worker_id)
    })
}

fn queued(engine: &Engine, run: &Run) -> Vec<Explanation> {
    let mut reasons = Vec::new();
    let state = engine.state();
    let job = state.job(&run.job).expect("a run that is not finished has a job");
    if let Some(pause) = &job.pause {
        let message = format!("the job {} is paused: {}", run.job.job, or_no_note(&pause.note));
        reasons.push(reason(ExplanationKind::JobPaused, message, None));
    }
    let running = state.counts(&run.job).running;
    if let Some(max) = job.spec.max_running.filter(|max| running >= u64::from(*max)) {
        let message = format!("the job {} has {running} runs going, and may have {max}", run.job.job);
        reasons.push(reason(ExplanationKind::ConcurrencyLimit, message, None));
    }
    let processor = &run.plan.processor;
    let (workers, slots, free) = engine.workers.offer(state, &engine.liveness, &run.job.app, processor);
    if workers == 0 {
        let message = format!("no worker of app {} with the processor {processor} is connected", run.job.app);
        reasons.push(reason(ExplanationKind::NoWorker, message, None));
    } else if free == 0 {
        let message = format!("{workers} workers offer {processor}, and all of their {slots} slots are taken");
        reasons.push(reason(ExplanationKind::NoFreeSlot, message, None));
    }
    let ahead = state.ahead_in_queue(run);
    if ahead > 0 {
        let message = format!("{ahead} runs of the job go first");
        reasons.push(reason(ExplanationKind::BehindOthers, message, None));
    }
    if reasons.is_empty() {
        reasons.push(reason(ExplanationKind::AboutToStart, "nothing holds it back".to_owned(), None));
    }
    reasons
}

fn or_no_note(note: &str) -> &str {
    if note.is_empty() { "no reason was given" } else { note }
}

fn reason(kind: ExplanationKind, message: String, until: Option<Timestamp>) -> Explanation {
    Explanation { kind, message, until }
}
