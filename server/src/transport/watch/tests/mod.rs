//! The promises of a watch over random histories, with everything that may go wrong in between. No time passes and nothing
//! is async in here: an engine over a store in memory, the ring, and cursors, one step after the other.

mod bugs;
mod model;
mod promises;
mod snapshots;
pub(super) mod threads;
mod world;
