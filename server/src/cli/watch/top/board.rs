//! How things stand, as a watch tells it: counts by state, and the rows that may be shown. Pure, and bounded however many
//! runs there are: those that have no row are counted all the same.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use semel_client::watch::Told;
use semel_proto::v1::{Attempt, Event, EventKind, Run, RunEvent, RunState, Worker, WorkerState, event::Subject};

use super::rates::{Rates, What};

/// Rows that are kept of runs which a worker holds, and as many of those that wait.
const LIVE_ROWS_MAX: usize = 10_000;
/// Rows that are kept of runs that have ended.
const ENDED_ROWS_MAX: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Runs by state; of those that have ended, the ones that did so since this began.
    counts: BTreeMap<i32, u64>,
    /// How many runs that have not ended are counted and have no row.
    hidden: u64,
    /// By id, and so by age.
    pub(super) active: BTreeMap<String, Row>,
    pub(super) waiting: BTreeMap<String, Row>,
    /// The last one first.
    pub(super) ended: VecDeque<Row>,
    /// The slots of the workers that are connected.
    workers: BTreeMap<String, u64>,
    pub(super) rates: Rates,
    pub(super) revision: i64,
    pub(super) link: Link,
}

/// How the watch itself stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// The rows are still coming.
    #[default]
    Reading,
    /// All is told as it happens.
    Live,
    /// The server is away.
    Lost(String),
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) run_id: String,
    /// App and job.
    pub(super) job: String,
    pub(super) state: i32,
    /// The number of its last attempt; 0 for none.
    pub(super) attempt: i64,
    pub(super) worker: String,
    pub(super) created: Option<SystemTime>,
    pub(super) started: Option<SystemTime>,
    pub(super) ended: Option<SystemTime>,
    pub(super) reason: String,
}

impl Board {
    /// Takes what the watch tells.
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Opened { revision, .. } => {
                self.revision = self.revision.max(revision);
                self.link = if self.link == Link::Reading { Link::Reading } else { Link::Live };
            }
            Told::SnapshotBegin(_) => self.begin(),
            Told::Run(run) => self.put_run(&run),
            Told::Worker(worker) => self.put_worker(&worker),
            Told::SnapshotEnd { revision } | Told::Progress { revision } => {
                (self.revision, self.link) = (revision, Link::Live);
            }
            Told::Event(event) => self.put_event(*event),
            Told::Lost(error) => self.link = Link::Lost(error.message().to_owned()),
            _ => {}
        }
    }

    /// How many runs are in this state; of a state that binds, how many came into it since this began.
    pub(super) fn count(&self, state: RunState) -> u64 {
        self.counts.get(&state.into()).copied().unwrap_or_default()
    }

    /// How many workers there are, and how many slots they have.
    pub(super) fn workers(&self) -> (usize, u64) {
        (self.workers.len(), self.workers.values().sum())
    }

    /// What is told next is how things stand.
    fn begin(&mut self) {
        self.counts.retain(|state, _| is_end(*state));
        self.active.clear();
        self.waiting.clear();
        self.workers.clear();
        self.hidden = 0;
        self.link = Link::Reading;
    }

    fn put_run(&mut self, run: &Run) {
        *self.counts.entry(run.state).or_default() += 1;
        let mut row = Row {
            run_id: run.run_id.clone(),
            job: format!("{}/{}", run.app, run.job),
            state: run.state,
            created: moment(run.create_time),
            ended: moment(run.end_time),
            reason: run.reason.clone(),
            ..Row::default()
        };
        if let Some(attempt) = run.attempts.last() {
            row.try_by(attempt);
        }
        self.put(row);
    }

    fn put_event(&mut self, event: Event) {
        self.revision = event.revision;
        let at = moment(event.time);
        match event.subject {
            Some(Subject::Run(run)) => self.put_run_event(&event.app, run, at),
            Some(Subject::Worker(worker)) => self.put_worker(&worker),
            _ if event.kind == i32::from(EventKind::WorkersReset) => self.workers.clear(),
            _ => {}
        }
    }

    fn put_run_event(&mut self, app: &str, run: RunEvent, at: Option<SystemTime>) {
        let known = self.active.remove(&run.run_id).or_else(|| self.waiting.remove(&run.run_id));
        self.leave(&run, known.as_ref());
        *self.counts.entry(run.to_state).or_default() += 1;
        let what = match RunState::try_from(run.to_state) {
            _ if run.from_state == 0 => Some(What::Made),
            Ok(RunState::Running) => Some(What::Started),
            _ if is_end(run.to_state) => Some(What::Ended),
            _ => None,
        };
        if let (Some(what), Some(at)) = (what, at) {
            self.rates.count(what, at);
        }
        let mut row = Row {
            state: run.to_state,
            job: format!("{app}/{}", run.job),
            created: moment(run.create_time),
            ended: moment(run.end_time),
            reason: run.reason,
            run_id: run.run_id,
            ..known.unwrap_or_default()
        };
        if let Some(attempt) = &run.attempt {
            row.try_by(attempt);
        }
        self.put(row);
    }

    /// A run is no longer counted where it was. One that nobody has told of was not counted: a run that changes while a
    /// snapshot is read is not in it, and comes with its events.
    fn leave(&mut self, run: &RunEvent, known: Option<&Row>) {
        let from = match known {
            Some(row) => row.state,
            None if run.from_state != 0 && self.hidden > 0 => {
                self.hidden -= 1;
                run.from_state
            }
            None => return,
        };
        if let Some(count) = self.counts.get_mut(&from) {
            *count = count.saturating_sub(1);
        }
    }

    /// Puts a row where it belongs. Where there is no room, the one that has waited for the shortest time goes.
    fn put(&mut self, row: Row) {
        if is_end(row.state) {
            self.ended.push_front(row);
            self.ended.truncate(ENDED_ROWS_MAX);
            return;
        }
        let rows = if row.is_active() { &mut self.active } else { &mut self.waiting };
        rows.insert(row.run_id.clone(), row);
        if rows.len() > LIVE_ROWS_MAX {
            rows.pop_last();
            self.hidden += 1;
        }
    }

    fn put_worker(&mut self, worker: &Worker) {
        match worker.state() {
            WorkerState::Connected | WorkerState::Draining => {
                let slots = u64::try_from(worker.slots).unwrap_or_default();
                self.workers.insert(worker.worker_id.clone(), slots);
            }
            WorkerState::Disconnected | WorkerState::Lost => drop(self.workers.remove(&worker.worker_id)),
            WorkerState::Unspecified => {}
        }
    }
}

impl Row {
    /// Whether a worker holds it.
    pub(super) fn is_active(&self) -> bool {
        [RunState::Running.into(), RunState::Cancelling.into()].contains(&self.state)
    }

    fn try_by(&mut self, attempt: &Attempt) {
        let worker = if attempt.worker_name.is_empty() { &attempt.worker_id } else { &attempt.worker_name };
        self.attempt = attempt.attempt;
        self.worker.clone_from(worker);
        self.started = moment(attempt.start_time);
    }
}

/// Whether a run never leaves this state.
pub(super) fn is_end(state: i32) -> bool {
    let ends = [RunState::Succeeded, RunState::Failed, RunState::Cancelled, RunState::Expired];
    ends.iter().any(|end| i32::from(*end) == state)
}

fn moment<T>(time: Option<T>) -> Option<SystemTime>
where
    SystemTime: TryFrom<T>,
{
    time.and_then(|time| SystemTime::try_from(time).ok())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use semel_client::watch::SnapshotCause;

    use super::*;

    pub(crate) fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A run passes from one state to another.
    pub(crate) fn step(board: &mut Board, run_id: &str, from: RunState, to: RunState, second: u64) {
        let attempt = Attempt {
            attempt: 1,
            worker_name: "host-1".to_owned(),
            start_time: Some(at(second).into()),
            ..Attempt::default()
        };
        let run = RunEvent {
            run_id: run_id.to_owned(),
            job: "settle".to_owned(),
            from_state: from.into(),
            to_state: to.into(),
            attempt: (to == RunState::Running).then_some(attempt),
            create_time: Some(at(100).into()),
            end_time: is_end(to.into()).then(|| at(second).into()),
            ..RunEvent::default()
        };
        let subject = Some(Subject::Run(run));
        let event =
            Event { revision: 7, app: "pay".to_owned(), time: Some(at(second).into()), subject, ..Event::default() };
        board.hear(Told::Event(Box::new(event)));
    }

    fn row_of_snapshot(board: &mut Board, run_id: &str, state: RunState) {
        let run = Run { run_id: run_id.to_owned(), state: state.into(), ..Run::default() };
        board.hear(Told::Run(Box::new(run)));
    }

    #[test]
    fn counts_and_rows_follow_what_is_told() {
        let mut board = Board::default();
        board.hear(Told::SnapshotBegin(SnapshotCause::Asked));
        row_of_snapshot(&mut board, "a", RunState::Queued);
        board.hear(Told::SnapshotEnd { revision: 5 });
        assert_eq!((board.count(RunState::Queued), &board.link), (1, &Link::Live));
        step(&mut board, "b", RunState::Unspecified, RunState::Queued, 101);
        step(&mut board, "a", RunState::Queued, RunState::Running, 102);
        assert_eq!((board.count(RunState::Queued), board.count(RunState::Running)), (1, 1));
        let row = &board.active["a"];
        assert_eq!((row.worker.as_str(), row.attempt, row.started), ("host-1", 1, Some(at(102))));
        step(&mut board, "a", RunState::Running, RunState::Succeeded, 109);
        assert_eq!((board.count(RunState::Running), board.count(RunState::Succeeded)), (0, 1));
        assert!(
            board.active.is_empty() && board.ended[0].worker == "host-1" && board.ended[0].started == Some(at(102))
        );
        assert_eq!((board.rates.rate(What::Made, at(105)), board.rates.rate(What::Started, at(105))), (0.1, 0.1));
    }

    #[test]
    fn a_snapshot_that_begins_again_counts_nothing_twice() {
        let mut board = Board::default();
        step(&mut board, "z", RunState::Running, RunState::Failed, 100);
        for cause in [SnapshotCause::Asked, SnapshotCause::BrokenOff] {
            board.hear(Told::SnapshotBegin(cause));
            row_of_snapshot(&mut board, "a", RunState::Running);
        }
        assert_eq!((board.count(RunState::Running), board.active.len()), (1, 1));
        assert_eq!(board.count(RunState::Failed), 1, "what has ended since the start has ended");
    }

    #[test]
    fn a_run_that_changed_while_the_snapshot_was_read_is_counted_once() {
        let mut board = Board::default();
        board.hear(Told::SnapshotBegin(SnapshotCause::Asked));
        row_of_snapshot(&mut board, "a", RunState::Queued);
        board.hear(Told::SnapshotEnd { revision: 5 });
        step(&mut board, "b", RunState::Queued, RunState::Running, 101);
        assert_eq!((board.count(RunState::Queued), board.count(RunState::Running)), (1, 1));
    }

    #[test]
    fn workers_come_and_go() {
        let mut board = Board::default();
        let worker = |id: &str, state: WorkerState| {
            Told::Worker(Box::new(Worker {
                worker_id: id.to_owned(),
                state: state.into(),
                slots: 4,
                ..Worker::default()
            }))
        };
        board.hear(worker("a", WorkerState::Connected));
        board.hear(worker("b", WorkerState::Connected));
        assert_eq!(board.workers(), (2, 8));
        board.hear(worker("a", WorkerState::Disconnected));
        assert_eq!(board.workers(), (1, 4));
        let reset = Event { kind: EventKind::WorkersReset.into(), ..Event::default() };
        board.hear(Told::Event(Box::new(reset)));
        assert_eq!(board.workers(), (0, 0));
    }

    #[test]
    fn it_is_bounded_and_counts_what_has_no_row() {
        let mut board = Board::default();
        let all = LIVE_ROWS_MAX + 10;
        // The newest first, as a snapshot tells them.
        for number in (0..all).rev() {
            row_of_snapshot(&mut board, &format!("{number:06}"), RunState::Queued);
        }
        assert_eq!((board.waiting.len(), board.count(RunState::Queued)), (LIVE_ROWS_MAX, all as u64));
        assert!(board.waiting.contains_key("000000"), "those that have waited longest are kept");
        step(&mut board, &format!("{:06}", all - 1), RunState::Queued, RunState::Running, 1);
        assert_eq!((board.active.len(), board.count(RunState::Queued)), (1, all as u64 - 1));
        for number in 0..ENDED_ROWS_MAX + 10 {
            step(&mut board, &number.to_string(), RunState::Running, RunState::Succeeded, 1);
        }
        assert_eq!(board.ended.len(), ENDED_ROWS_MAX);
    }
}
