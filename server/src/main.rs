//! The one binary. It only hands over to the command line.

use std::process::ExitCode;

/// Calls and commits are made of many small pieces that one thread makes and another lets go of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    semel_server::cli::main()
}
