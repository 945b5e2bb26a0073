//! wip
pub mod exec;
mod payload;
