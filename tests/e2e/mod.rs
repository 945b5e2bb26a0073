//! The files of the end-to-end tests. Each begins with what it shows.

mod docs;
mod harness;
mod smoke;
mod wire;
mod workers;
