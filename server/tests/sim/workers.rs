//! The workers: they take attempts, beat, fall silent, die, come back, and report late and twice.

use std::collections::BTreeMap;

use semel_core::{
    codec::Payload,
    command::{AttemptRef, Command, Report},
    id::{AppName, AttemptNumber, Millis, ProcessorName, RunId, Timestamp, WorkerId},
    rejection::Rejection,
    run::LogStream,
};
use semel_server::engine::{CancelReason, Hello, Order, Progress, SessionId};

use crate::{
    callers::{Habit, Owner},
    history::{Call, CallNo, Outcome, Who},
    plan::{self, EPOCH, one_in},
    server::ToServer,
    world::{Event, World},
};

type Held = (RunId, AttemptNumber);

/// A place where a worker process runs.
pub(crate) struct SimWorker {
    app: AppName,
    /// Which process.
    id: WorkerId,
    slots: u32,
    link: Option<SessionId>,
    is_paused: bool,
    /// What came while it was paused.
    mailbox: Vec<WorkerEvent>,
    tasks: BTreeMap<Held, Task>,
}

/// An attempt that it holds, or thinks that it holds.
#[derive(Default)]
struct Task {
    report: Option<CallNo>,
}

/// What happens at a worker.
pub(crate) enum WorkerEvent {
    /// It says that it lives.
    Beat,
    /// It dials the server.
    Connect,
    /// An order came on a stream.
    Order(SessionId, Order),
    /// The server said what is no longer its own.
    Stale(SessionId, Vec<Held>),
    /// It has done its work.
    Finish(Held),
    /// It lets go as it was asked to.
    LetGo(Held),
    /// It writes a line.
    Speak(Held),
    /// It ends its stream in good order.
    Leave(SessionId),
    /// It goes on after a pause.
    GoOn,
    /// Something bad happens to it.
    Trouble,
}

impl World {
    pub(crate) fn add_worker(&mut self, app: &str) {
        let worker = SimWorker {
            app: plan::app(app),
            id: WorkerId(plan::mint(&mut self.rng, EPOCH).0),
            slots: self.rng.u32(1..6),
            link: None,
            is_paused: false,
            mailbox: Vec::new(),
            tasks: BTreeMap::new(),
        };
        self.workers.push(worker);
        let index = self.workers.len() - 1;
        for (event, within) in [
            (WorkerEvent::Connect, 20_000),
            (WorkerEvent::Beat, 1_000),
            (WorkerEvent::Trouble, self.weather.worker_trouble_mean),
        ] {
            let delay = self.rng.i64(0..within);
            self.after(delay, Event::Worker(index, event));
        }
    }

    pub(crate) fn worker_event(&mut self, index: usize, event: WorkerEvent) {
        let worker = &mut self.workers[index];
        match event {
            WorkerEvent::Beat => return self.beat(index),
            WorkerEvent::Trouble => return self.worker_trouble(index),
            WorkerEvent::GoOn => return self.go_on(index),
            WorkerEvent::Connect => return self.connect(index),
            event if worker.is_paused => return worker.mailbox.push(event),
            _ => {}
        }
        match event {
            WorkerEvent::Order(session_id, order) if worker.link == Some(session_id) => self.obey(index, order),
            WorkerEvent::Stale(session_id, stale) if worker.link == Some(session_id) => {
                for held in stale {
                    self.drop_task(index, held);
                }
            }
            WorkerEvent::Leave(session_id) if worker.link == Some(session_id) => self.leave(index, session_id),
            WorkerEvent::Finish(held) => self.finish(index, held),
            WorkerEvent::LetGo(held) => self.let_go(index, held),
            WorkerEvent::Speak(held) => self.speak(index, held),
            _ => {}
        }
    }

    fn beat(&mut self, index: usize) {
        let interval = self.weather.options.lease.0 / 3;
        self.after(interval, Event::Worker(index, WorkerEvent::Beat));
        let worker = &self.workers[index];
        if let Some(session_id) = worker.link.filter(|_| !worker.is_paused) {
            self.say(ToServer::Heard(session_id));
        }
    }

    /// Messages on a stream keep their order.
    fn say(&mut self, message: ToServer) {
        self.after(5, Event::Stream(self.server.incarnation(), message));
    }

    fn connect(&mut self, index: usize) {
        let worker = &self.workers[index];
        if worker.link.is_some() {
            return;
        }
        if worker.is_paused || !self.server.is_up() {
            let delay = self.rng.i64(200..5_000);
            return self.after(delay, Event::Worker(index, WorkerEvent::Connect));
        }
        self.stats.sessions += 1;
        let session_id = SessionId(self.stats.sessions);
        let processor = |name: &str| ProcessorName::parse(name).expect("a good name");
        let worker = &mut self.workers[index];
        worker.link = Some(session_id);
        let hello = Hello {
            app: worker.app.clone(),
            worker_id: worker.id,
            worker_name: format!("worker-{index}").into(),
            processors: plan::PROCESSORS.iter().map(|name| processor(name)).collect(),
            slots: worker.slots,
            held: worker.tasks.keys().copied().collect(),
        };
        let unanswered: Vec<CallNo> = worker.tasks.values().filter_map(|task| task.report).collect();
        self.say(ToServer::Open(session_id, index, hello));
        // What was reported and not acknowledged is reported again, under its id.
        for call in unanswered {
            self.send_copy(call);
        }
    }

    fn obey(&mut self, index: usize, order: Order) {
        match order {
            Order::Assign(assignment) => {
                let held = (assignment.run_id, assignment.number);
                self.workers[index].tasks.entry(held).or_default();
                let is_hopeless = !self.is_calm && one_in(&mut self.rng, 20);
                if !is_hopeless {
                    let duration = self.rng.i64(5..60_000);
                    self.after(duration, Event::Worker(index, WorkerEvent::Finish(held)));
                }
                for _ in 0..self.rng.u32(..3) {
                    let delay = self.rng.i64(0..20_000);
                    self.after(delay, Event::Worker(index, WorkerEvent::Speak(held)));
                }
            }
            Order::Cancel { run_id, number, reason: CancelReason::Cancelled } => {
                if !one_in(&mut self.rng, 6) {
                    let delay = self.rng.i64(0..5_000);
                    self.after(delay, Event::Worker(index, WorkerEvent::LetGo((run_id, number))));
                }
            }
            // A worker that does not listen goes on, and reports late.
            Order::Cancel { run_id, number, .. } => {
                if !one_in(&mut self.rng, 4) {
                    self.drop_task(index, (run_id, number));
                }
            }
            Order::Replaced => {}
        }
    }

    fn drop_task(&mut self, index: usize, held: Held) {
        // What it has reported already it goes on reporting, until it is told what became of it.
        if self.workers[index].tasks.get(&held).is_some_and(|task| task.report.is_none()) {
            self.workers[index].tasks.remove(&held);
        }
    }

    fn finish(&mut self, index: usize, held: Held) {
        let report = match self.rng.u32(..20) {
            _ if self.is_calm => Report::Succeeded { result: None },
            0..12 => {
                let result = self.rng.bool().then(|| plan::payload(&mut self.rng));
                Report::Succeeded { result }
            }
            12..17 => Report::Failed {
                error: "it did not work".to_owned(),
                permanent: one_in(&mut self.rng, 8),
                retry_after: one_in(&mut self.rng, 4).then(|| Millis(self.rng.i64(0..60_000))),
            },
            17 => Report::Cancelled,
            _ => Report::Released { reason: "it is not for me".to_owned() },
        };
        self.report(index, held, report);
    }

    fn let_go(&mut self, index: usize, held: Held) {
        let is_released = one_in(&mut self.rng, 4);
        let report = if is_released { Report::Released { reason: String::new() } } else { Report::Cancelled };
        self.report(index, held, report);
    }

    fn report(&mut self, index: usize, held: Held, report: Report) {
        if self.workers[index].tasks.get(&held).is_none_or(|task| task.report.is_some()) {
            return;
        }
        let call = self.say_of_attempt(index, held, true, |attempt| Command::ReportAttempt { attempt, report });
        self.workers[index].tasks.insert(held, Task { report: Some(call) });
        match self.rng.u32(..12) {
            0 | 1 => self.send_copy(call),
            // A faulty worker changes its mind: at most one of the two reports may be taken.
            2 if !self.is_calm => {
                let second = Report::Succeeded { result: Some(Payload::default()) };
                self.say_of_attempt(index, held, false, |attempt| Command::ReportAttempt { attempt, report: second });
            }
            _ => {}
        }
    }

    fn speak(&mut self, index: usize, held: Held) {
        if !self.workers[index].tasks.contains_key(&held) {
            return;
        }
        if let (Some(session_id), true) = (self.workers[index].link, self.rng.bool()) {
            let progress = Progress {
                attempt: held.1,
                fraction: 0.5,
                message: "half way".to_owned(),
                time: Timestamp(EPOCH + self.now),
            };
            return self.say(ToServer::Progress(session_id, held.0, progress));
        }
        let data = vec![b'.'; self.rng.usize(1..100)].into();
        let stream = LogStream::Stdout;
        self.say_of_attempt(index, held, false, |attempt| Command::AppendLog { attempt, stream, data });
    }

    fn say_of_attempt(
        &mut self,
        index: usize,
        (run_id, number): Held,
        is_report: bool,
        command: impl FnOnce(AttemptRef) -> Command,
    ) -> CallNo {
        let worker = &self.workers[index];
        let attempt = AttemptRef { app: worker.app.clone(), worker_id: worker.id, run_id, number };
        let who = Who::App(worker.app.clone());
        let id = self.mint();
        let owner = Owner::Worker { worker: index, run_id, number, is_report };
        let call = self.add_call(Call::new(id, who, command(attempt)), owner, Habit::Patient);
        self.after(0, Event::Send(call));
        call
    }

    /// What became of a report is known: the attempt is no longer its concern.
    pub(crate) fn report_answered(&mut self, index: usize, run_id: RunId, number: AttemptNumber, outcome: &Outcome) {
        let held = (run_id, number);
        self.workers[index].tasks.remove(&held);
        // It could not say it in time, or its clock was wrong. It is fenced, so it may say it anew.
        if let Some(Rejection::RequestIdExpired { .. } | Rejection::RequestIdInFuture { .. }) = outcome.rejection() {
            self.workers[index].tasks.insert(held, Task::default());
            self.after(1_000, Event::Worker(index, WorkerEvent::Finish(held)));
        }
    }

    fn go_on(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.is_paused = false;
        for event in std::mem::take(&mut worker.mailbox) {
            self.worker_event(index, event);
        }
    }

    /// Something bad happens, and the next bad thing is arranged.
    fn worker_trouble(&mut self, index: usize) {
        if self.is_calm {
            return;
        }
        let next = self.rng.i64(0..2 * self.weather.worker_trouble_mean);
        self.after(next, Event::Worker(index, WorkerEvent::Trouble));
        let worker = &self.workers[index];
        let Some(session_id) = worker.link.filter(|_| !worker.is_paused) else { return };
        match self.rng.u32(..8) {
            0..3 => {
                let lease = self.weather.options.lease.0;
                let pause = self.rng.i64(lease / 4..lease * 5);
                self.note(format!("worker {index} is paused for {pause} ms"));
                self.workers[index].is_paused = true;
                self.after(pause, Event::Worker(index, WorkerEvent::GoOn));
            }
            3..5 => self.break_link(index, session_id),
            5 => self.worker_dies(index, session_id),
            6 => {
                let slots = self.rng.u32(0..6);
                // Nobody without slots for ever.
                self.workers[index].slots = slots.max(1);
                self.say(ToServer::Credit(session_id, slots.max(1)));
            }
            _ => self.drain(index, session_id),
        }
    }

    /// The server does not notice at once, and the worker may be back before it does.
    fn break_link(&mut self, index: usize, session_id: SessionId) {
        self.note(format!("the stream of worker {index} breaks"));
        self.workers[index].link = None;
        let notices = self.rng.i64(0..40_000);
        self.after(notices, Event::Stream(self.server.incarnation(), ToServer::Close(session_id)));
        let returns = self.rng.i64(0..2 * self.weather.options.lease.0);
        self.after(returns, Event::Worker(index, WorkerEvent::Connect));
    }

    fn worker_dies(&mut self, index: usize, session_id: SessionId) {
        self.note(format!("worker {index} dies; another process takes its place"));
        self.break_link(index, session_id);
        let id = WorkerId(plan::mint(&mut self.rng, EPOCH + self.now).0);
        let worker = &mut self.workers[index];
        worker.id = id;
        worker.tasks.clear();
        // Nobody is left who would send these again.
        for call in &mut self.calls {
            if matches!(call.owner, Owner::Worker { worker, .. } if worker == index) {
                call.is_done = true;
            }
        }
    }

    /// It gives back what it has, stays a while, and leaves.
    fn drain(&mut self, index: usize, session_id: SessionId) {
        self.note(format!("worker {index} drains"));
        self.say(ToServer::Drain(session_id));
        let held: Vec<Held> = self.workers[index].tasks.keys().copied().collect();
        for held in held {
            self.report(index, held, Report::Released { reason: "I stop".to_owned() });
        }
        let stays = self.rng.i64(50..20_000);
        self.after(stays, Event::Worker(index, WorkerEvent::Leave(session_id)));
    }

    fn leave(&mut self, index: usize, session_id: SessionId) {
        self.workers[index].link = None;
        self.say(ToServer::Close(session_id));
        let delay = self.rng.i64(0..60_000);
        self.after(delay, Event::Worker(index, WorkerEvent::Connect));
    }

    /// The server is gone; workers notice sooner or later.
    pub(crate) fn links_break(&mut self) {
        for index in 0..self.workers.len() {
            if self.workers[index].link.take().is_some() {
                let delay = self.rng.i64(0..5_000);
                self.after(delay, Event::Worker(index, WorkerEvent::Connect));
            }
        }
    }

    /// What hangs is done soon, and nobody pauses any more.
    pub(crate) fn calm_workers(&mut self) {
        for index in 0..self.workers.len() {
            self.go_on(index);
            let held: Vec<Held> = self.workers[index].tasks.keys().copied().collect();
            for held in held {
                self.after(60_000, Event::Worker(index, WorkerEvent::Finish(held)));
            }
        }
    }
}
