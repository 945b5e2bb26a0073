//! `semel run`: submitting, following and ending runs.

mod batch;
mod list;
mod logs;
mod submit;
mod wait;

use std::time::Duration;

use clap::Subcommand;
use semel_proto::v1::{CancelRunRequest, ExplainRunRequest, GetRunRequest, RetryRunRequest};

use super::{
    failure::{Done, Failure},
    parse,
    session::{Mutation, Session},
};

/// See the module.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Makes one run of a job, or one for each line of a file, however often the call is sent under one request id
    Submit(Box<submit::SubmitArgs>),
    /// Shows a run, with its input and its result
    Get {
        /// The run
        run: String,
    },
    /// Lists the runs of an app, the newest first
    List(list::ListArgs),
    /// Asks a run to stop
    Cancel {
        /// The run
        run: String,
        /// Why, for people
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Runs it again: its next attempt now, or a new run with the same input if it has ended
    Retry {
        /// The run
        run: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Waits until a run has ended; code 6 if it did not succeed
    Wait {
        /// The run
        run: String,
        /// For how long at most; code 5 if it has not ended by then
        #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
        up_to: Option<Duration>,
    },
    /// Says why a run is where it is, above all why it does not start
    Explain {
        /// The run
        run: String,
    },
    /// Shows the log of a run; with -o json and --follow, one piece of the log a line
    Logs(logs::LogsArgs),
}

pub(crate) async fn run(command: RunCommand, session: &Session) -> Result<Done, Failure> {
    match command {
        RunCommand::Submit(args) => return submit::run(*args, session).await,
        RunCommand::Wait { run, up_to } => return wait::run(run, up_to, session).await,
        RunCommand::Logs(args) => logs::run(args, session).await?,
        RunCommand::List(args) => list::run(args, session).await?,
        RunCommand::Get { run } => {
            session.show(&session.read(GetRunRequest { run_id: run, ..Default::default() }).await?)?;
        }
        RunCommand::Explain { run } => {
            session.show(&session.read(ExplainRunRequest { run_id: run, ..Default::default() }).await?)?;
        }
        RunCommand::Cancel { run, reason, mutation } => {
            let request = CancelRunRequest { run_id: run, reason, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
        RunCommand::Retry { run, mutation } => {
            let request = RetryRunRequest { run_id: run, ..Default::default() };
            session.show(&session.mutate(mutation, |_| request.clone()).await?)?;
        }
    }
    Ok(Done::OK)
}
