//! The simulated world: its time, what is to happen next in it, and its end. One seed makes one world; nothing in it
//! asks for the time, for randomness or for a thread from outside.

use std::collections::BTreeMap;

use fastrand::Rng;
use semel_core::{
    command::Command,
    id::{AppName, Millis, RequestId, RunId, Timestamp},
};

use crate::{
    callers::{CallState, Habit, Owner},
    checker::{self, Rule, Violation},
    disk::{Breakage, Disk},
    history::{ArrivalNo, Call, CallNo, Entry, History, Outcome, Who},
    plan::{self, EPOCH, Weather},
    server::{Server, ToServer},
    stats::Stats,
    workers::{SimWorker, WorkerEvent},
};

/// Something that is to happen.
pub(crate) enum Event {
    /// A caller comes with a wish.
    NewCall,
    /// A caller sends its call, for the first time or again.
    Send(CallNo),
    /// A proxy, or a caller that does not know better, sends a copy.
    Copy(CallNo),
    /// A caller has waited long enough for the answer to its so-many-th try.
    Timeout(CallNo, u32),
    /// A copy reaches the server.
    Arrive(ArrivalNo),
    /// An answer reaches its caller.
    Hear(ArrivalNo, Timestamp, Box<Outcome>),
    /// A worker's word reaches the server that had this incarnation when it was sent.
    Stream(u32, ToServer),
    /// The server takes what has come in.
    Step,
    /// The server wakes up by itself, unless it has stepped since.
    Wake(u64),
    /// Something bad happens to the server.
    Trouble,
    /// The server comes back.
    Restart,
    /// Something happens at a worker.
    Worker(usize, WorkerEvent),
    /// Somebody looks at a run.
    Read(RunId),
    /// The weather gets calm.
    Calm,
    /// The operator tidies up once it is calm.
    Tidy,
}

/// See the module.
pub(crate) struct World {
    pub(crate) rng: Rng,
    /// Milliseconds since the start, by the true clock.
    pub(crate) now: i64,
    pub(crate) weather: Weather,
    pub(crate) history: History,
    pub(crate) calls: Vec<CallState>,
    pub(crate) disk: Disk,
    pub(crate) server: Server,
    pub(crate) workers: Vec<SimWorker>,
    /// Runs that callers know of.
    pub(crate) known_runs: Vec<(AppName, RunId)>,
    /// By how much the server's clock seems to be ahead, to whoever corrects a clock by the server's.
    pub(crate) offset_seen: i64,
    pub(crate) is_calm: bool,
    /// Copies that are still on their way.
    pub(crate) copies_due: usize,
    pub(crate) violations: Vec<Violation>,
    pub(crate) stats: Stats,
    queue: BTreeMap<(i64, u64), Event>,
    scheduled: u64,
    is_over: bool,
}

/// What came of a world.
pub(crate) struct Outcomes {
    pub(crate) history: History,
    pub(crate) violations: Vec<Violation>,
    pub(crate) stats: Stats,
}

/// Lives through the world of a seed and checks what was seen in it.
pub(crate) fn live(seed: u64, breakage: Breakage) -> Outcomes {
    let mut world = World::new(seed, breakage);
    world.begin();
    world.pass();
    let mut violations = world.violations;
    let reader = world.disk.reader();
    let options = &world.weather.options;
    // The time that the server shows may go back when it crashes and its clock is set back: by as long as it had
    // committed nothing, and it commits once in an expiry interval at least.
    let is_clock_set = world.weather.clock_step > 0.0;
    let slack = if is_clock_set { Millis(options.retention.interval.0 + 2_000) } else { Millis(0) };
    let archive = world.disk.archive();
    let standings = world.server.standings();
    let checked = checker::check(&world.history, reader.as_ref(), &archive, options, slack, &standings);
    let (broken, effects) = checked;
    violations.extend(broken);
    let forgotten = archive.runs.keys().filter(|id| matches!(reader.run(**id), Ok(None))).count();
    let stats =
        Stats { forgotten_runs: forgotten as u64, fired: effects.fired, skipped: effects.skipped, ..world.stats };
    Outcomes { history: world.history, violations, stats }
}

impl World {
    fn new(seed: u64, breakage: Breakage) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::draw(&mut rng);
        Self {
            rng,
            now: 0,
            weather,
            history: History::default(),
            calls: Vec::new(),
            disk: Disk::new(breakage),
            server: Server::default(),
            workers: Vec::new(),
            known_runs: Vec::new(),
            offset_seen: 0,
            is_calm: false,
            copies_due: 0,
            violations: Vec::new(),
            stats: Stats::default(),
            queue: BTreeMap::new(),
            scheduled: 0,
            is_over: false,
        }
    }

    pub(crate) fn after(&mut self, millis: i64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((self.now + millis.max(0), self.scheduled), event);
    }

    /// An id of somebody who corrects a clock by the server's, as the client library does.
    pub(crate) fn mint(&mut self) -> RequestId {
        plan::mint(&mut self.rng, EPOCH + self.now + self.offset_seen)
    }

    pub(crate) fn note(&mut self, text: String) {
        self.history.lines.push((self.now, Entry::Note(text)));
    }

    pub(crate) fn violation(&mut self, rule: Rule, what: String) {
        self.note(format!("VIOLATION of {rule:?}: {what}"));
        self.violations.push(Violation { rule, what });
    }

    /// The operator's first wishes, the workers, and the times at which all else comes.
    fn begin(&mut self) {
        self.note(format!("{:?}", self.weather));
        self.after(0, Event::Restart);
        for (nr, name) in plan::APPS.iter().chain([&plan::GUEST]).enumerate() {
            let id = plan::mint(&mut self.rng, EPOCH);
            let call =
                self.add_call(Call::new(id, Who::Admin, plan::create_app(name, id)), Owner::Caller, Habit::Patient);
            self.after(10 + nr as i64, Event::Send(call));
        }
        for key in plan::all_jobs() {
            let id = plan::mint(&mut self.rng, EPOCH);
            let command = plan::create_job(&mut self.rng, key);
            let call = self.add_call(Call::new(id, Who::Admin, command), Owner::Caller, Habit::Patient);
            self.after(1000, Event::Send(call));
        }
        for app in plan::APPS {
            for _ in 0..self.weather.workers {
                self.add_worker(app);
            }
        }
        // Callers come in bursts, so that many of them share a commit.
        let mut at = 5_000;
        for _ in 0..self.weather.calls {
            if plan::one_in(&mut self.rng, 3) {
                at = self.rng.i64(5_000..self.weather.duration);
            }
            let jitter = self.rng.i64(0..20);
            self.after(at + jitter, Event::NewCall);
        }
        let first_trouble = self.rng.i64(0..self.weather.trouble_mean);
        self.after(first_trouble, Event::Trouble);
        self.after(self.weather.duration, Event::Calm);
    }

    fn pass(&mut self) {
        let bound = self.weather.duration + 6 * 3_600_000 + 2 * self.weather.options.window.length.0;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            if at > bound {
                let left = self.unfinished();
                self.violation(Rule::Liveness, format!("faults have stopped, and yet: {left}"));
                return;
            }
            self.handle(event);
            // A world that is broken on purpose need not be lived to its end.
            if self.is_over || self.violations.len() > 20 {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::NewCall => self.new_call(),
            Event::Send(call) => self.send(call),
            Event::Copy(call) => {
                self.copies_due -= 1;
                self.send_copy(call);
            }
            Event::Timeout(call, tries) => self.timeout(call, tries),
            Event::Arrive(arrival) => self.arrive(arrival),
            Event::Hear(arrival, server_time, outcome) => self.hear(arrival, server_time, *outcome),
            Event::Stream(incarnation, message) => self.stream(incarnation, message),
            Event::Step => self.step(),
            Event::Wake(generation) => self.wake(generation),
            Event::Trouble => self.trouble(),
            Event::Restart => self.restart(),
            Event::Worker(worker, event) => self.worker_event(worker, event),
            Event::Read(run_id) => self.read(run_id),
            Event::Calm => self.calm(),
            Event::Tidy => self.tidy(),
        }
    }

    /// Somebody looks at a run, as the API would show it.
    fn read(&mut self, run_id: RunId) {
        if !self.server.is_up() {
            return;
        }
        let run = self.disk.reader().run(run_id).expect("the memory can be read");
        let seen = run.map(|run| (run.state.phase(), run.attempt, run.revision));
        self.history.lines.push((self.now, Entry::Read(run_id, seen)));
    }

    fn calm(&mut self) {
        self.note("it gets calm: no further faults".to_owned());
        self.is_calm = true;
        self.weather.loss = 0.0;
        self.disk.clear_faults();
        self.calm_workers();
        self.after(0, Event::Tidy);
    }

    /// Resumes what is paused, so that everything can end, and ends the world once it has.
    fn tidy(&mut self) {
        let reader = self.disk.reader();
        for app in plan::APPS.map(plan::app) {
            for job in reader.jobs(&app, None, 1000).expect("the memory can be read") {
                if job.pause.is_some() && self.server.is_up() {
                    let id = self.mint();
                    let call = Call::new(id, Who::Admin, Command::ResumeJob { key: job.key });
                    let call = self.add_call(call, Owner::Caller, Habit::Patient);
                    self.after(0, Event::Send(call));
                }
            }
        }
        if self.unfinished().is_empty() {
            self.note("all is done".to_owned());
            self.is_over = true;
        }
        self.after(60_000, Event::Tidy);
    }

    /// What is still to come before the world may end; empty if nothing.
    fn unfinished(&self) -> String {
        let open = self.calls.iter().enumerate().filter(|(_, call)| call.is_open());
        let mut left: Vec<String> = open.map(|(nr, _)| format!("call {nr} has no answer")).take(5).collect();
        match self.server.live_runs() {
            None => left.push("the server is down".to_owned()),
            Some(0) => {}
            Some(live) => left.push(format!("{live} runs have not ended")),
        }
        if self.copies_due > 0 {
            left.push(format!("{} copies are on their way", self.copies_due));
        }
        left.join("; ")
    }
}
