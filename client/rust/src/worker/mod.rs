//! The worker runtime: it takes runs over one stream, gives them to processors, and reports how they ended.
//!
//! This file owns what a program sets up and gets back. The state of a worker while it runs stands in `runtime`, which
//! alone decides; what a processor sees stands in `context`.
//!
//! What it promises to the server: everything that changes something bears a request id, minted when it is first sent
//! and kept over reconnects, until it is acknowledged. What it promises to a processor: it is told at once when it is to
//! stop, also when the lease must be presumed lost because the server was not heard of for too long. What nobody can
//! promise: that an attempt's own effects happen once. Hand [`Context::attempt_id`] to what the processor changes.

mod attempt;
mod context;
mod inbound;
mod lease;
mod lifecycle;
mod link;
mod log;
mod outbound;
mod processor;
mod runtime;
mod timers;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use uuid::Uuid;

pub use context::Context;
pub use processor::{Outcome, ProcessError, Processor};

use crate::{client::Client, error::Error};
use processor::Erased;

/// How many attempts a worker may take at a time, and how many processors it may offer.
const SLOTS_MAX: usize = 10_000;
const PROCESSORS_MAX: usize = 256;

/// The longest a worker may be told to wait, by its operator or by a server, so that moments can be added up without care.
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A time that the server gives, if it gives one.
fn given(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(duration).ok()).map(|duration| duration.min(TIMEOUT_MAX))
}

/// A worker that is set up and not yet running.
#[derive(Debug)]
pub struct Worker {
    client: Client,
    settings: Settings,
}

/// What a worker was set up with.
#[derive(Debug)]
struct Settings {
    app: String,
    worker_id: String,
    name: String,
    processors: BTreeMap<String, Arc<dyn Erased>>,
    slots: usize,
    drain_timeout: Duration,
    cancel_timeout: Duration,
}

impl Worker {
    /// Begins to set up a worker that speaks through `client`.
    pub fn builder(client: Client) -> Builder {
        Builder {
            client,
            settings: Settings {
                app: String::new(),
                worker_id: Uuid::now_v7().to_string(),
                name: String::new(),
                processors: BTreeMap::new(),
                slots: 1,
                drain_timeout: Duration::from_secs(30),
                cancel_timeout: Duration::from_secs(10),
            },
        }
    }

    /// The id of this worker: minted when it was set up, kept over reconnects.
    pub fn id(&self) -> &str {
        &self.settings.worker_id
    }

    /// Works until `shutdown` is ready, then drains: no new work is taken, what runs may end within the drain timeout,
    /// the rest is cancelled and given back. Reconnects by itself, for ever; it fails only when a server refuses the
    /// worker for good, for instance because the credentials do not allow it to work.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
        runtime::Runtime::new(self.client, self.settings).run(shutdown).await
    }
}

/// Sets up a [`Worker`].
#[derive(Debug)]
pub struct Builder {
    client: Client,
    settings: Settings,
}

impl Builder {
    /// The app whose runs it takes. Default: that of the client, and without one that of the credentials.
    #[must_use]
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.settings.app = app.into();
        self
    }

    /// A name for people, for instance the host's. Default: none.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Offers a processor under a name; a later one under the same name takes its place.
    #[must_use]
    pub fn processor(mut self, name: impl Into<String>, processor: impl Processor) -> Self {
        self.settings.processors.insert(name.into(), Arc::new(processor));
        self
    }

    /// How many attempts it takes at a time. Default 1, at most 10,000.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.settings.slots = slots;
        self
    }

    /// How long what runs may go on after the shutdown has begun, before it is cancelled and given back. Default 30 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// How long a processor may take to stop after it was told to, before its future is dropped. Default 10 s.
    #[must_use]
    pub fn cancel_timeout(mut self, timeout: Duration) -> Self {
        self.settings.cancel_timeout = timeout;
        self
    }

    /// The worker, or what is wrong with its settings.
    pub fn build(self) -> Result<Worker, Error> {
        let Self { client, mut settings } = self;
        if settings.processors.is_empty() || settings.processors.len() > PROCESSORS_MAX {
            return Err(Error::usage(format!("a worker needs from 1 to {PROCESSORS_MAX} processors; add one")));
        }
        if settings.slots == 0 || settings.slots > SLOTS_MAX {
            return Err(Error::usage(format!("slots must be from 1 to {SLOTS_MAX}")));
        }
        settings.drain_timeout = settings.drain_timeout.min(TIMEOUT_MAX);
        settings.cancel_timeout = settings.cancel_timeout.min(TIMEOUT_MAX);
        if settings.app.is_empty() {
            settings.app.clone_from(&client.core().app);
        }
        Ok(Worker { client, settings })
    }
}

/// What a worker did, as the server acknowledged it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Attempts whose processor was started.
    pub attempts: u64,
    /// Attempts that were reported as succeeded.
    pub succeeded: u64,
    /// Attempts that were reported as failed.
    pub failed: u64,
    /// Attempts that were reported as cancelled.
    pub cancelled: u64,
    /// Attempts that were given back.
    pub released: u64,
    /// Attempts that were over before they could be reported: timed out, or given to another worker.
    pub stale: u64,
    /// Attempts whose report was not acknowledged before the worker had to stop. Their leases run out by themselves.
    pub unreported: u64,
}
