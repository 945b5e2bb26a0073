//! The files of the end-to-end tests. Each begins with what it shows.

mod harness;
mod smoke;
