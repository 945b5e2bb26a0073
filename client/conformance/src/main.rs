//! The command line of the runner. What it prints is for people on standard error, and for programs on standard output.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use semel_conformance::{
    bench, storm,
    suite::{self, Cell, Column},
    table::{self, Part},
};
use serde_json::json;

/// Holds the clients of Semel to the same cases, each by its driver.
#[derive(Debug, Parser)]
#[command(name = "semel-conformance", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    cases: Cases,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Thousands of runs by each client, through a proxy that does everything to them.
    Storm(Storm),
    /// What each client gets through, beside its bare stub.
    Bench(Bench),
}

#[derive(Debug, Args)]
struct Storm {
    /// A client, and the command that starts its driver. May be given again.
    #[arg(long = "client", value_name = "NAME=DRIVER_COMMAND", required = true)]
    clients: Vec<Column>,
    /// How many runs each client asks for.
    #[arg(long, default_value_t = 10_000)]
    calls: u64,
    /// The seed of what happens.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the table into this file.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Fails if the table in this file is another one.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Bench {
    /// A client, and the command that starts its driver. May be given again.
    #[arg(long = "client", value_name = "NAME=DRIVER_COMMAND", required = true)]
    clients: Vec<Column>,
    /// For how long each of the two is measured, in each round.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How often; the figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Writes the table into this file.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
struct Cases {
    /// A client, and the command that starts its driver: `go=client/go/driver.sh`. May be given again.
    #[arg(long = "client", value_name = "NAME=DRIVER_COMMAND")]
    clients: Vec<Column>,
    /// Only cases whose `theme/name` contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,
    /// How many cases of a client run at a time, each with a driver of its own.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Writes the table into this file.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Fails if the table in this file is another one.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// How the results are printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.other {
        None => cases(cli.cases).await,
        Some(Other::Storm(args)) => storm(args).await,
        Some(Other::Bench(args)) => bench(args).await,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn cases(args: Cases) -> Result<bool, String> {
    if args.clients.is_empty() {
        return Err("give at least one --client NAME=DRIVER_COMMAND".to_owned());
    }
    let results = suite::run(&args.clients, &args.case, args.jobs).await;
    if results.is_empty() {
        return Err(format!("there is no case {:?}", args.case));
    }
    if args.output == Output::Json {
        for result in &results {
            let (cell, why) = match &result.cell {
                Cell::Holds => ("holds", ""),
                Cell::Safe(why) => ("safe", why.as_str()),
                Cell::Unsupported(why) => ("unsupported", why.as_str()),
                Cell::Unsafe(why) => ("unsafe", why.as_str()),
                Cell::Fails(why) => ("fails", why.as_str()),
            };
            let (client, theme, case, gap) = (&result.client, result.theme, result.case.name, result.is_gap());
            println!(
                "{}",
                json!({"client": client, "theme": theme, "case": case, "cell": cell, "why": why, "gap": gap})
            );
        }
    }
    let gaps: Vec<_> = results.iter().filter(|result| result.is_gap()).collect();
    eprintln!("{} cells, {} gaps", results.len(), gaps.len());
    for gap in &gaps {
        eprintln!("  gap: {}: {}/{}", gap.client, gap.theme, gap.case.name);
    }
    let is_up_to_date = put(Part::Cases, &table::of_cases(&results), args.table, args.check)?;
    Ok(gaps.is_empty() && is_up_to_date)
}

async fn storm(args: Storm) -> Result<bool, String> {
    let outcomes = storm::run(&args.clients, args.calls, args.seed).await;
    let is_up_to_date = put(Part::Storm, &storm::table(&outcomes), args.table, args.check)?;
    Ok(is_up_to_date && outcomes.iter().all(|outcome| outcome.gap.is_none()))
}

async fn bench(args: Bench) -> Result<bool, String> {
    let figures = bench::run(&args.clients, args.rounds, Duration::from_secs(args.seconds)).await;
    match args.output {
        Output::Text => print!("{}", bench::table(&figures)),
        Output::Json => figures.iter().for_each(|figures| println!("{}", json!(figures))),
    }
    if cfg!(debug_assertions) && args.table.is_some() {
        return Err("figures of a debug build say nothing; build with --release to write them down".to_owned());
    }
    let text = bench::section(&figures, args.rounds, args.seconds);
    put(Part::Bench, &text, args.table, None)?;
    Ok(figures.iter().all(|figures| figures.fault.is_none()))
}

/// Writes a part of the table file, or looks whether it is as it should be.
fn put(part: Part, text: &str, write: Option<PathBuf>, check: Option<PathBuf>) -> Result<bool, String> {
    if let Some(path) = write {
        let before = fs::read_to_string(&path).unwrap_or_default();
        let after = table::with_part(&before, part, text);
        fs::write(&path, after).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let Some(path) = check else { return Ok(true) };
    let now = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let is_up_to_date = table::with_part(&now, part, text) == now;
    if !is_up_to_date {
        eprintln!("{} is not up to date: make it again with --table", path.display());
    }
    Ok(is_up_to_date)
}
