//! `semel dev`: a server, a worker and an example app in one process. Only the arguments; the work is done elsewhere.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    failure::{Done, Failure},
    global::{Global, Output},
};

/// What `semel dev` was told.
#[derive(Args, Clone, Debug)]
pub struct DevArgs {
    /// Where everything is kept
    #[arg(long, value_name = "DIR", default_value = "semel-dev")]
    pub data_dir: PathBuf,
    /// Where to listen; if that is taken, a free port is used, and said
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub listen: SocketAddr,
    /// Ends when the example has run, with a code that says how it went
    #[arg(long)]
    pub once: bool,
    /// Whether to answer in JSON; set from `-o json`.
    #[arg(skip)]
    pub json: bool,
}

/// Starts it on a runtime of its own.
pub(super) fn run(mut args: DevArgs, global: &Global) -> Result<Done, Failure> {
    args.json = global.output == Output::Json;
    // Becomes `super::busy_runtime()?.block_on(crate::dev::run(args))`, whose exit code is `Done`'s.
    Err(Failure::local("`semel dev` is not wired to its parts in this build", "use `semel serve` and `semel worker`"))
}
