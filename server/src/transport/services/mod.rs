//! One file per service: which message becomes which wish, and nothing else.

mod app;
mod auth;
mod job;
mod outbox;
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

use self::{outbox::Shelf, submit_queue::Shared};
use super::gate::Gate;

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
    /// What all workers together were handed and have not read.
    shelf: Arc<Shelf>,
}

impl Services {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        let shared = Shared::new(gate.settings.queue_max);
        let shelf = Shelf::new(gate.settings.answer_bytes_max);
        Self { gate, shared, shelf }
    }
}
