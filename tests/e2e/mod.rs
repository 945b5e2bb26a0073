//! The files of the end-to-end tests. Each begins with what it shows.

mod bench;
mod binary;
mod crash;
mod crew;
mod crowd;
mod dedup;
mod descriptors;
mod docs;
mod dynamic;
mod gateway;
mod harness;
mod lifecycle;
mod modes;
mod pages;
mod powerjob;
mod process;
mod raw_submitter;
mod raw_worker;
mod refusals;
mod runs;
mod samples;
mod smoke;
mod submit_runs;
mod valve;
mod wire;
mod workers;
