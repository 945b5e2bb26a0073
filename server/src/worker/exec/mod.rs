//! The processor `exec`: it starts one command that the worker's operator allowed, and reports how it ended. It never
//! uses a shell, never searches for a program, and never lets anything of the command outlive the attempt.
//!
//! The payload is JSON: `{"argv": ["/usr/bin/wc", "-l", "file"], "cwd": "/data", "env": {"K": "V"}, "stdin": "…"}`; all
//! but `argv` may be left out. What the command prints goes to the log of the run as it comes, and the last 64 KiB of its
//! standard output are the result. `SEMEL_RUN_ID`, `SEMEL_ATTEMPT` (the fencing token) and `SEMEL_ATTEMPT_ID` stand in
//! its environment; if a trigger made the run, so do `SEMEL_TRIGGER` and `SEMEL_SCHEDULED_TIME`, the time that it was made
//! for; and if the run is in a trace, `TRACEPARENT` and `TRACESTATE` name the span of the attempt.

mod allow;
mod group;
mod invocation;
mod output;
#[cfg(test)]
mod tests;

use std::{io, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus, time::Duration};

use semel_client::worker::{Context, Outcome, ProcessError, Processor};
use semel_proto::v1::{LogStream, Payload};
use tokio::sync::{mpsc, watch};

pub use allow::{Error as AllowError, Prefix};

use group::{Ended, Group, Plan};
use invocation::{Ids, Invocation};
use output::Piece;

/// How much of the standard output is the result.
const RESULT_BYTES: usize = 64 * 1024;
/// How much of the standard error is looked at for its last line.
const ERROR_BYTES: usize = 4 * 1024;
/// How many pieces of output may wait for the log.
const PIECES_MAX: usize = 4;
/// The longest wait that is asked for: a timer does not take much more.
const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the operator of a worker says about commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What may be started: commands that begin with one of these. Nothing by default.
    pub allow: Vec<Prefix>,
    /// How long a command may take at most, whatever its job says. Default 1 h, at most 30 days.
    pub timeout: Duration,
    /// How long a command may take to end after SIGTERM, before SIGKILL. Default 5 s; it should be shorter than the time
    /// that the worker gives a cancelled processor, which is 10 s.
    pub grace: Duration,
    /// Where a command works whose run does not say. Default: where the worker does.
    pub folder: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            timeout: Duration::from_secs(3600),
            grace: Duration::from_secs(5),
            folder: PathBuf::from("."),
        }
    }
}

/// The processor.
#[derive(Clone, Debug)]
pub struct Exec {
    settings: Settings,
}

/// Why a command is to stop.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Cancelled,
    TimedOut(Duration),
}

/// How a command ended, and the last of what it said.
#[derive(Debug)]
struct Finished {
    ended: Ended<Stop>,
    stdout: Vec<u8>,
    stderr_line: String,
}

impl Exec {
    /// A processor that follows these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Reads and judges what a run asks for. A refusal stays one, so it is permanent.
    fn accept(&self, payload: &Payload) -> Result<Invocation, ProcessError> {
        let permanent = |error: &dyn std::error::Error| ProcessError::permanent(format!("exec: {error}"));
        let invocation = Invocation::parse(&payload.content_type, &payload.data).map_err(|error| permanent(&error))?;
        allow::check(&self.settings.allow, &invocation.argv).map_err(|error| permanent(&error))?;
        Ok(invocation)
    }

    async fn plan(&self, invocation: Invocation, ids: &Ids) -> Result<Plan, ProcessError> {
        let environment = invocation.environment(ids);
        let folder = invocation.cwd.unwrap_or_else(|| self.settings.folder.clone());
        // Another worker, or a later attempt, may find it; so this failure is no permanent one.
        if !invocation::folder_exists(&folder).await {
            return Err(ProcessError::failed(format!("exec: there is no folder {} on this worker", folder.display())));
        }
        Ok(Plan { argv: invocation.argv, folder, environment, stdin: invocation.stdin, grace: self.settings.grace })
    }

    /// How long the command may take.
    fn time(&self, left: Option<Duration>) -> Duration {
        left.unwrap_or(TIMEOUT_MAX).min(self.settings.timeout).min(TIMEOUT_MAX)
    }
}

/// What the command is told of its attempt.
fn ids(cx: &Context) -> Ids {
    let time = cx.scheduled_time().and_then(|time| jiff::Timestamp::try_from(time).ok());
    let trigger = time.map(|time| (cx.trigger().to_owned(), time.to_string()));
    let trace = cx.trace_context().cloned();
    Ids { run_id: cx.run_id().to_owned(), attempt: cx.attempt(), attempt_id: cx.attempt_id(), trigger, trace }
}

impl Processor for Exec {
    async fn process(&self, cx: Context) -> Outcome {
        let invocation = self.accept(cx.payload())?;
        let program = invocation.argv[0].clone();
        let ids = ids(&cx);
        let plan = self.plan(invocation, &ids).await?;
        let time = self.time(cx.time_left());
        let stop = async {
            tokio::select! {
                () = cx.cancelled() => Stop::Cancelled,
                () = tokio::time::sleep(time) => Stop::TimedOut(time),
            }
        };
        let (log, mut pieces) = mpsc::channel::<Piece>(PIECES_MAX);
        let forward = async {
            while let Some(piece) = pieces.recv().await {
                cx.log(piece.stream, piece.data).await;
            }
        };
        let (finished, ()) = tokio::join!(run(plan, stop, log), forward);
        let finished =
            finished.map_err(|error| ProcessError::failed(format!("exec: cannot start {program}: {error}")))?;
        finished.into_outcome()
    }
}

/// Runs a command to its end, or until it is to stop. Dropping the future kills it.
async fn run(plan: Plan, stop: impl Future<Output = Stop>, log: mpsc::Sender<Piece>) -> io::Result<Finished> {
    let mut group = Group::spawn(&plan)?;
    let over = watch::Sender::new(false);
    let stdout =
        output::pump(group.child.stdout.take(), LogStream::Stdout, log.clone(), over.subscribe(), RESULT_BYTES);
    let stderr = output::pump(group.child.stderr.take(), LogStream::Stderr, log, over.subscribe(), ERROR_BYTES);
    let stdin = output::feed(group.child.stdin.take(), plan.stdin, over.subscribe());
    let life = async {
        let ended = group.live(stop, plan.grace).await;
        over.send_replace(true);
        ended
    };
    let (ended, stdout, stderr, ()) = tokio::join!(life, stdout, stderr, stdin);
    Ok(Finished { ended: ended?, stdout: stdout.into_bytes(), stderr_line: stderr.last_line() })
}

impl Finished {
    fn into_outcome(self) -> Outcome {
        match self.ended {
            Ended::Exited(status) if status.success() => Ok(result(self.stdout)),
            Ended::Exited(status) => Err(ProcessError::failed(failure(status, &self.stderr_line))),
            Ended::Stopped(Stop::Cancelled) => Err(ProcessError::failed("stopped, as it was asked to")),
            Ended::Stopped(Stop::TimedOut(time)) => {
                let message = format!("the command did not end within {time:?} and was stopped");
                Err(ProcessError::failed(with_line(message, &self.stderr_line)))
            }
        }
    }
}

fn result(stdout: Vec<u8>) -> Payload {
    let content_type =
        if std::str::from_utf8(&stdout).is_ok() { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    Payload { data: stdout.into(), content_type: content_type.to_owned() }
}

fn failure(status: ExitStatus, stderr_line: &str) -> String {
    let message = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the command exited with code {code}"),
        (None, Some(signal)) => format!("the command was ended by signal {signal}"),
        (None, None) => format!("the command ended with {status}"),
    };
    with_line(message, stderr_line)
}

fn with_line(message: String, stderr_line: &str) -> String {
    if stderr_line.is_empty() { message } else { format!("{message}: {stderr_line}") }
}
