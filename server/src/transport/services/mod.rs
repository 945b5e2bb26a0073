//! One file per service: which message becomes which wish, and nothing else.

mod app;
mod auth;
mod job;
mod request;
mod run;
mod server;
mod work;
mod worker;

use std::sync::Arc;

use super::gate::Gate;

/// Serves all of `semel.v1`.
#[derive(Clone)]
pub(super) struct Services(pub(super) Arc<Gate>);
