//! `semel apply`: jobs as files. It reads all files, says what it would do, and does it; a second time there is nothing left
//! to do. It deletes nothing.

mod carry;
mod plan;
mod source;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::{carry::Outcome, plan::Step, source::Mistake};
use super::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    out,
    session::{Mutation, Session},
};

/// Shown below the help.
const AFTER_HELP: &str = "\
A file holds one or more YAML documents, each of them a job; or one job as TOML, named after the file if it has no `job`:

  job: settle                  # and `app: pay`, if it is not that of --app
  processor: exec
  payload: {json: {argv: [/usr/bin/true]}}
  retry: {max_attempts: 3, initial_backoff: 5s}
  triggers:
    nightly:
      cron: '30 2 * * MON-FRI'
      zone: Europe/Berlin

  semel apply -f jobs/ --dry-run     shows what would be created and changed, and in which fields
  semel apply -f jobs/               does it; once more, and all is unchanged
  semel job export --all             writes what is there in the same form

Jobs that stand in no file stay as they are.";

/// Which files, and whether they are only looked at.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ApplyArgs {
    /// A file, `-` for standard input, or a folder of which all .yaml, .yml and .toml are taken; may be given more than once
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Only shows the plan
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    mutation: Mutation,
}

pub(crate) async fn run(args: ApplyArgs, session: &Session) -> Result<Done, Failure> {
    if args.mutation.request_id.is_some_and(|id| id.as_uuid().get_version_num() != 7) {
        return Err(Failure::usage("--request-id is no UUIDv7; leave it out to have one minted"));
    }
    let items = match source::read(&args.files, session.app())? {
        Ok(items) => items,
        Err(mistakes) => return wrong(&mistakes, session),
    };
    let steps = plan::make(items, session).await?;
    if session.output == Output::Table {
        out::text(&plan::text(&steps))?;
    }
    session.remark(&format!("plan: {}", plan::summary(&steps)));
    if args.dry_run {
        if session.output == Output::Json {
            out::json(&json!({ "dry_run": true, "jobs": steps.iter().map(Step::json).collect::<Vec<_>>() }))?;
        }
        return Ok(Done::OK);
    }
    carry_out(&steps, args.mutation, session).await
}

async fn carry_out(steps: &[Step], mutation: Mutation, session: &Session) -> Result<Done, Failure> {
    let client = session.client().await?;
    // The answers to the plan have told the server's clock, by which the id is minted.
    let id = mutation.request_id.unwrap_or_else(|| client.mint_request_id());
    if mutation.request_id.is_none() {
        out::note(&format!("request {id}; sending the same files again with --request-id {id} is safe"));
    }
    let outcomes = carry::out(steps, id, mutation.request_id.is_some(), session).await;
    let trouble = carry::trouble(steps, &outcomes, id);
    match session.output {
        Output::Table => out::note(&carry::summary(&outcomes, id)),
        Output::Json => {
            let row = |(step, outcome): (&Step, &Outcome)| outcome.json(step);
            let jobs: Vec<Value> = steps.iter().zip(&outcomes).map(row).collect();
            out::json(&json!({ "request_id": id.to_string(), "dry_run": false, "jobs": jobs }))?;
        }
    }
    Ok(match trouble {
        Some((text, exit)) => {
            out::note(&text);
            Done::with(exit)
        }
        None => Done::OK,
    })
}

/// The files have mistakes: all of them are told, and nothing is sent.
fn wrong(mistakes: &[Mistake], session: &Session) -> Result<Done, Failure> {
    for mistake in mistakes {
        out::note(&out::clean(&mistake.to_string()));
    }
    let count = if mistakes.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) };
    let message = format!("the files have {count}; nothing was sent");
    let next = "mend what is listed".to_owned();
    let failure = Failure::Local { exit: Exit::Usage, message, next };
    out::note(&failure.block());
    if session.output == Output::Json {
        let mut error = failure.json();
        error["mistakes"] = mistakes.iter().map(Mistake::json).collect();
        out::json(&json!({ "error": error }))?;
    }
    Ok(Done::with(Exit::Usage))
}
