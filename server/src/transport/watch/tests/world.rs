//! A server without its threads: what happens, happens when the test says so.

use std::sync::Arc;

use prost::Message as _;
use semel_core::{
    app::{AppPattern, Grant, NewSecret, Role},
    command::{AttemptRef, Command, Report, RunJob},
    event::Record,
    id::{AppName, JobKey, JobName, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp, WorkerId},
    job::{JobSpec, Labels, LostWorker, Plan, RetryPolicy},
    policy::Principal,
    window::Fingerprint,
};
use semel_proto::v1;

use super::model;
use crate::{
    clock::Now,
    engine::{Engine, Envelope, Hello, Options, Order, Retention, SessionId},
    store::{Memory, Store as _},
    transport::watch::{
        cursor::{Batch, Cursor, Page, Turn},
        filter::Filter,
        hub::{Seat, Shared},
        ring::Entry,
        token::Scope,
    },
};

/// Small, so that watchers are behind it often; and large enough to hold more than one message.
pub(super) const RING_MAX: usize = 24;
/// How long events are kept.
pub(super) const KEPT: Millis = Millis::from_secs(60);
pub(super) const APPS: [&str; 3] = ["a", "pay", "pay/x"];
pub(super) const JOBS: [&str; 2] = ["x", "y"];

/// See the module.
pub(super) struct World {
    memory: Memory,
    pub(super) engine: Engine,
    now: Now,
    pub(super) shared: Arc<Shared>,
    /// All that was ever committed: the judge's own copy.
    pub(super) log: Vec<Record>,
    pending: Vec<Envelope>,
    pub(super) runs: Vec<(AppName, RunId)>,
    held: Vec<AttemptRef>,
    sessions: Vec<(SessionId, AppName, WorkerId)>,
    next: u64,
}

pub(super) fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a name")
}

pub(super) fn job(name: &str) -> JobName {
    JobName::parse(name).expect("a name")
}

/// Who may view all apps below these patterns.
pub(super) fn viewer(patterns: &[&str]) -> Principal {
    let grant = |text: &&str| Grant { role: Role::Viewer, apps: AppPattern::parse(text).expect("a pattern") };
    Principal { name: "app:viewer".into(), app: Some(app("viewer")), grants: patterns.iter().map(grant).collect() }
}

fn options() -> Options {
    let retention = Retention { events: Some(KEPT), interval: Millis(0), rows_max: 3, ..Retention::default() };
    Options { retention, ..Options::default() }
}

pub(super) fn spec(processor: &str) -> JobSpec {
    let plan = Plan {
        processor: ProcessorName::parse(processor).expect("a name"),
        retry: RetryPolicy { max_attempts: 2, ..RetryPolicy::default() },
        attempt_timeout: None,
        lost_worker: LostWorker::Retry,
    };
    JobSpec {
        plan: Arc::new(plan),
        payload: None,
        run_timeout: None,
        max_running: None,
        priority: 0,
        labels: Labels::new().into(),
        description: String::new(),
        triggers: Default::default(),
    }
}

impl World {
    /// With the apps and jobs of the tests.
    pub(super) fn new() -> Self {
        let memory = Memory::new();
        let now = Now { wall: Timestamp(1_750_000_000_000), steady: Millis(0) };
        let (engine, _) = Engine::open(Box::new(memory.reopen()), options(), now, 7, None).expect("it opens");
        let shared = Arc::new(Shared::new(engine.revision(), RING_MAX));
        let mut world = Self {
            memory,
            engine,
            now,
            shared,
            log: Vec::new(),
            pending: Vec::new(),
            runs: Vec::new(),
            held: Vec::new(),
            sessions: Vec::new(),
            next: 0,
        };
        for name in APPS {
            let secret = NewSecret { hash: [name.len() as u8; 32], key_id: "k".to_owned() };
            let (description, grants) = (String::new(), Vec::new());
            world.wish(Command::CreateApp { app: app(name), description, grants, secret });
            for name_of_job in JOBS {
                let key = JobKey { app: app(name), job: job(name_of_job) };
                world.wish(Command::CreateJob { key, spec: Arc::new(spec("echo")) });
            }
        }
        world.commit();
        world
    }

    pub(super) fn key(app_at: usize, job_at: usize) -> JobKey {
        JobKey { app: app(APPS[app_at % APPS.len()]), job: job(JOBS[job_at % JOBS.len()]) }
    }

    /// What somebody wishes; it happens with the next commit.
    pub(super) fn wish(&mut self, command: Command) {
        self.next += 1;
        let mut id = [0; 16];
        id[..6].copy_from_slice(&self.now.wall.0.to_be_bytes()[2..]);
        id[6] = 0x70;
        id[8..].copy_from_slice(&(self.next | 1 << 63).to_be_bytes());
        let fingerprint = Fingerprint { version: 1, digest: [0; 16], leaves: Vec::new() };
        self.pending.push(Envelope::new(Principal::unrestricted(), RequestId(id), fingerprint, command));
    }

    pub(super) fn run_job(&mut self, key: JobKey, labels: Labels, wait: Option<Millis>) {
        self.wish(Command::RunJob(RunJob {
            key,
            payload: None,
            labels,
            priority: None,
            start_time: wait.map(|wait| self.now.wall.plus(wait)),
            deadline: None,
            unique_key: None,
        }));
    }

    pub(super) fn pass_time(&mut self, span: Millis) {
        self.now = Now { wall: self.now.wall.plus(span), steady: Millis(self.now.steady.0 + span.0) };
    }

    /// A commit that the ring is told of.
    pub(super) fn commit(&mut self) {
        let entries: Vec<_> = self.step().iter().map(|record| Arc::new(Entry::of(record, |_| None))).collect();
        self.shared.publish(&entries).wake();
    }

    /// A commit that goes past the ring, as when there is too much of it.
    pub(super) fn commit_past_the_ring(&mut self) {
        if let Some(last) = self.step().last() {
            self.shared.pass(last.revision);
        }
    }

    fn step(&mut self) -> Vec<Record> {
        let pending = std::mem::take(&mut self.pending);
        let output = self.engine.step(self.now, &pending).expect("the store works");
        self.engine.state().check_invariants();
        for (session_id, order) in output.orders {
            let session = self.sessions.iter().find(|(id, ..)| *id == session_id);
            if let (Order::Assign(assignment), Some((_, app, worker_id))) = (order, session) {
                let (app, worker_id) = (app.clone(), *worker_id);
                self.held.push(AttemptRef { app, worker_id, run_id: assignment.run_id, number: assignment.number });
            }
        }
        self.runs.extend(output.records.iter().flat_map(|record| &record.events).filter_map(model::made));
        self.log.extend(output.records.iter().cloned());
        output.records
    }

    /// A worker connects, for the first time or again.
    pub(super) fn connect(&mut self, at: usize) {
        self.next += 1;
        let id = SessionId(self.next);
        let app = app(APPS[at % APPS.len()]);
        let worker_id = WorkerId([u8::try_from(at % 250).expect("it is small"); 16]);
        let hello = Hello {
            app: app.clone(),
            worker_id,
            worker_name: format!("w{at}").as_str().into(),
            processors: [ProcessorName::parse("echo").expect("a name")].into(),
            slots: 2,
            held: Vec::new(),
        };
        self.engine.worker_opened(self.now, id, hello);
        self.sessions.push((id, app, worker_id));
    }

    pub(super) fn disconnect(&mut self, pick: usize) {
        if !self.sessions.is_empty() {
            let (id, ..) = self.sessions.swap_remove(pick % self.sessions.len());
            self.engine.worker_closed(id);
        }
    }

    pub(super) fn drain(&mut self, pick: usize) {
        if !self.sessions.is_empty() {
            self.engine.worker_drains(self.sessions[pick % self.sessions.len()].0);
        }
    }

    pub(super) fn hear(&mut self, pick: usize) {
        if !self.sessions.is_empty() {
            self.engine.worker_heard(self.now, self.sessions[pick % self.sessions.len()].0);
        }
    }

    pub(super) fn report(&mut self, pick: usize, report: Report) {
        if !self.held.is_empty() {
            let attempt = self.held.swap_remove(pick % self.held.len());
            self.wish(Command::ReportAttempt { attempt, report });
        }
    }

    /// The server is killed and starts again: ring and streams are gone, the store is not.
    pub(super) fn restart(&mut self) {
        self.pending.clear();
        self.sessions.clear();
        let store = Box::new(self.memory.reopen());
        let (engine, _) = Engine::open(store, options(), self.now, self.next, None).expect("it opens");
        self.engine = engine;
        self.shared = Arc::new(Shared::new(self.engine.revision(), RING_MAX));
    }

    pub(super) fn reader(&self) -> Arc<dyn crate::store::Reader> {
        self.memory.reader()
    }

    pub(super) fn oldest(&self) -> Revision {
        self.reader().oldest_revision().expect("it can be read")
    }
}

/// A caller that watches: what it was told, and what it would go on with.
pub(super) struct Watcher {
    pub(super) filter: Arc<Filter>,
    pub(super) principal: Principal,
    /// Behind which position it began, at the very first.
    pub(super) begun: Revision,
    pub(super) told: Vec<v1::Event>,
    /// What came of a revision of which more is to come.
    partial: Vec<v1::Event>,
    /// Every token, with how much had been told by then.
    pub(super) tokens: Vec<(String, usize)>,
    /// How many events had been told after each whole message.
    pub(super) boundaries: Vec<usize>,
    pub(super) compacted: Option<Revision>,
    scope: Scope,
    stream: Option<(Seat, Cursor)>,
}

impl Watcher {
    /// From now on.
    pub(super) fn open(world: &World, filter: Filter, principal: Principal) -> Self {
        Self::open_behind(world, filter, principal, world.engine.revision())
    }

    /// From behind a position on.
    pub(super) fn open_behind(world: &World, filter: Filter, principal: Principal, begun: Revision) -> Self {
        let scope = Scope::new(world.engine.history(), filter.fingerprint());
        let mut watcher = Self {
            filter: Arc::new(filter),
            principal,
            begun,
            told: Vec::new(),
            partial: Vec::new(),
            tokens: vec![(scope.token(begun), 0)],
            boundaries: Vec::new(),
            compacted: None,
            scope,
            stream: None,
        };
        watcher.begin(world, begun);
        watcher
    }

    fn begin(&mut self, world: &World, position: Revision) {
        let seat = Seat::take(&world.shared, &self.filter, None).expect("there is room");
        let cursor = Cursor::new(self.filter.clone(), seat.slot.clone(), position);
        self.stream = Some((seat, cursor));
        if position.next() < world.oldest() {
            self.compacted = Some(world.oldest());
        }
    }

    /// The connection breaks.
    pub(super) fn disconnect(&mut self) {
        self.partial.clear();
        self.stream = None;
    }

    /// Goes on with the last token, as a caller does that lost its connection.
    pub(super) fn resume(&mut self, world: &World) {
        self.disconnect();
        let (token, told) = self.tokens.last().expect("there is one from the beginning").clone();
        assert_eq!(told, self.told.len(), "the last token stands behind all that was told");
        let position = self.scope.position(&token).expect("it is ours");
        self.begin(world, position);
    }

    pub(super) fn position(&self) -> Option<Revision> {
        self.stream.as_ref().map(|(_, cursor)| cursor.position())
    }

    /// One turn. False when there was nothing to do.
    pub(super) fn turn(&mut self, world: &World) -> bool {
        let Some((_, cursor)) = self.stream.as_mut().filter(|_| self.compacted.is_none()) else { return false };
        let before = cursor.position();
        let mut turn = cursor.turn(&world.shared, &self.principal);
        if matches!(turn, Turn::Read) {
            turn = match Cursor::page(&*world.reader(), cursor.position()).expect("it can be read") {
                Page::Entries(entries) => cursor.take_page(&entries, &self.principal),
                Page::Compacted(oldest) => {
                    assert!(oldest > cursor.position().next(), "nothing that is needed was forgotten");
                    self.compacted = Some(oldest);
                    return true;
                }
            };
        }
        assert!(cursor.position() >= before, "a position never goes back");
        let position = cursor.position();
        match turn {
            Turn::Tell(batch) => self.hear(batch, position),
            Turn::Idle => {
                self.tokens.push((self.scope.token(position), self.told.len()));
                return false;
            }
            Turn::Again => self.tokens.push((self.scope.token(position), self.told.len())),
            Turn::Read => panic!("a page was given"),
        }
        true
    }

    fn hear(&mut self, batch: Batch, position: Revision) {
        let message = v1::WatchEvents::decode(batch.events.concat().as_slice()).expect("it is one");
        assert!(!message.events.is_empty(), "a message says something");
        self.partial.extend(message.events);
        if !batch.more {
            self.told.append(&mut self.partial);
            self.tokens.push((self.scope.token(position), self.told.len()));
            self.boundaries.push(self.told.len());
        }
    }

    /// Until there is nothing more.
    pub(super) fn catch_up(&mut self, world: &World) {
        if self.stream.is_none() {
            self.resume(world);
        }
        for _ in 0..10_000 {
            if !self.turn(world) {
                return;
            }
        }
        panic!("a watcher goes on for ever");
    }

    /// Another caller that goes on with one of this one's tokens.
    pub(super) fn resumed_at(&self, world: &World, token: &str) -> Self {
        let position = self.scope.position(token).expect("it is ours");
        Self::open_behind(world, (*self.filter).clone(), self.principal.clone(), position)
    }
}
