//! `semel worker`: a worker with the built-in processors. Only the arguments; the work is done elsewhere.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    failure::{Done, Failure},
    global::Global,
    parse,
};

/// A processor that comes with the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum BuiltIn {
    /// Runs programs of an allow-list
    Exec,
    /// Calls URLs of an allow-list
    Http,
}

/// What `semel worker` was told.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// A name for people; the host's if left out
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub name: String,
    /// How many attempts it takes at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// What it can do, separated by commas; what it may do the allow-lists say
    #[arg(long = "processor", value_name = "NAMES", value_enum, value_delimiter = ',', default_value = "exec,http")]
    pub processors: Vec<BuiltIn>,
    /// Allows the programs whose arguments begin so, for instance "sha256sum" or "/usr/bin/backup --dry-run"; may be
    /// given more than once. Without it `exec` runs nothing
    #[arg(long, value_name = "ARGV PREFIX")]
    pub exec_allow: Vec<String>,
    /// How long a program may run, if its job does not say
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, default_value = "10m")]
    pub exec_timeout: Duration,
    /// Allows the URLs that begin so; may be given more than once. Without it `http` calls nothing
    #[arg(long, value_name = "URL PREFIX")]
    pub http_allow: Vec<String>,
    /// How long attempts may go on when the worker is asked to stop
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, default_value = "30s")]
    pub drain_timeout: Duration,
}

/// Starts it on a runtime of its own.
pub(super) fn run(args: WorkerArgs, global: &Global) -> Result<Done, Failure> {
    super::busy_runtime()?.block_on(async {
        let client = global.connect().await?;
        // Becomes `crate::worker::run(args, client).await`.
        drop((args, client));
        Err(Failure::local("`semel worker` is not wired to its parts in this build", "use the Rust client's worker"))
    })
}
