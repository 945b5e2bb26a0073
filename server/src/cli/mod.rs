//! The command line: one file for each group of commands. It parses, calls, and shows; it knows no rule of the domain.
//!
//! What all commands share: [`global`] (options), [`session`] (one call and its id), [`failure`] (what went wrong, and
//! the exit code), [`show`] (tables and JSON).

mod app;
mod apply;
mod audit;
mod backup;
mod bench;
mod completions;
mod config_check;
pub mod dev;
mod failure;
mod files;
mod global;
mod hints;
mod ids;
mod info;
mod job;
pub(crate) mod job_file;
mod keys;
mod located;
mod out;
mod pages;
mod parse;
mod payload;
mod request;
mod run;
mod runtime;
mod serve;
mod session;
mod show;
mod signal;
mod token;
mod trigger;
mod trigger_file;
mod watch;
pub mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::{
    failure::{Done, Failure},
    global::Global,
};
use crate::config::LogFormat;

/// Shown below the help of the whole command.
const AFTER_HELP: &str = "\
Exit codes:
  0  it is done
  1  it failed in a way that has no code of its own
  2  the command or the request is wrong: mend it
  3  there is no such thing, or its state does not allow this
  4  the credentials were refused, or do not allow this
  5  not now, or the outcome is not known: send it again under the same --request-id
  6  the run that was waited for did not succeed

Environment: SEMEL_SERVER, SEMEL_APP, SEMEL_TOKEN, SEMEL_SECRET and SEMEL_SECRET_FILE stand for the options of those \
names; `semel serve` reads a variable for each of its settings, such as SEMEL_LISTEN or SEMEL_ENGINE_LEASE.";

/// A job scheduler in which a call that was made once takes effect once, however often it arrives.
#[derive(Debug, Parser)]
#[command(name = "semel", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server
    Serve(serve::ServeArgs),
    /// Tries it all out: a server, a worker and an example app in one process
    Dev(dev::DevArgs),
    /// Measures what Semel costs on this machine, beside what bare gRPC costs there
    Bench(bench::BenchArgs),
    /// Runs a worker with the built-in processors
    Worker(worker::WorkerArgs),
    /// Manages apps: tenants with their own credentials, jobs and workers
    #[command(subcommand)]
    App(app::AppCommand),
    /// Manages jobs: what is run, and how
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Makes jobs what files say, and shows first what that changes
    Apply(apply::ApplyArgs),
    /// Submits, follows and ends runs
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Shows when jobs start by themselves, and what became of it
    #[command(subcommand)]
    Trigger(trigger::TriggerCommand),
    /// Shows what happens, as it happens: runs, jobs and workers
    Watch(Box<watch::WatchArgs>),
    /// Tells what became of requests
    #[command(subcommand)]
    Request(request::RequestCommand),
    /// Issues, checks and revokes tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Describes the server: its window, its limits, its clock
    Info,
    /// Looks at the settings of a server
    #[command(subcommand)]
    Config(config_check::ConfigCommand),
    /// Shows who changed what, and who was refused, from the log in a data directory
    Audit(audit::AuditArgs),
    /// Copies a data directory, whether a server runs on it or not
    Backup(backup::BackupArgs),
    /// Makes a data directory of a backup
    Restore(backup::RestoreArgs),
    /// Manages the server's own keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Writes the completions of a shell
    Completions(completions::CompletionsArgs),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.global.output;
    match dispatch(cli) {
        Ok(Done(code)) => code,
        Err(failure) => failure.report(output),
    }
}

fn dispatch(Cli { global, command }: Cli) -> Result<Done, Failure> {
    match command {
        Command::Serve(args) => serve::run(&args, &global),
        Command::Dev(args) => dev::run(args, &global),
        Command::Bench(args) => bench::run(args, &global),
        Command::Worker(args) => worker::run(args, &global),
        Command::Config(command) => config_check::run(&command, &global),
        Command::Audit(args) => audit::run(&args, &global),
        Command::Backup(args) => backup::make(&args, &global),
        Command::Restore(args) => backup::restore(&args, &global),
        Command::Keys(command) => keys::run(&command, &global),
        Command::Completions(args) => completions::run(&args),
        command => one_call(command, &global),
    }
}

/// Commands that speak to a server and end: they wait for answers and do nothing meanwhile, so one thread will do.
fn one_call(command: Command, global: &Global) -> Result<Done, Failure> {
    global.log_calls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    runtime.block_on(async {
        let session = session::Session::new(global);
        match command {
            Command::App(command) => app::run(command, &session).await,
            Command::Job(command) => job::run(command, &session).await,
            Command::Apply(args) => apply::run(args, &session).await,
            Command::Run(command) => run::run(command, &session).await,
            Command::Trigger(command) => trigger::run(command, &session).await,
            Command::Watch(args) => watch::run(*args, &session).await,
            Command::Request(command) => request::run(command, &session).await,
            Command::Token(command) => token::run(command, &session).await,
            _ => info::run(&session).await,
        }
    })
}

/// Logs go to standard error, so that standard output holds only what was asked for.
fn log_to_stderr(filter: &str, format: LogFormat, global: &Global) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that is set already, by whatever embeds this command line, is as good.
    _ = match format {
        LogFormat::Text => builder.with_ansi(global.colors()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

#[cfg(test)]
mod tests;
