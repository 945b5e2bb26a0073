//! The workers that are connected now. Volatile: a worker that is gone is told from one that is lost by its lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use semel_core::{
    State,
    command::SystemCommand,
    event::WorkerStanding,
    id::{AppName, AttemptNumber, Millis, ProcessorName, Revision, RunId, WorkerId, WorkerKey},
    run::{Run, RunState},
};

use super::{
    dispatch::{Assignment, CancelReason, Order},
    liveness::{Liveness, Pulse},
};

/// One stream of one worker. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// How a worker introduces itself. Checked on its way in.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Whose runs it takes.
    pub app: AppName,
    /// Which process it is.
    pub worker_id: WorkerId,
    /// What it calls itself.
    pub worker_name: Arc<str>,
    /// What it can do.
    pub processors: BTreeSet<ProcessorName>,
    /// How many attempts it takes at a time.
    pub slots: u32,
    /// What it still holds.
    pub held: Vec<(RunId, AttemptNumber)>,
}

impl Hello {
    /// Which worker it is.
    pub(super) fn key(&self) -> WorkerKey {
        WorkerKey { worker_id: self.worker_id, app: self.app.clone() }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) hello: Hello,
    pub(super) draining: bool,
    pulse: Pulse,
    /// Its lease has passed while it held something, and it was not heard of since.
    lost: bool,
    /// Where in the log its last change stands.
    revision: Revision,
}

/// A worker that is connected, for those who look from outside.
#[derive(Clone, Debug)]
pub struct Connected {
    /// What it said of itself.
    pub hello: Hello,
    /// Where it stands.
    pub standing: WorkerStanding,
    /// Where in the log its last change stands.
    pub revision: Revision,
}

impl Session {
    fn standing(&self) -> WorkerStanding {
        match (self.lost, self.draining) {
            (true, _) => WorkerStanding::Lost,
            (false, true) => WorkerStanding::Draining,
            (false, false) => WorkerStanding::Connected,
        }
    }

    fn note(&self, standing: WorkerStanding) -> SystemCommand {
        SystemCommand::NoteWorker {
            app: self.hello.app.clone(),
            worker_id: self.hello.worker_id,
            worker_name: self.hello.worker_name.clone(),
            standing,
            processors: self.hello.processors.iter().cloned().collect(),
            slots: self.hello.slots,
        }
    }

    fn free(&self, state: &State) -> usize {
        if self.draining {
            return 0;
        }
        (self.hello.slots as usize).saturating_sub(state.held_count(&self.hello.key()))
    }
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    sessions: BTreeMap<SessionId, Session>,
    by_worker: BTreeMap<WorkerKey, SessionId>,
    offers: BTreeMap<(AppName, ProcessorName), BTreeSet<SessionId>>,
    /// What is to be written down with the next batch. One for each message of a session at most, so the queue of messages
    /// bounds it.
    notes: Vec<(SessionId, SystemCommand)>,
}

impl Workers {
    /// Takes a session in. A former one of the same worker is put out and returned: the newest stream speaks for it.
    pub(super) fn open(&mut self, id: SessionId, hello: Hello) -> Option<SessionId> {
        let former = self.by_worker.get(&hello.key()).copied();
        if let Some(former) = former {
            self.close(former);
        }
        for processor in &hello.processors {
            self.offers.entry((hello.app.clone(), processor.clone())).or_default().insert(id);
        }
        self.by_worker.insert(hello.key(), id);
        let pulse = Pulse::default();
        let session = Session { hello, draining: false, pulse, lost: false, revision: Revision(0) };
        self.notes.push((id, session.note(WorkerStanding::Connected)));
        self.sessions.insert(id, session);
        former
    }

    /// Where it is seen first that a session was heard of.
    pub(super) fn listen(&mut self, id: SessionId, pulse: Pulse) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.pulse = pulse;
        }
    }

    /// The session of a worker of which something was heard that has not come here yet.
    pub(super) fn unheard(&self, worker: &WorkerKey) -> Option<SessionId> {
        self.session_of(worker).filter(|id| self.sessions.get(id).is_some_and(|session| session.pulse.is_news()))
    }

    /// The server has started: whoever was connected before is so no more. Written down with the first batch and not at
    /// the start itself, where nothing is written that need not be.
    pub(super) fn reset(&mut self) {
        self.notes.push((SessionId(0), SystemCommand::ResetWorkers));
    }

    /// What is to be written down of what has changed.
    pub(super) fn take_notes(&mut self) -> Vec<(SessionId, SystemCommand)> {
        std::mem::take(&mut self.notes)
    }

    /// It was written down, there.
    pub(super) fn noted(&mut self, id: SessionId, revision: Revision) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.revision = revision;
        }
    }

    /// The stream of a session has ended, and no other of its worker has taken its place.
    fn ended(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get(&id) {
            self.notes.push((id, session.note(WorkerStanding::Disconnected)));
        }
        self.close(id);
    }

    fn drains(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.draining {
            session.draining = true;
            self.notes.push((id, session.note(WorkerStanding::Draining)));
        }
    }

    /// A session was heard of: if it was taken for lost, it no longer is.
    fn heard(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.lost {
            session.lost = false;
            self.notes.push((id, session.note(session.standing())));
        }
    }

    /// The lease of a worker that holds attempts has passed; its stream may be open still, or not.
    pub(super) fn lost(&mut self, state: &State, worker: &WorkerKey) {
        let session = self.session_of(worker).and_then(|id| Some((id, self.sessions.get_mut(&id)?)));
        if let Some((id, session)) = session {
            session.lost = true;
            self.notes.push((id, session.note(WorkerStanding::Lost)));
            return;
        }
        let held = state.held_by(worker).find_map(|(run_id, _)| state.run(run_id)?.held());
        let note = SystemCommand::NoteWorker {
            app: worker.app.clone(),
            worker_id: worker.worker_id,
            worker_name: held.map_or_else(|| "".into(), |held| held.worker_name.clone()),
            standing: WorkerStanding::Lost,
            processors: Vec::new(),
            slots: 0,
        };
        self.notes.push((SessionId(0), note));
    }

    /// All that are connected.
    pub(super) fn connected(&self) -> impl Iterator<Item = Connected> + '_ {
        self.sessions.values().map(|session| Connected {
            hello: session.hello.clone(),
            standing: session.standing(),
            revision: session.revision,
        })
    }

    pub(super) fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        let key = session.hello.key();
        if self.by_worker.get(&key) == Some(&id) {
            self.by_worker.remove(&key);
        }
        for processor in session.hello.processors {
            let key = (session.hello.app.clone(), processor);
            if let Some(offers) = self.offers.get_mut(&key) {
                offers.remove(&id);
                if offers.is_empty() {
                    self.offers.remove(&key);
                }
            }
        }
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(super) fn session_of(&self, worker: &WorkerKey) -> Option<SessionId> {
        self.by_worker.get(worker).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session with most free slots among those that offer a processor to an app.
    pub(super) fn freest(
        &self,
        state: &State,
        liveness: &Liveness,
        app: &AppName,
        processor: &ProcessorName,
    ) -> Option<SessionId> {
        let free = self.awake(liveness, app, processor);
        let free = free.map(|(id, session)| (session.free(state), std::cmp::Reverse(id)));
        free.filter(|(free, _)| *free > 0).max().map(|(_, id)| id.0)
    }

    /// The sessions that offer a processor to an app and were heard of of late.
    fn awake(
        &self,
        liveness: &Liveness,
        app: &AppName,
        processor: &ProcessorName,
    ) -> impl Iterator<Item = (SessionId, &Session)> {
        let offers = self.offers.get(&(app.clone(), processor.clone())).into_iter().flatten();
        let sessions = offers.map(|id| (*id, &self.sessions[id]));
        sessions.filter(|(_, session)| liveness.is_awake(&session.hello.key()))
    }

    /// How many workers offer a processor to an app, how many slots they have, and how many of these are free.
    pub(super) fn offer(
        &self,
        state: &State,
        liveness: &Liveness,
        app: &AppName,
        processor: &ProcessorName,
    ) -> (usize, usize, usize) {
        self.awake(liveness, app, processor).fold((0, 0, 0), |(workers, slots, free), (_, session)| {
            (workers + 1, slots + session.hello.slots as usize, free + session.free(state))
        })
    }
}

/// What a worker that has just connected must be told.
#[derive(Debug, Default)]
pub struct OpenedSession {
    /// Attempts that it holds and that are no longer its own.
    pub stale: Vec<(RunId, AttemptNumber)>,
    /// What was on its way when the stream broke, or came up since: attempts that are its own and that it does not know
    /// of, and the wish that it stops one.
    pub resend: Vec<Order>,
    /// The former stream of the same worker, which must end.
    pub replaced: Option<SessionId>,
}

impl super::Engine {
    /// A worker has connected, for the first time or again.
    pub fn worker_opened(&mut self, now: crate::clock::Now, id: SessionId, hello: Hello) -> OpenedSession {
        self.liveness.heard(hello.key(), now.steady);
        let own: BTreeSet<(RunId, AttemptNumber)> = self.state.held_by(&hello.key()).collect();
        let held: BTreeSet<(RunId, AttemptNumber)> = hello.held.iter().copied().collect();
        let unknown = own.difference(&held).filter_map(|(run_id, _)| self.state.run(*run_id));
        let assign = unknown.map(|run| Order::Assign(Box::new(Assignment::of(run))));
        let cancel = own.iter().filter_map(|(run_id, number)| {
            let cancelling = |run: &&Run| matches!(run.state, RunState::Cancelling { .. });
            let run = self.state.run(*run_id).filter(cancelling)?;
            Some(Order::Cancel { run_id: run.id, number: *number, reason: CancelReason::Cancelled })
        });
        OpenedSession {
            stale: held.difference(&own).copied().collect(),
            resend: assign.chain(cancel).collect(),
            replaced: self.workers.open(id, hello),
        }
    }

    /// The stream of a worker has ended. What it holds stays its own until its lease runs out.
    pub fn worker_closed(&mut self, id: SessionId) {
        self.workers.ended(id);
    }

    /// A worker said something.
    pub fn worker_heard(&mut self, now: crate::clock::Now, id: SessionId) {
        self.heard_of(now.steady, id);
    }

    /// A session was heard of, by now at the latest.
    pub(super) fn heard_of(&mut self, steady: Millis, id: SessionId) {
        if let Some(session) = self.workers.get(id) {
            session.pulse.known();
            self.liveness.heard(session.hello.key(), steady);
            self.workers.heard(id);
        }
    }

    /// A worker takes so many attempts at a time from now on.
    pub fn worker_credit(&mut self, id: SessionId, slots: u32) {
        if let Some(session) = self.workers.get_mut(id) {
            session.hello.slots = slots;
        }
    }

    /// A worker wants no further work.
    pub fn worker_drains(&mut self, id: SessionId) {
        self.workers.drains(id);
    }

    /// A worker says how far an attempt is. Word about what it does not hold is passed over.
    pub fn worker_progress(&mut self, id: SessionId, run_id: RunId, progress: super::Progress) {
        let Some(session) = self.workers.get(id) else { return };
        let held = self.state.run(run_id).and_then(semel_core::run::Run::held);
        if held.is_some_and(|held| held.worker_id == session.hello.worker_id && held.number == progress.attempt) {
            self.liveness.set_progress(run_id, progress);
        }
    }

    /// How many runs wait for what a worker can do.
    pub fn queued_for_worker(&self, id: SessionId) -> u64 {
        let Some(session) = self.workers.get(id) else { return 0 };
        let hello = &session.hello;
        hello.processors.iter().map(|processor| self.state.queued_for(&hello.app, processor)).sum()
    }
}
