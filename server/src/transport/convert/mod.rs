//! Between the protocol's messages and the domain's types: the only place that knows both. Parses and checks on the way
//! in, all faults at once; translates on the way out; chooses nothing.

pub(crate) mod app;
pub(crate) mod event;
pub(crate) mod fields;
pub(crate) mod header;
pub(crate) mod job;
pub(crate) mod reply;
pub(crate) mod run;
pub(crate) mod time;
pub(crate) mod trigger;
pub(crate) mod worker;
