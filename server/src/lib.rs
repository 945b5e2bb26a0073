//! The Semel server: engine, store, transport, and the command line around them.
//!
//! Who may import whom: `main → transport → engine → {core, store}`. See ARCHITECTURE.md.

pub mod auth;
pub mod clock;
pub mod dev;
pub mod engine;
pub mod server;
pub mod store;
mod transport;
pub mod worker;
