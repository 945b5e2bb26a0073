//! The driver: a state, a manual clock, and the rows that a store would hold. Never decides what is right; it only
//! checks what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    codec::{self, Payload},
    command::{Command, Origin, Stamp, SystemCommand},
    decide::{Cold, decide, decide_system},
    event::Event,
    id::{AppName, JobKey, Millis, Revision, RunId, Timestamp, TokenId, TriggerKey},
    limits::Limits,
    rejection::Rejection,
    reply::Reply,
    run::{Phase, Run},
    samples::{ENTROPY, REQUEST},
    state::{BlobKind, LogRow, Rows, State, UniqueHold},
    trace::TraceContext,
    trigger::Effect,
};

/// What was decided, on a caller's wish (with an answer) or by the server itself (without).
pub(super) type Step = Result<(Vec<Event>, Option<Reply>), Rejection>;

/// What a store holds: encoded, as it would be.
#[derive(Default)]
pub(super) struct Disk {
    apps: BTreeMap<AppName, Vec<u8>>,
    tokens: BTreeMap<TokenId, Timestamp>,
    jobs: BTreeMap<JobKey, Vec<u8>>,
    live: BTreeMap<RunId, Vec<u8>>,
    finished: BTreeMap<RunId, Vec<u8>>,
    triggers: BTreeMap<TriggerKey, Vec<u8>>,
    unique: BTreeMap<(JobKey, String), Vec<u8>>,
    payloads: BTreeMap<RunId, Payload>,
    results: BTreeMap<RunId, Payload>,
    pub(super) logs: Vec<LogRow>,
}

pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Timestamp,
    revision: Revision,
    pub(super) disk: Disk,
    /// The passages between phases that were seen.
    pub(super) walked: BTreeSet<(Phase, Phase)>,
    /// All runs that ever were, in the order in which they were made.
    pub(super) runs: Vec<RunId>,
    /// The place in a trace of whatever is wished.
    pub(super) trace: Option<Box<TraceContext>>,
}

impl World {
    pub(super) fn new(now: Timestamp) -> Self {
        Self::with_limits(now, Limits::default())
    }

    pub(super) fn with_limits(now: Timestamp, limits: Limits) -> Self {
        Self {
            state: State::new(limits),
            now,
            revision: Revision(0),
            disk: Disk::default(),
            walked: BTreeSet::new(),
            runs: Vec::new(),
            trace: None,
        }
    }

    pub(super) fn wait(&mut self, millis: i64) {
        self.now = self.now.plus(Millis(millis));
    }

    /// The stamp of the next step.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp { now: self.now, revision: self.revision.next(), entropy: ENTROPY }
    }

    pub(super) fn decide(&self, command: &Command) -> Step {
        let mut cold = Cold::default();
        if let Some((run, payload)) = command.cold_run().and_then(|id| self.disk.run(id)) {
            cold.insert(run, payload);
        }
        let origin = Origin { request_id: REQUEST, trace: self.trace.clone() };
        let decision = decide(&self.state, &cold, self.stamp(), &origin, command);
        decision.map(|(events, reply)| (events, Some(reply)))
    }

    pub(super) fn decide_system(&self, command: &SystemCommand) -> Step {
        Ok((decide_system(&self.state, self.stamp(), command), None))
    }

    /// Makes it so, and checks the answer against what is now.
    pub(super) fn apply(&mut self, step: Step) -> Result<(), Rejection> {
        let (events, reply) = step?;
        if !events.is_empty() {
            self.evolve(&events);
        }
        if let Some(reply) = reply {
            self.check_reply(&reply);
        }
        Ok(())
    }

    /// Evolves the events of one step, and checks after each that stands alone.
    pub(super) fn evolve(&mut self, events: &[Event]) {
        let stamp = self.stamp();
        self.revision = stamp.revision;
        for event in events {
            check_round_trip(event);
            let before = run_of(event).map(|id| (id, self.phase(id)));
            self.check_against_what_is(event);
            self.state.evolve(stamp, event);
            if let Some((id, from)) = before {
                self.took_place(id, from);
            }
            // Between the end of an attempt and the event about its run nothing is asked.
            if !matches!(event, Event::AttemptEnded { .. }) {
                self.state.check_invariants();
            }
        }
    }

    fn took_place(&mut self, id: RunId, from: Option<Phase>) {
        let to = self.phase(id).expect("a run that something happened to is still known");
        match from {
            None => self.runs.push(id),
            Some(from) if from != to => {
                self.walked.insert((from, to));
            }
            Some(_) => {}
        }
    }

    /// Where a run stands, whether it is live, has just ended, or lies on disk.
    pub(super) fn phase(&self, id: RunId) -> Option<Phase> {
        self.run(id).map(|run| run.state.phase())
    }

    pub(super) fn run(&self, id: RunId) -> Option<Run> {
        let known = self.state.run(id).or_else(|| self.state.just_finished(id)).cloned();
        known.or_else(|| self.disk.finished.get(&id).map(|row| codec::decode(row).expect("it was encoded")))
    }

    /// What no event may ever say, whatever led to it.
    fn check_against_what_is(&self, event: &Event) {
        let Some(run) = run_of(event).and_then(|id| self.run(id)) else { return };
        assert!(!run.state.phase().is_terminal(), "{event:?} is about a run that has ended: {run:?}");
        match event {
            Event::AttemptStarted { number, .. } => {
                assert_eq!(number.0, run.attempt.0 + 1, "fencing numbers grow by one");
                let job = self.state.job(&run.job).expect("a live run has a job");
                assert!(job.pause.is_none(), "a paused job starts nothing");
                let running = self.state.counts(&run.job).running;
                assert!(job.spec.max_running.is_none_or(|max| running < u64::from(max)), "{running} run already");
            }
            Event::AttemptEnded { number, .. } | Event::LogAppended { number, .. } => {
                assert_eq!(Some(*number), run.held().map(|held| held.number), "only the open attempt can end or log");
            }
            _ => {}
        }
    }

    /// An answer says what is now.
    fn check_reply(&self, reply: &Reply) {
        match reply {
            Reply::App(app) | Reply::AppSecret { app, .. } => assert_eq!(self.state.app(&app.name), Some(app)),
            Reply::Job(job) => assert_eq!(self.state.job(&job.key), Some(job)),
            Reply::Run { run_id, phase, create_time, .. } => {
                let run = self.run(*run_id).expect("the run that is named exists");
                assert_eq!((run.state.phase(), run.create_time), (*phase, *create_time));
            }
            Reply::Retried { run_id, phase, .. } => assert_eq!(self.phase(*run_id), Some(*phase)),
            Reply::TriggerFired(Effect::Run(run_id)) => assert!(self.state.run(*run_id).is_some()),
            Reply::Done | Reply::RunPhase(_) | Reply::TriggerFired(_) | Reply::Backfill(_) => {}
        }
        let bytes = codec::encode(reply);
        assert_eq!(&codec::decode::<Reply>(&bytes).expect("it was encoded"), reply);
    }

    /// Writes the rows that changed, as a store does.
    pub(super) fn commit(&mut self) {
        let mut changes = self.state.take_changes();
        let live: Vec<(RunId, Vec<u8>)> =
            self.state.live_rows(&changes).map(|run| (run.id, codec::encode(run))).collect();
        self.disk.live.extend(live);
        for name in &changes.apps {
            put(&mut self.disk.apps, name, self.state.app(name).map(codec::encode));
        }
        for token_id in &changes.tokens {
            put(&mut self.disk.tokens, token_id, self.state.revoked_tokens().get(token_id).copied());
        }
        for key in &changes.jobs {
            put(&mut self.disk.jobs, key, self.state.job(key).map(codec::encode));
        }
        for key in &changes.triggers {
            put(&mut self.disk.triggers, key, self.state.trigger(key).map(|trigger| codec::encode(trigger.standing())));
        }
        for (id, run) in &changes.finished {
            self.disk.live.remove(id);
            let former = self.disk.finished.insert(*id, codec::encode(run));
            assert!(former.is_none(), "a run ends once");
        }
        for (key, hold) in &changes.unique {
            put(&mut self.disk.unique, key, hold.as_ref().map(codec::encode));
        }
        for blob in changes.blobs.drain(..) {
            let blobs = match blob.kind {
                BlobKind::Payload => &mut self.disk.payloads,
                BlobKind::Result => &mut self.disk.results,
            };
            assert!(blobs.insert(blob.run_id, blob.payload).is_none(), "bytes beside a run are written once");
        }
        self.disk.logs.append(&mut changes.logs);
    }
}

fn put<K: Ord + Clone, V>(rows: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => rows.insert(key.clone(), value),
        None => rows.remove(key),
    };
}

impl Disk {
    /// What a prefetch finds: the run as of the last commit, ended or not.
    fn run(&self, id: RunId) -> Option<(Run, Option<Payload>)> {
        let row = self.finished.get(&id).or_else(|| self.live.get(&id))?;
        Some((codec::decode(row).expect("it was encoded"), self.payloads.get(&id).cloned()))
    }

    pub(super) fn payload(&self, id: RunId) -> Option<&Payload> {
        self.payloads.get(&id)
    }

    pub(super) fn result(&self, id: RunId) -> Option<&Payload> {
        self.results.get(&id)
    }

    /// All that a state is made of.
    pub(super) fn rows(&self) -> Rows {
        fn all<'a, T: minicbor::Decode<'a, ()>>(rows: impl Iterator<Item = &'a Vec<u8>>) -> Vec<T> {
            rows.map(|row| codec::decode(row).expect("it was encoded")).collect()
        }
        let unique = self.unique.keys().cloned().zip(all::<UniqueHold>(self.unique.values())).collect();
        Rows {
            apps: all(self.apps.values()),
            tokens: self.tokens.iter().map(|(id, at)| (*id, *at)).collect(),
            jobs: all(self.jobs.values()),
            runs: all(self.live.values()),
            triggers: all(self.triggers.values()),
            unique,
        }
    }
}

/// Which run an event is about.
pub(super) fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::RunCreated { run, .. } => Some(run.id),
        Event::RunQueued { run_id }
        | Event::AttemptStarted { run_id, .. }
        | Event::AttemptEnded { run_id, .. }
        | Event::RunRetrying { run_id, .. }
        | Event::RunCancelRequested { run_id, .. }
        | Event::RunEnded { run_id, .. }
        | Event::LogAppended { run_id, .. } => Some(*run_id),
        _ => None,
    }
}

fn check_round_trip(event: &Event) {
    let bytes = codec::encode(event);
    let back: Event = codec::decode(&bytes).expect("it was encoded");
    assert_eq!(codec::encode(&back), bytes, "{event:?}");
}
