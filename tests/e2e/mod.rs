//! The files of the end-to-end tests. Each begins with what it shows.

mod docs;
mod harness;
mod lifecycle;
mod runs;
mod smoke;
mod wire;
mod workers;
