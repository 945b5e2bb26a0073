//! The Semel server: engine, store, transport, and the command line around them.
//!
//! Who may import whom: `main → cli → server → transport → engine → {core, store}`. See ARCHITECTURE.md.

pub mod admin;
pub mod auth;
pub mod backup;
mod bench;
mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod durations;
pub mod engine;
mod hangup;
pub mod logs;
mod look;
pub mod metrics;
pub mod observe;
pub mod otlp;
mod procfs;
pub mod server;
pub mod store;
pub mod transport;
pub mod worker;
