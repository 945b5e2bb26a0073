//! The files of the end-to-end tests. Each begins with what it shows.

mod dedup;
mod harness;
mod raw_worker;
mod smoke;
mod valve;
mod wire;
