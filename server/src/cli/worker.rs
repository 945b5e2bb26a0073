//! `semel worker`: a worker with the built-in processors. Only the arguments; the work is done elsewhere.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    failure::{Done, Failure},
    global::Global,
    out, parse, signal,
};
use crate::{config::LogFormat, worker};

/// A processor that comes with the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum BuiltIn {
    /// Runs programs of an allow-list
    Exec,
    /// Calls URLs of an allow-list
    Http,
}

impl BuiltIn {
    fn kind(self) -> worker::Kind {
        match self {
            Self::Exec => worker::Kind::Exec,
            Self::Http => worker::Kind::Http,
        }
    }
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
    /// What it offers, separated by commas; if left out, whatever has something on its allow-list
    #[arg(long = "processor", value_name = "NAMES", value_enum, value_delimiter = ',')]
    pub processors: Vec<BuiltIn>,
    /// Allows the programs whose arguments begin so, for instance "/usr/bin/sha256sum" or "/usr/bin/backup --dry-run"; may be
    /// given more than once. Without it `exec` runs nothing
    #[arg(long, value_name = "ARGV PREFIX")]
    pub exec_allow: Vec<String>,
    /// How long a program may run at most, whatever its job says
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, default_value = "1h")]
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
    let settings = settings(args)?;
    super::log_to_stderr("info", LogFormat::Text, global);
    super::runtime::busy_runtime()?.block_on(async {
        let client = global.connect().await?;
        let stop = async {
            let signal = signal::stop().await;
            out::note(&format!("{signal}: taking no further work, and finishing what is under way"));
        };
        let ended = worker::run(settings, client, stop).await;
        let summary = ended.map_err(|error| Failure::with_causes(&error, "see `semel worker --help`"))?;
        out::note(&format!(
            "{} attempts: {} succeeded, {} failed, {} cancelled, {} given back",
            summary.attempts, summary.succeeded, summary.failed, summary.cancelled, summary.released
        ));
        Ok(Done::OK)
    })
}

fn settings(args: WorkerArgs) -> Result<worker::Settings, Failure> {
    let mut settings = worker::Settings { name: args.name, drain_timeout: args.drain_timeout, ..Default::default() };
    if settings.name.is_empty() {
        settings.name = std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned()).unwrap_or_default();
    }
    settings.slots = usize::try_from(args.slots).unwrap_or(1);
    settings.processors = args.processors.into_iter().map(BuiltIn::kind).collect();
    for text in &args.exec_allow {
        let prefix = text.parse().map_err(|error| Failure::usage(format!("--exec-allow {text}: {error}")))?;
        settings.exec.allow.push(prefix);
    }
    for text in &args.http_allow {
        let prefix = text.parse().map_err(|error| Failure::usage(format!("--http-allow {text}: {error}")))?;
        settings.http.allow.push(prefix);
    }
    settings.exec.timeout = args.exec_timeout;
    Ok(settings)
}
