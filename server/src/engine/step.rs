//! One batch: prefetch, dedup, permit, decide, evolve, one commit. Synchronous; time and seed come in as arguments.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::{HashSet, fast::RandomState};
use semel_core::{
    State,
    command::{Command, Origin, Stamp, SystemCommand},
    decide,
    decide::Cold,
    event::{Event, Record},
    facts,
    id::{AppName, AttemptNumber, Millis, ProcessorName, Revision, RunId, Timestamp, WorkerKey},
    limits::{self, Limits},
    policy,
    rejection::Rejection,
    window::{DedupRecord, Window},
};

use super::{
    admission::Bounds,
    answer::{Answer, Disposition, Refused, Submitted},
    commit::Way,
    directory::Directory,
    dispatch::{self, Assignment, Order},
    envelope::Envelope,
    liveness::Liveness,
    passages::{self, Passage},
    upkeep::{Forgot, Retention, Upkeep},
    window::{BatchWindow, Dedup},
    workers::{SessionId, Workers},
};
use crate::{
    clock::{Now, Stopwatch},
    logs::audit::{Audit, Deed},
    store::{Epoch, Error, Store, Wanted},
};

/// What an operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long and how much requests are remembered.
    pub window: Window,
    /// The bounds of the domain.
    pub limits: Limits,
    /// After how long a silence a worker counts as lost.
    pub lease: Millis,
    /// How long what has ended is kept.
    pub retention: Retention,
    /// How much may wait.
    pub bounds: Bounds,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Window::default(),
            limits: Limits::default(),
            lease: Millis::from_secs(30),
            retention: Retention::default(),
            bounds: Bounds::default(),
        }
    }
}

/// How many times that come to nothing cost as much as one that makes a run.
const TIMES_PER_FIRE: usize = 20;

/// After so many envelopes it is looked whether what was begun before is over: some tens of microseconds.
const BETWEEN: usize = 32;

/// How many times of a trigger these events settle.
fn times(events: &[Event]) -> usize {
    let counts = events.iter().map(|event| match event {
        Event::TriggerSkipped { count, .. } => usize::try_from(*count).unwrap_or(usize::MAX),
        _ => 0,
    });
    counts.fold(0, usize::saturating_add)
}

/// Which log a position is of. After a restore from a backup the log goes on differently under the same numbers, so the
/// store's id alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The store.
    pub store_id: [u8; 16],
    /// When it was restored last; 0 if it never was.
    pub restored_at: Timestamp,
}

/// The heart of a shard. Owns state and store by value.
pub struct Engine {
    pub(super) options: Options,
    pub(super) state: State,
    pub(super) dedup: Dedup,
    pub(super) workers: Workers,
    pub(super) liveness: Liveness,
    pub(super) store: Box<dyn Store>,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    /// The time of the last batch. The clock never goes back behind it.
    high_water: Timestamp,
    /// When that was, by the clock that only grows.
    high_water_at: Millis,
    /// The time of the last commit: where the clock begins after a crash at the least.
    pub(super) durable_time: Timestamp,
    pub(super) upkeep: Upkeep,
    random: u64,
    /// Which log it is: see [`History`].
    history: History,
    /// Whether anybody wants to know of passages.
    tells_passages: bool,
}

/// What came of a batch. To be handed out when it is durable and not before; after [`Engine::step`] it is.
#[derive(Debug, Default)]
pub struct StepOutput {
    /// What became of each envelope, in their order.
    pub answers: Vec<Submitted>,
    /// What workers must be told, in order.
    pub orders: Vec<(SessionId, Order)>,
    /// Runs that changed.
    pub changed_runs: Vec<RunId>,
    /// The credentials, if they changed.
    pub directory: Option<Arc<Directory>>,
    /// What happened, as it stands in the log now.
    pub records: Vec<Record>,
    /// What the audit log is told.
    pub deeds: Vec<(Audit, Deed)>,
    /// What of runs has ended, if anybody wants to know.
    pub passages: Vec<Passage>,
    /// The position of the last of it.
    pub revision: Revision,
    /// The time of the batch.
    pub time: Timestamp,
    /// How long each run that was handed to a worker had waited for one.
    pub waits: Vec<Millis>,
    /// What the commit forgot.
    pub forgot: Forgot,
    /// Since when it has been written, if anything was.
    pub writing: Option<Stopwatch>,
}

/// What a batch gathers before its commit.
#[derive(Default)]
pub(super) struct Work {
    pub(super) now: Timestamp,
    pub(super) steady: Millis,
    pub(super) window: BatchWindow,
    cold: Cold,
    pub(super) records: Vec<Record>,
    /// The time itself must become durable, whether anything else does or not.
    pub(super) keep_time: bool,
    pub(super) output: StepOutput,
}

impl Work {
    /// Makes room for what so many envelopes bring.
    fn reserve(&mut self, envelopes: usize) {
        self.records.reserve(envelopes);
        self.output.answers.reserve(envelopes);
        self.window.reserve(envelopes);
    }
}

impl Engine {
    /// Loads the state. With `bootstrap`, the hash of the first admin's secret, the app `system` is made if there is
    /// none; the second value says whether that was so.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn open(
        mut store: Box<dyn Store>,
        options: Options,
        now: Now,
        seed: u64,
        bootstrap: Option<[u8; 32]>,
    ) -> Result<(Self, bool), Error> {
        let loaded = store.load()?;
        let limits = Limits { attempt_floor: loaded.attempt_floor, ..options.limits };
        let history = History { store_id: loaded.store_id, restored_at: loaded.window_floor };
        let mut workers = Workers::default();
        if loaded.revision > Revision(0) {
            workers.reset();
        }
        let mut engine = Self {
            state: State::restore(limits, loaded.rows),
            dedup: Dedup::new(options.window, loaded.window_floor, loaded.window_counts),
            workers,
            liveness: Liveness::default(),
            store,
            epoch: loaded.epoch,
            revision: loaded.revision,
            high_water: loaded.high_water,
            high_water_at: now.steady,
            durable_time: loaded.high_water,
            upkeep: Upkeep::new(&options, now.steady),
            random: seed,
            history,
            tells_passages: false,
            options,
        };
        let Some(hash) = bootstrap else { return Ok((engine, false)) };
        let mut work = engine.begin(now);
        engine.apply_system(&mut work, &SystemCommand::Bootstrap { hash });
        let made = !work.records.is_empty();
        engine.commit(now, work, Way::Waiting)?;
        Ok((engine, made))
    }

    /// Takes a batch of envelopes, does what is due, hands out work, and commits all of it.
    ///
    /// # Errors
    /// When the store failed. The state may run ahead of the disk then: the engine must not be used any more.
    pub fn step(&mut self, now: Now, envelopes: &[Envelope]) -> Result<StepOutput, Error> {
        let work = self.prepare(now, envelopes, |_| Ok(()))?;
        self.commit(now, work, Way::Waiting)
    }

    /// All of a step but its commit, which must follow. Now and then `between` is let at the store: what was begun there
    /// before may be over.
    ///
    /// # Errors
    /// As [`Engine::step`], and those of `between`.
    pub(super) fn prepare(
        &mut self,
        now: Now,
        envelopes: &[Envelope],
        mut between: impl FnMut(&mut dyn Store) -> Result<(), Error>,
    ) -> Result<Work, Error> {
        let mut work = self.begin(now);
        work.reserve(envelopes.len());
        self.prefetch(&mut work, envelopes)?;
        self.note_workers(&mut work);
        for (at, envelope) in envelopes.iter().enumerate() {
            if at % BETWEEN == 0 {
                between(&mut *self.store)?;
            }
            let submitted = self.execute(&mut work, envelope);
            work.output.answers.push(submitted);
        }
        self.apply_system(&mut work, &SystemCommand::Tick);
        self.expire_leases(&mut work, now.steady);
        self.fire_triggers(&mut work);
        self.hand_out(&mut work);
        Ok(work)
    }

    /// From now on it is told what of runs has ended.
    pub(super) fn tell_passages(&mut self) {
        self.tells_passages = true;
    }

    /// The position of the last commit.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The state as of the last commit.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The time by the server's clock, which never goes back. While the machine's clock lies behind it, because it was
    /// set back, time passes a little slower than it should, until the two meet: waits and time-outs go on meanwhile.
    pub fn time(&self, now: Now) -> Timestamp {
        if now.wall >= self.high_water {
            return now.wall;
        }
        let passed = now.steady.0 - self.high_water_at.0;
        self.high_water.plus(Millis(passed.max(0) / 10 * 9))
    }

    /// Which log its positions are of.
    pub fn history(&self) -> History {
        self.history
    }

    /// When the store was restored from a backup; 0 if it never was.
    pub(super) fn window_floor(&self) -> Timestamp {
        self.dedup.floor()
    }

    pub(super) fn reader(&self) -> Arc<dyn crate::store::Reader> {
        self.store.reader()
    }

    /// How long the engine may sleep if nothing arrives.
    pub fn sleep_max(&self, now: Now) -> Millis {
        let timer = self.state.next_deadline().map(|at| at.0 - self.time(now).0);
        let loss = self.liveness.next_loss(&self.state, self.options.lease).map(|at| at.0 - now.steady.0);
        let upkeep = self.upkeep.due_at().0 - now.steady.0;
        Millis([timer, loss, Some(upkeep)].into_iter().flatten().min().unwrap_or(0).max(0))
    }

    fn begin(&mut self, now: Now) -> Work {
        let time = self.time(now);
        // Less than a whole step is not counted away: many short batches must not make time stand still.
        if time > self.high_water {
            self.high_water = time;
            self.high_water_at = now.steady;
        }
        Work { now: time, steady: now.steady, ..Work::default() }
    }

    fn prefetch(&mut self, work: &mut Work, envelopes: &[Envelope]) -> Result<(), Error> {
        let mut wanted = Wanted::default();
        let mut seen = HashSet::with_capacity_and_hasher(envelopes.len(), RandomState::default());
        for envelope in envelopes {
            let key = envelope.key();
            if seen.insert(key.clone()) {
                wanted.requests.push(key);
            }
            let with_payload = matches!(envelope.command, Command::RetryRun { .. });
            if let Some(run_id) = envelope.command.cold_run()
                && (with_payload || self.state.run(run_id).is_none())
            {
                wanted.runs.push((run_id, with_payload));
            }
        }
        if wanted.requests.is_empty() {
            return Ok(());
        }
        let fetched = self.store.prefetch(&wanted)?;
        work.window.fetched = fetched.requests;
        for (run, payload) in fetched.runs {
            work.cold.insert(run, payload);
        }
        Ok(())
    }

    /// The way of one envelope. The order matters: an id outside the window is refused before anything is looked up
    /// (D6), the caller's right is checked before a replay is shown (D8), and a refusal records nothing (D7).
    fn execute(&mut self, work: &mut Work, envelope: &Envelope) -> Submitted {
        if let Err(rejection) = self.dedup.window.admit(envelope.request_id, work.now) {
            // Whoever is told that an id has expired may mint a new one. So the old one must stay expired, even if the
            // server crashes now and comes back with a clock that was set back.
            let is_expired = matches!(rejection, Rejection::RequestIdExpired { .. });
            work.keep_time |= is_expired && envelope.request_id.minted_at() >= self.dedup.oldest(self.durable_time);
            return Err(rejection.into());
        }
        policy::permit(&envelope.principal, &envelope.command)?;
        let key = envelope.key();
        if let Some(answer) = self.dedup.replay(&mut work.window, &key, envelope)? {
            return Ok(answer);
        }
        if envelope.deadline.is_some_and(|deadline| deadline <= work.steady) {
            return Err(Refused::TooLate);
        }
        self.dedup.admit_new(&key, &envelope.command)?;
        let stamp = self.stamp(work.now);
        let origin = Origin { request_id: envelope.request_id, trace: envelope.trace.clone() };
        let (events, reply) = decide(&self.state, &work.cold, stamp, &origin, &envelope.command)?;
        let revision = if events.is_empty() { self.revision } else { stamp.revision };
        let trace = passages::trace_of_report(&self.state, envelope);
        self.apply(work, stamp, events, Some(envelope));
        let record = DedupRecord {
            method: envelope.command.method(),
            principal: envelope.principal.name.clone(),
            fingerprint: envelope.fingerprint.clone(),
            revision,
            execute_time: work.now,
            reply,
            arrivals: 1,
            told: envelope.told,
            trace: envelope.trace.clone(),
        };
        let mut answer = Answer::of(&record, Disposition::Executed);
        answer.trace = trace.or(answer.trace);
        self.dedup.remember(&mut work.window, key, record);
        Ok(answer)
    }

    fn apply_system(&mut self, work: &mut Work, command: &SystemCommand) {
        let stamp = self.stamp(work.now);
        let events = semel_core::decide_system(&self.state, stamp, command);
        self.apply(work, stamp, events, None);
    }

    /// Evolves the events of one command, and notes what workers must be told of them.
    fn apply(&mut self, work: &mut Work, stamp: Stamp, events: Vec<Event>, cause: Option<&Envelope>) {
        if events.is_empty() {
            return;
        }
        let reporter = cause.and_then(|envelope| match &envelope.command {
            Command::ReportAttempt { attempt, .. } => {
                Some(WorkerKey { worker_id: attempt.worker_id, app: attempt.app.clone() })
            }
            _ => None,
        });
        for (worker, orders) in dispatch::notices(&self.state, &events, reporter.as_ref()) {
            if let Some(session_id) = self.workers.session_of(&worker) {
                work.output.orders.extend(orders.into_iter().map(|order| (session_id, order)));
            }
        }
        let facts = facts::of(&self.state, &events);
        if self.tells_passages {
            work.output.passages.extend(passages::of(&self.state, &events, stamp.now));
        }
        for event in &events {
            self.state.evolve(stamp, event);
        }
        self.revision = stamp.revision;
        work.records.push(Record {
            revision: stamp.revision,
            time: stamp.now,
            request_id: cause.map(|envelope| envelope.request_id),
            principal: cause.map(|envelope| envelope.principal.name.clone()).unwrap_or_default(),
            events,
            facts,
        });
    }

    /// Writes down which workers have come and gone since the last batch.
    fn note_workers(&mut self, work: &mut Work) {
        for (session_id, note) in self.workers.take_notes() {
            self.apply_system(work, &note);
            self.workers.noted(session_id, self.revision);
        }
    }

    fn expire_leases(&mut self, work: &mut Work, steady: Millis) {
        for worker in self.liveness.lost(&self.state, steady, self.options.lease) {
            // It was not silent: the engine has not got round to hearing it.
            if let Some(id) = self.workers.unheard(&worker) {
                self.heard_of(steady, id);
                continue;
            }
            let held: Vec<(RunId, AttemptNumber)> = self.state.held_by(&worker).collect();
            self.workers.lost(&self.state, &worker);
            self.note_workers(work);
            for (run_id, number) in held {
                self.apply_system(work, &SystemCommand::ExpireLease { run_id, number });
            }
        }
        self.liveness.sweep(&self.state, steady, self.options.lease);
    }

    /// Does what triggers have to do by now: each fire a command of its own, because a revision makes at most one run. What
    /// is too much for one batch goes with the next one, which follows at once.
    fn fire_triggers(&mut self, work: &mut Work) {
        let mut left = limits::STEP_FIRES_MAX;
        while left > 0
            && let Some(key) = self.state.due_trigger(work.now).cloned()
        {
            let before = self.revision;
            self.apply_system(work, &SystemCommand::FireTrigger { key: key.clone() });
            if self.revision == before {
                // What is due does something, so this cannot be; but asking again would ask for ever.
                tracing::error!(%key, "a trigger that was due did nothing; report this");
                return;
            }
            let settled = work.records.last().map_or(1, |record| times(&record.events));
            left = left.saturating_sub(1 + settled / TIMES_PER_FIRE);
        }
    }

    fn next_start(
        &self,
        closed: &mut BTreeSet<(AppName, ProcessorName)>,
    ) -> Option<(SystemCommand, SessionId, Timestamp)> {
        dispatch::next_start(&self.state, &self.workers, &self.liveness, closed)
    }

    fn hand_out(&mut self, work: &mut Work) {
        let mut closed = BTreeSet::new();
        while let Some((command, session_id, since)) = self.next_start(&mut closed) {
            let before = self.revision;
            self.apply_system(work, &command);
            let SystemCommand::StartAttempt { run_id, .. } = command else { return };
            if self.revision == before {
                // What stands as ready may start, so this cannot be; but asking again would ask for ever.
                tracing::error!(%run_id, "a run that stood as ready could not start; report this");
                return;
            }
            work.output.waits.push(Millis(work.now.0 - since.0));
            if let Some(run) = self.state.run(run_id) {
                work.output.orders.push((session_id, Order::Assign(Box::new(Assignment::of(run)))));
            }
        }
    }

    fn stamp(&mut self, now: Timestamp) -> Stamp {
        Stamp { now, revision: self.revision.next(), entropy: self.next_random() }
    }

    /// SplitMix64. Run ids are unique without it; it only keeps them from being guessed one after another.
    fn next_random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("32 bits are left")
    }
}
