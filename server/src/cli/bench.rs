//! `semel bench`: measures what Semel costs on this machine. Only the arguments, the progress and the output; the work is
//! done in [`bench`](crate::bench).

use std::{
    io::IsTerminal as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use semel_client::Credentials;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{
    failure::{Done, Failure},
    files,
    global::{Global, Output},
    out, serve, signal,
};
use crate::bench::{self, Growth, Progress, Report, Settings, TRIGGERS_MIN, Target, Triggers, Watchers};

/// Rounds and seconds a point, by default and with `--quick`.
const ROUNDS: u32 = 3;
const SECONDS: f64 = 3.0;
const QUICK_ROUNDS: u32 = 1;
const QUICK_SECONDS: f64 = 1.0;
/// The steady load, by default; with `--quick` it is measured as long as a point is.
const STEADY_SECONDS: f64 = 60.0;
/// How many watch, by default and with `--quick`.
const WATCHERS: [u32; 2] = [10_000, 50_000];
const QUICK_WATCHERS: [u32; 2] = [200, 1000];
/// How many triggers there are, by default and with `--quick`, and how long they fire; with `--quick` as long as a point.
const TRIGGERS: u64 = 1_000_000;
const FIRES_SECONDS: f64 = 30.0;
/// How far `--full` grows the store.
const RECORDS: u64 = 10_000_000;
const PENDING: u64 = 1_000_000;
/// The longest time of a point: more says nothing more.
const SECONDS_MAX: f64 = 3600.0;

/// What `semel bench` was told.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    child: Option<Child>,
    /// Measures a server that runs already, with the credentials of this command; what it is sent stays in it
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    address: Option<String>,
    /// Where the bench's own server keeps its data, to choose the disk: in a new folder below this, removed afterwards
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How often each point is measured [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How long each point is measured in each round [default: 3]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Only these points and what they are compared with, by the names of the JSON report
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// How long the steady load is measured [default: 60]
    #[arg(long, value_name = "S", value_parser = seconds)]
    steady: Option<Duration>,
    /// How many watch, each of them runs of its own [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    watchers: Option<u32>,
    /// How many watch the same runs at the most [default: 50000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    watchers_together: Option<u32>,
    /// How many triggers there are [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(TRIGGERS_MIN..=5_000_000))]
    triggers: Option<u64>,
    /// How long triggers fire, spread over each second and then all at once [default: 30]
    #[arg(long, value_name = "S", value_parser = seconds)]
    fires: Option<Duration>,
    /// Grows the store too: memory, start and speed with a million pending runs, and with many remembered requests. Takes
    /// minutes and GBs
    #[arg(long, conflicts_with = "address")]
    full: bool,
    /// To how many remembered requests --full grows the store
    #[arg(long, value_name = "N", default_value_t = RECORDS, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    records: u64,
    /// How many runs --full leaves pending
    #[arg(long, value_name = "N", default_value_t = PENDING, value_parser = clap::value_parser!(u64).range(1000..=5_000_000))]
    pending: u64,
    /// One round of a second a point: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// Shows the report of an earlier run (the file that -o json gave) as Markdown, and measures nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["address", "data_dir", "rounds", "seconds", "only", "quick", "steady", "watchers", "watchers_together", "triggers", "fires", "full"])]
    report: Option<PathBuf>,
}

/// What the bench starts by itself.
#[derive(Debug, Subcommand)]
enum Child {
    /// Serves the bare echo
    #[command(hide = true)]
    EchoServer {
        /// Written once it is ready
        #[arg(long)]
        ready_file: PathBuf,
    },
}

pub(super) fn run(args: BenchArgs, global: &Global) -> Result<Done, Failure> {
    if let Some(Child::EchoServer { ready_file }) = args.child {
        return super::runtime::server_runtime()?.block_on(echo_server(ready_file));
    }
    if let Some(path) = &args.report {
        let report: Value = serde_json::from_str(&files::read_text(path)?)
            .map_err(|error| Failure::usage(format!("{} is no JSON: {error}", path.display())))?;
        let table = bench::markdown(&report);
        out::text(&table.map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?)?;
        return Ok(Done::OK);
    }
    let settings = settings(args, global)?;
    let report = super::runtime::busy_runtime()?.block_on(measured(settings))?;
    match global.output {
        Output::Table => out::text(&bench::text(&report.0).map_err(|why| Failure::local(why, "report this"))?)?,
        Output::Json => out::json(&report.0)?,
    }
    Ok(Done::OK)
}

async fn echo_server(ready_file: PathBuf) -> Result<Done, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::with_causes(error, "check the limits of this machine");
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(|e| failed(&e))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    serve::write_ready(&ready_file, address, None).map_err(|error| Failure::file("write", &ready_file, &error))?;
    bench::serve_echo(listener).await.map_err(|error| failed(&error))?;
    Ok(Done::OK)
}

/// Measures, unless somebody stops it; then the processes and folders of the bench go with it.
async fn measured(settings: Settings) -> Result<Report, Failure> {
    let display = Display::new();
    let measuring = async move { bench::run(&settings, &|progress| display.show(&progress)).await };
    tokio::select! {
        report = measuring => {
            report.map_err(|error| Failure::with_causes(&error, "nothing was left behind; mend it and start again"))
        }
        signal = signal::stop() => Err(Failure::local(format!("{signal}: stopped; there is no report"), "start it again")),
    }
}

fn settings(args: BenchArgs, global: &Global) -> Result<Settings, Failure> {
    let target = match args.address {
        None => Target::Own { parent: args.data_dir },
        Some(url) => match global.credentials()? {
            Credentials::Bearer(secret) | Credentials::Token(secret) => {
                Target::Given { url, app: global.app.clone(), secret }
            }
            _ => {
                return Err(Failure::usage(
                    "a server that is given needs credentials: --secret-file, --secret or --token",
                ));
            }
        },
    };
    let (rounds, seconds) = if args.quick { (QUICK_ROUNDS, QUICK_SECONDS) } else { (ROUNDS, SECONDS) };
    let seconds = args.seconds.unwrap_or(Duration::from_secs_f64(seconds));
    let steady = if args.quick { seconds } else { Duration::from_secs_f64(STEADY_SECONDS) };
    let [apart, together] = if args.quick { QUICK_WATCHERS } else { WATCHERS };
    let watchers = Watchers {
        apart: args.watchers.unwrap_or(apart) as usize,
        together: args.watchers_together.unwrap_or(together) as usize,
    };
    let fires = if args.quick { seconds } else { Duration::from_secs_f64(FIRES_SECONDS) };
    let triggers = Triggers {
        count: args.triggers.unwrap_or(if args.quick { TRIGGERS_MIN } else { TRIGGERS }),
        fires: args.fires.unwrap_or(fires),
    };
    Ok(Settings {
        target,
        watchers,
        triggers,
        rounds: args.rounds.unwrap_or(rounds),
        seconds,
        only: args.only,
        steady: args.steady.unwrap_or(steady),
        growth: args.full.then_some(Growth { records: args.records, pending: args.pending }),
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if !(0.05..=SECONDS_MAX).contains(&seconds) {
        return Err(format!("{text} s is out of bounds: 0.05 to {SECONDS_MAX}"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// What people see while they wait: a bar on a terminal, a line a point elsewhere. Always on standard error.
struct Display(Option<ProgressBar>);

impl Display {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
        Self(Some(ProgressBar::new(0).with_style(style.expect("the template is right"))))
    }

    fn show(&self, Progress { done, total, text }: &Progress) {
        match &self.0 {
            None => out::note(&format!("{}/{total} {text}", done + 1)),
            Some(bar) => {
                bar.set_length(*total as u64);
                bar.set_position(*done as u64);
                bar.set_message(text.clone());
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_parts_and_are_bounded() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        for bad in ["0", "-1", "4000", "NaN", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
