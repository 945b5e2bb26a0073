//! `semel run submit`: one run of a job, and, if wished, following it to its end; or one for each line of a file.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::Args;
use semel_proto::v1::{RunJobRequest, UniqueKey};
use serde_json::Value;

use super::{batch, wait};
use crate::cli::{
    failure::{Done, Failure},
    global::Output,
    out, parse,
    payload::PayloadArgs,
    session::{Mutation, Session, moment},
    show::Show as _,
};

/// The options that say something of one run: lines say it for themselves.
const ONE_RUN: [&str; 14] = [
    "standard_input",
    "payload",
    "payload_file",
    "content_type",
    "labels",
    "priority",
    "start_in",
    "start_at",
    "deadline_in",
    "deadline_at",
    "unique_key",
    "hold",
    "wait",
    "up_to",
];

/// What to run.
#[derive(Args, Debug)]
pub(crate) struct SubmitArgs {
    /// The job; with --file, that of lines which name none
    #[arg(required_unless_present = "file")]
    job: Option<String>,
    /// Makes a run of each line of a file, or of standard input if it is `-`; --help tells of the form
    ///
    /// Each line is a JSON object with these fields, all of them optional: job, payload (an object with one of json, text,
    /// base64 and file, and content_type), labels, priority, start_time or start_in, deadline or deadline_in, unique_key,
    /// hold, request_id. Moments, spans and inputs are written as with the flags and in the files of jobs.
    ///
    /// A file is looked through first: if a line is wrong, all that are wrong are told, and nothing is sent. Standard input
    /// is sent as it comes, up to the first line that is wrong. Then the runs go over one stream, in the order of the
    /// lines. A run that is refused keeps no other from being made; all that were are told at the end.
    ///
    /// The request id of each line comes from --request-id and the line's number, unless the line has its own. So the same
    /// file may be sent again under the same --request-id, whole or after it was cut short: what was made is told again as
    /// REPLAYED, and the rest is made. A line that was refused may be mended before that; one that was made may not be
    /// changed or moved to another number.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ONE_RUN)]
    file: Option<PathBuf>,
    /// `-` takes the input from standard input
    #[arg(value_name = "-", value_parser = ["-"], conflicts_with_all = ["payload", "payload_file"])]
    standard_input: Option<String>,
    #[command(flatten)]
    payload: PayloadArgs,
    /// A label of the run, over those of the job; may be given more than once
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = parse::label)]
    labels: Vec<(String, String)>,
    /// Which runs go first when workers are short: higher first, -100 to 100; that of the job if left out
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Starts not before this span has passed, counted from the moment at which the request id was minted
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, conflicts_with = "start_at")]
    start_in: Option<Duration>,
    /// Starts not before this moment
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    start_at: Option<SystemTime>,
    /// Must have ended when this span has passed, counted like --start-in
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, conflicts_with = "deadline_at")]
    deadline_in: Option<Duration>,
    /// Must have ended at this moment
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    deadline_at: Option<SystemTime>,
    /// Keeps two different requests with the same key from making two runs
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// How long the unique key is held, even past the end of the run
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, requires = "unique_key")]
    hold: Option<Duration>,
    /// Waits until the run has ended; code 6 if it did not succeed
    #[arg(long)]
    wait: bool,
    /// For how long to wait at most; code 5 if it has not ended by then
    #[arg(long, value_name = "SPAN", value_parser = parse::duration, requires = "wait")]
    up_to: Option<Duration>,
    #[command(flatten)]
    mutation: Mutation,
}

impl SubmitArgs {
    /// The request, without what depends on the moment.
    fn request(&self) -> Result<RunJobRequest, Failure> {
        let payload = self.payload.clone().or_standard_input(self.standard_input.is_some()).read()?;
        let hold = self.hold.and_then(|hold| hold.try_into().ok());
        Ok(RunJobRequest {
            job: self.job.clone().unwrap_or_default(),
            payload,
            labels: parse::labels(&self.labels),
            priority: self.priority,
            unique_key: self.unique_key.clone().map(|key| UniqueKey { key, hold }),
            ..Default::default()
        })
    }

    fn at(&self, request: &RunJobRequest, base: SystemTime) -> RunJobRequest {
        RunJobRequest {
            start_time: moment(self.start_at, self.start_in, base).map(Into::into),
            deadline: moment(self.deadline_at, self.deadline_in, base).map(Into::into),
            ..request.clone()
        }
    }
}

pub(super) async fn run(args: SubmitArgs, session: &Session) -> Result<Done, Failure> {
    if let Some(file) = args.file {
        return batch::run(file, args.job, args.mutation, session).await;
    }
    let request = args.request()?;
    let answer = session.mutate(args.mutation, |base| args.at(&request, base)).await?;
    if !args.wait {
        session.show(&answer)?;
        return Ok(Done::OK);
    }
    session.remark(&format!("run {}", out::cell(&answer.run_id)));
    let waited = wait::until_finished(&answer.run_id, args.up_to, session).await?;
    match session.output {
        Output::Table => out::text(&waited.text())?,
        Output::Json => out::json(&joined(answer.json(), waited.json()))?,
    }
    Ok(wait::done(&waited))
}

/// One document: the answer to the submission, and in it the run as it ended.
fn joined(mut answer: Value, mut waited: Value) -> Value {
    answer["run"] = waited["run"].take();
    answer["finished"] = waited["finished"].take();
    answer
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        submit: SubmitArgs,
    }

    fn parse(flags: &[&str]) -> Result<SubmitArgs, clap::Error> {
        Only::try_parse_from(["submit", "settle"].iter().chain(flags)).map(|only| only.submit)
    }

    #[test]
    fn a_file_says_all_of_its_runs_and_may_leave_the_job_to_the_command() {
        let parse = |flags: &[&str]| Only::try_parse_from(["submit"].iter().chain(flags)).map(|only| only.submit);
        assert!(parse(&[]).is_err(), "neither a job nor a file");
        assert_eq!(parse(&["--file=runs.jsonl"]).expect("good").job, None);
        assert_eq!(parse(&["settle", "-f", "-"]).expect("good").job.as_deref(), Some("settle"));
        let more =
            ["-", "--payload=a", "--payload-file=a", "--content-type=a/b", "--label=a=b", "--priority=1", "--wait"];
        let relative = ["--start-in=5m", "--deadline-in=5m", "--unique-key=k"];
        let fixed = ["--start-at=2026-01-31T08:00:00Z", "--deadline-at=2026-01-31T08:00:00Z"];
        for flag in more.iter().chain(&relative).chain(&fixed) {
            assert!(parse(&["settle", "--file=runs.jsonl", flag]).is_err(), "{flag}");
        }
    }

    #[test]
    fn flags_become_the_request() {
        let flags = [
            "--payload={\"a\":1}",
            "--label=env=prod",
            "-l",
            "team=pay",
            "--priority",
            "-5",
            "--start-in=5m",
            "--deadline-at=2026-01-31T08:00:00Z",
            "--unique-key=invoice-7",
            "--hold=1h",
        ];
        let args = parse(&flags).expect("good flags");
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let request = args.at(&args.request().expect("good"), base);
        assert_eq!((request.job.as_str(), request.priority), ("settle", Some(-5)));
        assert_eq!(request.payload.expect("a payload").content_type, "application/json");
        assert_eq!(request.labels.len(), 2);
        assert_eq!(request.start_time, Some((base + Duration::from_secs(300)).into()));
        assert_eq!(request.deadline.map(|time| time.to_string()), Some("2026-01-31T08:00:00Z".to_owned()));
        let key = request.unique_key.expect("a key");
        assert_eq!((key.key.as_str(), key.hold.map(|hold| hold.to_string())), ("invoice-7", Some("3600s".to_owned())));
    }

    #[test]
    fn what_contradicts_itself_is_a_mistake() {
        assert!(parse(&["--start-in=5m", "--start-at=2026-01-31T08:00:00Z"]).is_err());
        assert!(parse(&["--payload=a", "--payload-file=b"]).is_err());
        assert!(parse(&["-", "--payload=a"]).is_err());
        assert!(parse(&["--hold=1h"]).is_err());
        assert!(parse(&["--start-in=soon"]).is_err());
        assert!(parse(&["-"]).is_ok());
    }

    #[test]
    fn nothing_given_leaves_it_to_the_job() {
        let args = parse(&[]).expect("good");
        let request = args.at(&args.request().expect("good"), SystemTime::UNIX_EPOCH);
        assert_eq!(request, RunJobRequest { job: "settle".to_owned(), ..Default::default() });
    }
}
