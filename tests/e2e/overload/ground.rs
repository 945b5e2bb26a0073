//! A server that gets a definite amount done: its store takes a while for each request, and does nothing else meanwhile.

use std::{sync::Arc, thread, time::Duration};

use semel_server::{
    clock::timer_now,
    server::{self, Settings},
    store::{Batch, Committed, Epoch, Error, Fetched, Loaded, Reader, Store, Wanted},
};
use tokio::net::TcpListener;

use crate::e2e::{harness::TestServer, wire::PayByWire};

/// What each request costs.
const COST: Duration = Duration::from_millis(10);
/// So many may wait: a third of a second.
pub(super) const QUEUE_MAX: usize = 30;

/// A server that gets a hundred requests a second done at most.
pub(super) async fn slow() -> PayByWire {
    on(|settings| settings.engine.bounds.queue_max = QUEUE_MAX).await
}

async fn on(change: impl FnOnce(&mut Settings)) -> PayByWire {
    let settings = TestServer::settings(change);
    let listener = TcpListener::bind(settings.listen).await.expect("a free port");
    let store = Box::new(Slow(server::open_store(&settings.data).expect("a store")));
    let running = server::start_on(settings.clone(), listener, store).await.expect("the server starts");
    PayByWire::on(TestServer::running_with(settings, running)).await
}

struct Slow(Box<dyn Store>);

impl Store for Slow {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.0.load()
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        self.0.prefetch(wanted)
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let until = timer_now() + COST * u32::try_from(batch.requests.len()).expect("they are few");
        while let Some(left) = until.checked_duration_since(timer_now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        self.0.commit(epoch, batch)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.0.reader()
    }
}
