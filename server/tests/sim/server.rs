//! The simulated server: the real engine over the simulated disk, with a clock that may be wrong, and what kills it.

use std::collections::BTreeMap;

use semel_core::{
    id::{Millis, RunId, Timestamp},
    policy::Principal,
    trigger::Standing,
};
use semel_server::{
    clock::Now,
    engine::{Answer, Disposition, Engine, Envelope, Hello, Order, Progress, SessionId, StepOutput},
    store::{Error, Fault, RequestQuery},
};

use crate::{
    callers::Owner,
    checker::Rule,
    history::{ArrivalNo, Outcome},
    plan::{self, EPOCH, chance, one_in},
    workers::WorkerEvent,
    world::{Event, World},
};

/// The hash of the first administrator's secret. Nobody has to know the secret here.
const ADMIN: [u8; 32] = [7; 32];
/// How far the server's clock may be off.
const OFFSET_MAX: i64 = 3_600_000;

/// What a worker says on its stream, besides the calls that it makes there.
pub(crate) enum ToServer {
    Open(SessionId, usize, Hello),
    Close(SessionId),
    Heard(SessionId),
    Credit(SessionId, u32),
    Drain(SessionId),
    Progress(SessionId, RunId, Progress),
}

enum Inbound {
    Call(ArrivalNo),
    Stream(ToServer),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Server {
    engine: Option<Engine>,
    /// A former owner of the shard that was only paused, and does not know that it is former.
    zombie: Option<(Engine, i64)>,
    /// Counts starts, so that streams of a former process are told from those of this one.
    incarnation: u32,
    /// The true time of the start of the process.
    started: i64,
    /// By how much its clock is ahead.
    offset: i64,
    inbox: Vec<Inbound>,
    is_step_due: bool,
    /// Counts steps.
    steps: u64,
    /// The process dies between the next commit and its answers.
    dies_after_commit: bool,
    /// Which worker a stream belongs to, and when it last said something.
    streams: BTreeMap<SessionId, (usize, i64)>,
}

impl Server {
    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    pub(crate) fn live_runs(&self) -> Option<usize> {
        self.engine.as_ref().map(|engine| engine.state().live_run_count())
    }

    /// How all triggers stand.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let apps: Vec<_> = engine.state().apps().map(|app| app.name.clone()).collect();
        let of_app = |app| engine.state().triggers_of(app, None).map(|trigger| trigger.standing().clone()).collect();
        apps.iter().flat_map(|app| -> Vec<Standing> { of_app(app) }).collect()
    }

    fn clock(&self, now: i64, started: i64) -> Now {
        Now { wall: Timestamp(EPOCH + now + self.offset), steady: Millis(now - started) }
    }
}

impl World {
    /// A copy of a call reaches the server, or what used to be it.
    pub(crate) fn arrive(&mut self, arrival: ArrivalNo) {
        // A worker's reports come on its stream, and that is with the present owner.
        let is_worker = matches!(self.calls[self.history.arrivals[arrival].call].owner, Owner::Worker { .. });
        if self.server.is_up() && self.server.zombie.is_some() && !is_worker && one_in(&mut self.rng, 4) {
            return self.ask_zombie(arrival);
        }
        self.take_in(Inbound::Call(arrival));
    }

    pub(crate) fn stream(&mut self, incarnation: u32, message: ToServer) {
        if incarnation == self.server.incarnation {
            self.take_in(Inbound::Stream(message));
        }
    }

    fn take_in(&mut self, inbound: Inbound) {
        if !self.server.is_up() {
            return;
        }
        self.server.inbox.push(inbound);
        if !self.server.is_step_due {
            self.server.is_step_due = true;
            let delay = self.rng.i64(0..15);
            self.after(delay, Event::Step);
        }
    }

    pub(crate) fn wake(&mut self, generation: u64) {
        if generation == self.server.steps && self.server.is_up() && !self.server.is_step_due {
            self.step();
        }
    }

    /// One batch, as the thread around the engine takes it.
    pub(crate) fn step(&mut self) {
        let Some(mut engine) = self.server.engine.take() else { return };
        self.server.is_step_due = false;
        self.server.steps += 1;
        let now = self.server.clock(self.now, self.server.started);
        let mut arrivals = Vec::new();
        for inbound in std::mem::take(&mut self.server.inbox) {
            match inbound {
                Inbound::Call(arrival) => arrivals.push(arrival),
                Inbound::Stream(message) => self.worker_message(&mut engine, now, message),
            }
        }
        let (arrivals, envelopes) = self.authenticate(&engine, now, arrivals);
        let before = engine.revision();
        match engine.step(now, &envelopes) {
            Err(error) => self.store_failed(&error),
            Ok(_) if std::mem::take(&mut self.server.dies_after_commit) => {
                self.crash("it dies after a commit, before the answers leave");
            }
            Ok(output) => {
                if engine.revision() != before {
                    engine.state().check_invariants();
                }
                self.hand_out(engine.time(now), &arrivals, output);
                self.wake_later(&engine, now);
                self.server.engine = Some(engine);
            }
        }
    }

    /// What the auth layer does: finds out who it is and what they may.
    fn authenticate(&mut self, engine: &Engine, now: Now, arrivals: Vec<ArrivalNo>) -> (Vec<ArrivalNo>, Vec<Envelope>) {
        let mut known = Vec::new();
        let mut envelopes = Vec::new();
        for arrival in arrivals {
            let call = self.history.call_of(arrival).clone();
            let app = call.who.app();
            let Some(entry) = engine.state().app(&app) else {
                self.history.arrivals[arrival].had_right = Some(false);
                self.answer(arrival, engine.time(now), Outcome::Unauthenticated);
                continue;
            };
            let principal =
                Principal { name: call.who.to_string().into(), app: Some(app), grants: entry.effective_grants() };
            let had_right = principal.grants.iter().any(|grant| grant.apps.holds(call.command.app()));
            self.history.arrivals[arrival].had_right = Some(had_right);
            envelopes.push(Envelope::new(principal, call.id, call.fingerprint, call.command));
            known.push(arrival);
        }
        (known, envelopes)
    }

    fn hand_out(&mut self, server_time: Timestamp, arrivals: &[ArrivalNo], output: StepOutput) {
        assert_eq!(arrivals.len(), output.answers.len(), "each envelope gets its answer");
        for (arrival, submitted) in arrivals.iter().zip(output.answers) {
            let outcome = submitted.map_or_else(Outcome::Refused, Outcome::Ok);
            self.answer(*arrival, server_time, outcome);
        }
        for (session_id, order) in output.orders {
            let Some((worker, heard)) = self.server.streams.get(&session_id).copied() else { continue };
            let silence = self.now - heard;
            if matches!(order, Order::Assign(_)) && silence > self.weather.options.lease.0 {
                self.violation(Rule::Lease, format!("work for worker {worker}, that is silent for {silence} ms"));
            }
            self.after(5, Event::Worker(worker, WorkerEvent::Order(session_id, order)));
        }
    }

    fn worker_message(&mut self, engine: &mut Engine, now: Now, message: ToServer) {
        let (ToServer::Open(id, ..)
        | ToServer::Close(id)
        | ToServer::Heard(id)
        | ToServer::Credit(id, _)
        | ToServer::Drain(id)
        | ToServer::Progress(id, ..)) = message;
        if let Some((_, heard)) = self.server.streams.get_mut(&id) {
            *heard = self.now;
        }
        if !matches!(message, ToServer::Close(_) | ToServer::Open(..)) {
            engine.worker_heard(now, id);
        }
        match message {
            ToServer::Open(id, worker, hello) => {
                let opened = engine.worker_opened(now, id, hello);
                self.server.streams.insert(id, (worker, self.now));
                if let Some(former) = opened.replaced.and_then(|former| self.server.streams.remove(&former)) {
                    assert_eq!(former.0, worker, "a stream is replaced by one of the same worker");
                }
                self.after(5, Event::Worker(worker, WorkerEvent::Stale(id, opened.stale)));
                for order in opened.resend {
                    self.after(5, Event::Worker(worker, WorkerEvent::Order(id, order)));
                }
            }
            ToServer::Close(id) => {
                engine.worker_closed(id);
                self.server.streams.remove(&id);
            }
            ToServer::Heard(_) => {}
            ToServer::Credit(id, slots) => engine.worker_credit(id, slots),
            ToServer::Drain(id) => engine.worker_drains(id),
            ToServer::Progress(id, run_id, progress) => engine.worker_progress(id, run_id, progress),
        }
    }

    fn wake_later(&mut self, engine: &Engine, now: Now) {
        let behind = engine.time(now).0 - now.wall.0;
        // While the clock stands still because it was set back, no timer can come due before it goes on.
        let sleep = engine.sleep_max(now).0.max(behind.min(1_000)).max(1);
        self.after(sleep, Event::Wake(self.server.steps));
    }

    fn store_failed(&mut self, error: &Error) {
        if !matches!(error, Error::Injected(_)) {
            let source = std::error::Error::source(error).map(ToString::to_string);
            self.violation(Rule::Store, format!("{error}: {}", source.unwrap_or_default()));
        }
        self.crash(&format!("its store failed: {error}"));
    }

    /// The process is gone, with all that it did not write.
    fn crash(&mut self, why: &str) {
        self.note(format!("the server stops: {why}"));
        self.stats.crashes += 1;
        self.server.engine = None;
        self.server.inbox.clear();
        self.server.is_step_due = false;
        self.server.dies_after_commit = false;
        self.server.incarnation += 1;
        self.server.streams.clear();
        self.links_break();
        let down = *plan::pick(&mut self.rng, &[10, 1_000, 20_000, 120_000]);
        self.after(down, Event::Restart);
    }

    /// Something bad happens, and the next bad thing is arranged.
    pub(crate) fn trouble(&mut self) {
        if self.is_calm {
            return;
        }
        let next = self.rng.i64(0..2 * self.weather.trouble_mean);
        self.after(next, Event::Trouble);
        if !self.server.is_up() {
            return;
        }
        match self.rng.u32(..8) {
            0 | 1 => self.disk.fail_next_commit(false),
            2 | 3 => self.disk.fail_next_commit(true),
            4 => self.disk.inject(Fault::FailNextPrefetch),
            5 => self.crash("it is killed"),
            6 => self.server.dies_after_commit = true,
            _ => {
                if let Some(engine) = self.server.engine.take() {
                    self.server.zombie = Some((engine, self.server.started));
                    self.crash("it is paused, and another one takes over");
                }
            }
        }
        if chance(&mut self.rng, self.weather.clock_step / 2.0) {
            let step = self.rng.i64(-2_000..2_000);
            self.set_clock(step);
        }
    }

    fn set_clock(&mut self, step: i64) {
        self.server.offset = (self.server.offset + step).clamp(-OFFSET_MAX, OFFSET_MAX);
        self.note(format!("the server's clock is set by {step} ms, and is now off by {} ms", self.server.offset));
    }

    pub(crate) fn restart(&mut self) {
        let may_be_set = !self.is_calm && self.server.incarnation > 0;
        if may_be_set && chance(&mut self.rng, self.weather.clock_step) {
            let step = *plan::pick(&mut self.rng, &[3_600_000, -3_600_000, 60_000, -60_000, -5_000]);
            self.set_clock(step);
        }
        self.check_bound_of_window();
        let store = self.disk.open();
        if !self.is_calm && one_in(&mut self.rng, 20) {
            self.disk.inject(Fault::FailNextLoad);
        }
        let now = Now { steady: Millis(0), ..self.server.clock(self.now, self.now) };
        let seed = self.rng.u64(..);
        match Engine::open(store, self.weather.options, now, seed, Some(ADMIN)) {
            Ok((engine, is_first)) => {
                self.note(format!("the server starts at revision {} (first: {is_first})", engine.revision().0));
                engine.state().check_invariants();
                self.server.started = self.now;
                self.wake_later(&engine, now);
                self.server.engine = Some(engine);
                if self.rng.bool() {
                    self.server.zombie = None;
                }
            }
            Err(Error::Injected(_)) => self.after(1_000, Event::Restart),
            Err(error) => {
                self.violation(Rule::Store, format!("the server cannot start: {error}"));
                self.after(60_000, Event::Restart);
            }
        }
    }

    /// A former owner is asked. It may say again what is on the disk, or refuse; it must not do anything.
    fn ask_zombie(&mut self, arrival: ArrivalNo) {
        let Some((mut engine, started)) = self.server.zombie.take() else { return };
        let now = self.server.clock(self.now, started);
        let (arrivals, envelopes) = self.authenticate(&engine, now, vec![arrival]);
        match engine.step(now, &envelopes) {
            Ok(output) => {
                let is_new = |answer: &Answer| answer.disposition == Disposition::Executed;
                if output.answers.iter().flatten().any(is_new) || !output.changed_runs.is_empty() {
                    self.violation(Rule::Epoch, format!("a former owner executed #{arrival}"));
                }
                self.stats.zombie_answers += 1;
                self.hand_out(engine.time(now), &arrivals, StepOutput { orders: Vec::new(), ..output });
                self.server.zombie = Some((engine, started));
            }
            Err(Error::Fenced { .. }) => {
                self.stats.fenced += 1;
                self.note("a former owner was fenced off, and stops".to_owned());
            }
            // It met the fault that was meant for the present owner.
            Err(Error::Injected(_)) => {}
            Err(error) => self.violation(Rule::Store, format!("a former owner met {error}")),
        }
    }

    /// No app has more records in the window than it may, or twice that for reports of workers.
    fn check_bound_of_window(&mut self) {
        let max = self.weather.options.window.records_per_app_max;
        for name in plan::APPS {
            let query = RequestQuery {
                app: plan::app(name),
                method: None,
                principal: None,
                from: None,
                until: None,
                before: None,
                limit: 100_000,
            };
            let found = self.disk.reader().requests(&query).expect("the memory can be read").items.len() as u64;
            if found > 2 * max {
                self.violation(Rule::Bound, format!("{name} has {found} requests in the window of {max}"));
            }
        }
    }
}
