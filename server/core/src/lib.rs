//! The rules of Semel, and nothing else.
//!
//! [`decide`] looks at the [`State`] and names events or refuses; [`State::evolve`] is the only thing that changes the
//! state, and cannot fail. Time, randomness and everything from the disk come in as arguments: there is no clock, no
//! I/O, no thread, no async and no protobuf in here, so whatever happens can be played again.
//!
//! ```text
//! Command ──▶ policy::permit ──▶ decide ──▶ events ──▶ State::evolve ──▶ Changes (rows for the store)
//!                                   └────▶ Reply
//! ```

pub mod app;
pub mod codec;
pub mod command;
pub mod decide;
pub mod event;
pub mod facts;
pub mod id;
pub mod job;
pub mod limits;
pub mod policy;
pub mod rejection;
pub mod reply;
pub mod run;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod state;
pub mod trace;
pub mod trigger;
pub mod window;

pub use decide::{decide, decide_system};
pub use state::State;
