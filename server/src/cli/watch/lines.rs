//! A line for each thing that happened: when, of which app and job, which run, from which state to which, and why. The
//! columns grow with what comes, so that lines stand below each other without knowing what follows.

use std::fmt::Write as _;

use semel_client::watch::{Item, SnapshotCause, Told};
use semel_proto::v1::{Attempt, Event, Job, JobEvent, Run, RunEvent, TriggerEvent, Worker, event::Subject};
use unicode_width::UnicodeWidthStr as _;

use crate::cli::{
    failure::Failure,
    out,
    show::{event_kind, event_words, item_json, run_state, time_cell, worker_state},
};

/// A column does not grow beyond this for one long name.
const WIDTH_MAX: usize = 40;

/// Writes items to standard output, and what is said about the watch itself to standard error.
pub(super) struct Lines {
    json: bool,
    has_opened: bool,
    widths: [usize; 5],
}

/// One line, in cells: when, of what, which, from where to where, which attempt by whom, and why.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cells {
    aligned: [String; 5],
    rest: String,
}

/// Where an item is shown.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Line(Cells),
    Note(String),
    Nothing,
}

impl Lines {
    pub(super) fn new(json: bool) -> Self {
        // An id, a time and most transitions are as wide as this.
        Self { json, has_opened: false, widths: [20, 8, 36, 20, 2] }
    }

    pub(super) fn write(&mut self, item: &Item) -> Result<(), Failure> {
        if self.json {
            return out::json_line(&item_json(item));
        }
        match self.shown(&item.told) {
            Shown::Line(cells) => out::text(&self.aligned(&cells)),
            Shown::Note(note) => {
                out::note(&note);
                Ok(())
            }
            Shown::Nothing => Ok(()),
        }
    }

    fn shown(&mut self, told: &Told) -> Shown {
        match told {
            Told::Event(event) => Shown::Line(of_event(event)),
            Told::Run(run) => Shown::Line(of_run(run)),
            Told::Job(job) => Shown::Line(of_job(job)),
            Told::Worker(worker) => Shown::Line(of_worker("", worker)),
            Told::Opened { revision, .. } => {
                let again = std::mem::replace(&mut self.has_opened, true);
                let words = if again { "connected again, nothing was missed".to_owned() } else { watching(*revision) };
                Shown::Note(words)
            }
            Told::SnapshotBegin(cause) => began(*cause),
            Told::SnapshotEnd { revision } => {
                Shown::Note(format!("so things stand at revision {revision}; what follows has happened since"))
            }
            Told::CredentialsExpiring { expire_time } => Shown::Note(format!(
                "the credentials end {}; the watch ends with them: give a secret, or start again with a fresh token and \
                 --from",
                time_cell(expire_time.as_ref())
            )),
            Told::Lost(error) => Shown::Note(format!("lost the server, trying again: {}", out::cell(error.message()))),
            _ => Shown::Nothing,
        }
    }

    fn aligned(&mut self, cells: &Cells) -> String {
        let mut line = String::new();
        for (cell, width) in cells.aligned.iter().zip(&mut self.widths) {
            *width = (*width).max(cell.width().min(WIDTH_MAX));
            let fill = width.saturating_sub(cell.width());
            _ = write!(line, "{cell}{:fill$}  ", "");
        }
        line.push_str(&cells.rest);
        line.truncate(line.trim_end().len());
        line
    }
}

fn watching(revision: i64) -> String {
    format!("watching what happens after revision {revision}; Ctrl-C ends it and says where to go on")
}

fn began(cause: SnapshotCause) -> Shown {
    match cause {
        SnapshotCause::Asked => Shown::Nothing,
        SnapshotCause::BrokenOff => {
            Shown::Note("that broke off; how things stand, once more from the start:".to_owned())
        }
        _ => Shown::Note("what happened next is no longer kept; how things stand instead:".to_owned()),
    }
}

fn of_event(event: &Event) -> Cells {
    let mut cells = match &event.subject {
        Some(Subject::Run(run)) => of_run_event(&event.app, run),
        Some(Subject::Job(job)) => of_job_event(event, job),
        Some(Subject::Worker(worker)) => of_worker(&event.app, worker),
        Some(Subject::Trigger(trigger)) => of_trigger(event, trigger),
        None => Cells {
            aligned: [String::new(), out::cell(&event.app), String::new(), event_kind(event.kind), String::new()],
            rest: String::new(),
        },
    };
    cells.aligned[0] = time_cell(event.time.as_ref());
    cells
}

fn of_run_event(app: &str, run: &RunEvent) -> Cells {
    let from = if run.from_state == 0 { "NEW".to_owned() } else { run_state(run.from_state) };
    let (attempt, worker) = run.attempt.as_ref().map(attempt_cells).unwrap_or_default();
    let aligned = [
        String::new(),
        of(app, &run.job),
        out::cell(&run.run_id),
        format!("{from} -> {}", run_state(run.to_state)),
        attempt,
    ];
    Cells { aligned, rest: joined(&[&worker, &out::cell(&run.reason)]) }
}

fn of_run(run: &Run) -> Cells {
    let (attempt, worker) = run.attempts.last().map(attempt_cells).unwrap_or_default();
    let at = run.end_time.as_ref().or(run.create_time.as_ref());
    let aligned = [time_cell(at), of(&run.app, &run.job), out::cell(&run.run_id), run_state(run.state), attempt];
    Cells { aligned, rest: joined(&[&worker, &out::cell(&run.reason)]) }
}

fn of_job_event(event: &Event, job: &JobEvent) -> Cells {
    let kind = event_kind(event.kind);
    let done = kind.strip_prefix("JOB_").unwrap_or(&kind).to_owned();
    let note = if job.paused { out::cell(&job.pause_note) } else { String::new() };
    let aligned = [String::new(), of(&event.app, &job.job), "job".to_owned(), done, String::new()];
    Cells { aligned, rest: joined(&[&by(&event.principal), &note]) }
}

fn of_trigger(event: &Event, trigger: &TriggerEvent) -> Cells {
    let (what, rest) = event_words(&event_kind(event.kind), trigger);
    let which = format!("trigger {}", out::cell(&trigger.trigger));
    let aligned = [String::new(), of(&event.app, &trigger.job), which, what, String::new()];
    Cells { aligned, rest: joined(&[&by(&event.principal), &rest]) }
}

fn of_job(job: &Job) -> Cells {
    let state = if job.paused { "PAUSED" } else { "ACTIVE" };
    let at = job.update_time.as_ref().or(job.create_time.as_ref());
    let aligned = [time_cell(at), of(&job.app, &job.name), "job".to_owned(), state.to_owned(), String::new()];
    Cells { aligned, rest: String::new() }
}

fn of_worker(app: &str, worker: &Worker) -> Cells {
    let app = if worker.app.is_empty() { app } else { &worker.app };
    let name = if worker.worker_name.is_empty() { &worker.worker_id } else { &worker.worker_name };
    let slots = if worker.slots > 0 { format!("{} slots", worker.slots) } else { String::new() };
    let aligned = [
        String::new(),
        out::cell(app),
        format!("worker {}", out::cell(name)),
        worker_state(worker.state),
        String::new(),
    ];
    Cells { aligned, rest: joined(&[&slots, &out::cell(&worker.processors.join(","))]) }
}

/// The number of an attempt, and who has it.
fn attempt_cells(attempt: &Attempt) -> (String, String) {
    let worker = if attempt.worker_name.is_empty() { &attempt.worker_id } else { &attempt.worker_name };
    (format!("#{}", attempt.attempt), by(worker))
}

fn by(who: &str) -> String {
    if who.is_empty() { String::new() } else { format!("by {}", out::cell(who)) }
}

/// App and job; a job's name has no slash, so the last part is it.
fn of(app: &str, job: &str) -> String {
    out::cell(&format!("{app}/{job}"))
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use semel_proto::v1::{EventKind, RunState, WorkerState};

    use super::*;
    use crate::cli::parse;

    const RUN: &str = "01980000-0000-7000-8000-000000000000";

    fn run_event(from: RunState, to: RunState) -> RunEvent {
        let (from_state, to_state) = (from.into(), to.into());
        RunEvent { run_id: RUN.to_owned(), job: "settle".to_owned(), from_state, to_state, ..RunEvent::default() }
    }

    fn event(subject: Subject) -> Told {
        let time = parse::time("2026-01-31T08:00:00.25Z").ok().map(Into::into);
        Told::Event(Box::new(Event { app: "pay".to_owned(), time, subject: Some(subject), ..Event::default() }))
    }

    fn line(lines: &mut Lines, told: &Told) -> String {
        match lines.shown(told) {
            Shown::Line(cells) => lines.aligned(&cells),
            other => panic!("a line was to come, not {other:?}"),
        }
    }

    #[test]
    fn a_line_says_what_happened_and_lines_stand_below_each_other() {
        let mut lines = Lines::new(false);
        let made = event(Subject::Run(run_event(RunState::Unspecified, RunState::Queued)));
        let attempt = Attempt { attempt: 2, worker_name: "host-1".to_owned(), ..Attempt::default() };
        let failed = RunEvent {
            attempt: Some(attempt),
            reason: "exit code 3\nand more".to_owned(),
            ..run_event(RunState::Running, RunState::Failed)
        };
        assert_eq!(
            line(&mut lines, &made),
            "2026-01-31T08:00:00Z  pay/settle  01980000-0000-7000-8000-000000000000  NEW -> QUEUED"
        );
        assert_eq!(
            line(&mut lines, &event(Subject::Run(failed))),
            "2026-01-31T08:00:00Z  pay/settle  01980000-0000-7000-8000-000000000000  RUNNING -> FAILED     #2  by host-1: \
             exit code 3 and more"
        );
    }

    #[test]
    fn a_column_grows_with_what_comes_but_not_without_end() {
        let mut lines = Lines::new(false);
        let long = RunEvent { job: "j".repeat(60), ..run_event(RunState::Queued, RunState::Running) };
        line(&mut lines, &event(Subject::Run(long)));
        assert_eq!(lines.widths[1], WIDTH_MAX);
        let short = line(&mut lines, &event(Subject::Run(run_event(RunState::Queued, RunState::Running))));
        assert_eq!(short.find(RUN), Some(20 + 2 + WIDTH_MAX + 2));
    }

    #[test]
    fn jobs_workers_and_what_is_not_known_have_lines_as_well() {
        let mut lines = Lines::new(false);
        let mut shown = |kind: i32, subject| {
            let event =
                Event { kind, app: "pay".to_owned(), principal: "app:ops".to_owned(), subject, ..Event::default() };
            let text = line(&mut lines, &Told::Event(Box::new(event)));
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let job = JobEvent {
            job: "settle".to_owned(),
            paused: true,
            pause_note: "month end".to_owned(),
            ..JobEvent::default()
        };
        assert_eq!(
            shown(EventKind::JobPaused.into(), Some(Subject::Job(job))),
            "pay/settle job PAUSED by app:ops: month end"
        );
        let worker = Worker {
            worker_name: "host-1".to_owned(),
            state: WorkerState::Connected.into(),
            processors: vec!["exec".to_owned(), "http".to_owned()],
            slots: 8,
            ..Worker::default()
        };
        assert_eq!(
            shown(EventKind::WorkerConnected.into(), Some(Subject::Worker(worker))),
            "pay worker host-1 CONNECTED 8 slots: exec,http"
        );
        assert_eq!(shown(999, None), "pay 999");
    }

    #[test]
    fn what_is_said_of_the_watch_itself_is_no_line() {
        let mut lines = Lines::new(false);
        let opened = Told::Opened { revision: 7, oldest_revision: 1 };
        assert!(matches!(lines.shown(&opened), Shown::Note(note) if note.contains("revision 7")));
        assert!(matches!(lines.shown(&opened), Shown::Note(note) if note.contains("again")));
        assert_eq!(lines.shown(&Told::Progress { revision: 7 }), Shown::Nothing);
        assert_eq!(lines.shown(&Told::SnapshotBegin(SnapshotCause::Asked)), Shown::Nothing);
        assert!(matches!(lines.shown(&Told::SnapshotBegin(SnapshotCause::BrokenOff)), Shown::Note(_)));
    }
}
