//! `semel dev`: a server, a worker and an example app in one process. Only the arguments; the work is done elsewhere.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    failure::{Done, Failure},
    global::{Global, Output},
    hints::Exit,
};
use crate::dev;

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
}

/// Starts it on a runtime of its own.
pub(super) fn run(args: DevArgs, global: &Global) -> Result<Done, Failure> {
    let DevArgs { data_dir, listen, once } = args;
    let settings = dev::Settings { data_dir, listen, once, json: global.output == Output::Json };
    let verdict = super::runtime::busy_runtime()?.block_on(dev::run(settings));
    match verdict.map_err(|error| Failure::with_causes(&error, "see server.log in the data directory"))? {
        dev::Verdict::Held => Ok(Done::OK),
        dev::Verdict::Broken => Ok(Done::with(Exit::General)),
    }
}
