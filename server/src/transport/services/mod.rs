//! One file per service: which message becomes which wish, and nothing else.

mod app;
mod auth;
mod job;
mod request;
mod run;
mod server;
mod standing;
mod submit;
mod submit_queue;
mod trigger;
mod watch;
mod work;
mod worker;

use std::sync::Arc;

use super::{gate::Gate, watch::Hub};
use submit_queue::Shared;

pub(super) use self::{
    standing::{Standing, going_away},
    watch::WatchDoor,
};

/// Serves all of `semel.v1`.
#[derive(Clone)]
pub(super) struct Services {
    gate: Arc<Gate>,
    /// What all streams of submitters together may have in the engine.
    shared: Shared,
    /// What all watchers share.
    hub: Arc<Hub>,
}

impl Services {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        let shared = Shared::new(gate.settings.queue_max);
        Self { gate, shared, hub: Arc::default() }
    }
}
