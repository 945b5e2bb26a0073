//! The workers that are connected now. Volatile: a worker that is gone is told from one that is lost by its lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use semel_core::{
    State,
    id::{AppName, AttemptNumber, ProcessorName, RunId, WorkerId},
};

/// One stream of one worker.
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

#[derive(Debug)]
pub(super) struct Session {
    pub(super) hello: Hello,
    pub(super) draining: bool,
}

impl Session {
    fn free(&self, state: &State) -> usize {
        if self.draining {
            return 0;
        }
        (self.hello.slots as usize).saturating_sub(state.held_count(self.hello.worker_id))
    }
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    sessions: BTreeMap<SessionId, Session>,
    by_worker: BTreeMap<WorkerId, SessionId>,
    offers: BTreeMap<(AppName, ProcessorName), BTreeSet<SessionId>>,
}

impl Workers {
    /// Takes a session in. A former one of the same worker is put out and returned: the newest stream speaks for it.
    pub(super) fn open(&mut self, id: SessionId, hello: Hello) -> Option<SessionId> {
        let former = self.by_worker.get(&hello.worker_id).copied();
        if let Some(former) = former {
            self.close(former);
        }
        for processor in &hello.processors {
            self.offers.entry((hello.app.clone(), processor.clone())).or_default().insert(id);
        }
        self.by_worker.insert(hello.worker_id, id);
        self.sessions.insert(id, Session { hello, draining: false });
        former
    }

    pub(super) fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        if self.by_worker.get(&session.hello.worker_id) == Some(&id) {
            self.by_worker.remove(&session.hello.worker_id);
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

    pub(super) fn session_of(&self, worker_id: WorkerId) -> Option<SessionId> {
        self.by_worker.get(&worker_id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The session with most free slots among those that offer a processor to an app, and whose worker is heard of.
    pub(super) fn freest(
        &self,
        state: &State,
        app: &AppName,
        processor: &ProcessorName,
        is_heard: impl Fn(WorkerId) -> bool,
    ) -> Option<SessionId> {
        let offers = self.offers.get(&(app.clone(), processor.clone()))?;
        let heard = offers.iter().filter(|id| is_heard(self.sessions[*id].hello.worker_id));
        let free = heard.map(|id| (self.sessions[id].free(state), std::cmp::Reverse(*id)));
        free.filter(|(free, _)| *free > 0).max().map(|(_, id)| id.0)
    }

    /// How many workers that are heard of offer a processor to an app, how many slots they have, and how many of these
    /// are free.
    pub(super) fn offer(
        &self,
        state: &State,
        app: &AppName,
        processor: &ProcessorName,
        is_heard: impl Fn(WorkerId) -> bool,
    ) -> (usize, usize, usize) {
        let offers = self.offers.get(&(app.clone(), processor.clone()));
        let sessions = offers.into_iter().flatten().map(|id| &self.sessions[id]);
        let sessions = sessions.filter(|session| is_heard(session.hello.worker_id));
        sessions.fold((0, 0, 0), |(workers, slots, free), session| {
            (workers + 1, slots + session.hello.slots as usize, free + session.free(state))
        })
    }
}

/// What a worker that has just connected must be told.
#[derive(Debug, Default)]
pub struct OpenedSession {
    /// Attempts that it holds and that are no longer its own.
    pub stale: Vec<(RunId, AttemptNumber)>,
    /// Attempts that are its own and that it does not know of: what was on its way when the stream broke.
    pub resend: Vec<super::dispatch::Order>,
    /// The former stream of the same worker, which must end.
    pub replaced: Option<SessionId>,
}

impl super::Engine {
    /// A worker has connected, for the first time or again.
    pub fn worker_opened(&mut self, now: crate::clock::Now, id: SessionId, hello: Hello) -> OpenedSession {
        self.liveness.heard(hello.worker_id, now.steady);
        let own: BTreeSet<(RunId, AttemptNumber)> = self.state.held_by(hello.worker_id).collect();
        let held: BTreeSet<(RunId, AttemptNumber)> = hello.held.iter().copied().collect();
        let resend = own.difference(&held).filter_map(|(run_id, _)| self.state.run(*run_id));
        let resend = resend.map(|run| super::dispatch::Order::Assign(Box::new(super::dispatch::Assignment::of(run))));
        OpenedSession {
            stale: held.difference(&own).copied().collect(),
            resend: resend.collect(),
            replaced: self.workers.open(id, hello),
        }
    }

    /// The stream of a worker has ended. What it holds stays its own until its lease runs out.
    pub fn worker_closed(&mut self, id: SessionId) {
        self.workers.close(id);
    }

    /// A worker said something.
    pub fn worker_heard(&mut self, now: crate::clock::Now, id: SessionId) {
        if let Some(session) = self.workers.get(id) {
            self.liveness.heard(session.hello.worker_id, now.steady);
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
        if let Some(session) = self.workers.get_mut(id) {
            session.draining = true;
        }
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
