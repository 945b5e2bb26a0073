//! A store whose commits and loads can be held back, so that a test can look at what lies between two steps. Keeps
//! nothing itself.

use std::sync::{Arc, Condvar, Mutex};

use semel_server::{
    server::{self, Settings},
    store::{Batch, Committed, Epoch, Error, Fetched, Loaded, Reader, Store, Wanted},
};
use tokio::{net::TcpListener, sync::watch};

use super::harness::{TestServer, in_time};

/// Holds back what the engine wants of its store. Open at first.
#[derive(Clone)]
pub(crate) struct Valve(Arc<Parts>);

struct Parts {
    shut: Mutex<Shut>,
    changed: Condvar,
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Shut {
    load: bool,
    commit: Option<Which>,
}

/// Which commits are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that remember a request.
    Requests,
    /// Those by which a run changes.
    Runs,
}

impl Valve {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Parts { shut: Mutex::default(), changed: Condvar::new(), held: watch::Sender::new(false) }))
    }

    /// A server over a held store in memory.
    pub(crate) async fn server(change: impl FnOnce(&mut Settings)) -> (TestServer, Self) {
        let valve = Self::new();
        let settings = TestServer::settings(change);
        let listener = TcpListener::bind(settings.listen).await.expect("a free port");
        let store = valve.on(server::open_store(&settings.data).expect("a store"));
        let running = server::start_on(settings.clone(), listener, store).await.expect("the server starts");
        (TestServer::running_with(settings, running), valve)
    }

    /// The store behind this valve.
    pub(crate) fn on(&self, inner: Box<dyn Store>) -> Box<dyn Store> {
        Box::new(Held { inner, valve: self.clone() })
    }

    /// From now on such commits wait.
    pub(crate) fn shut(&self, which: Which) {
        self.0.shut.lock().expect("not poisoned").commit = Some(which);
    }

    /// From now on loads wait.
    pub(crate) fn shut_load(&self) {
        self.0.shut.lock().expect("not poisoned").load = true;
    }

    /// Lets everything through.
    pub(crate) fn open(&self) {
        *self.0.shut.lock().expect("not poisoned") = Shut::default();
        self.0.changed.notify_all();
    }

    /// Waits until something is held back.
    pub(crate) async fn holds(&self) {
        let mut held = self.0.held.subscribe();
        in_time(held.wait_for(|held| *held)).await.expect("the valve is there");
    }

    fn pass(&self, is_held: impl Fn(&Shut) -> bool) {
        let mut shut = self.0.shut.lock().expect("not poisoned");
        while is_held(&shut) {
            self.0.held.send_replace(true);
            shut = self.0.changed.wait(shut).expect("not poisoned");
        }
        self.0.held.send_replace(false);
    }
}

struct Held {
    inner: Box<dyn Store>,
    valve: Valve,
}

impl Store for Held {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.valve.pass(|shut| shut.load);
        self.inner.load()
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        self.inner.prefetch(wanted)
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let requests = !batch.requests.is_empty();
        let runs = !batch.live.is_empty() || !batch.finished.is_empty();
        self.valve.pass(|shut| match shut.commit {
            Some(Which::Requests) => requests,
            Some(Which::Runs) => runs,
            None => false,
        });
        self.inner.commit(epoch, batch)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.inner.reader()
    }
}
