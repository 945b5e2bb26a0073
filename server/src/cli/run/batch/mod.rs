//! `semel run submit --file`: a run for each line of a file, over one stream. It holds a bounded number of lines at a time,
//! hears answers in the order of the lines, and stops where going on makes no sense.

mod line;
mod source;
mod tally;
mod tell;

use std::{
    collections::VecDeque,
    future,
    path::{Path, PathBuf},
    pin::pin,
};

use semel_client::{Error, RequestId, RunSubmitter, Submission};
use semel_proto::v1::{CheckAuthRequest, RequestHeader, RunJobRequest, RunJobResponse};
use serde_json::json;
use tokio::sync::mpsc;

use self::{
    line::Line,
    source::{Read, Source},
    tell::Teller,
};
use crate::cli::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    out,
    session::{Mutation, Session},
};

/// Runs that wait for their answer at a time; the client would hold no more.
const OUTSTANDING_MAX: usize = 4096;
/// What they may take in memory, unless a single one takes more.
const OUTSTANDING_BYTES_MAX: usize = 32 << 20;

/// Sends what a file holds. `job` is the job of lines that name none.
pub(super) async fn run(
    path: PathBuf,
    job: Option<String>,
    mutation: Mutation,
    session: &Session,
) -> Result<Done, Failure> {
    match send(path, job, mutation, session).await {
        // What stands on standard output is one document a line here.
        Err(failure) if session.output == Output::Json && failure.exit() != Exit::Done => {
            out::note(&failure.block());
            out::json_line(&json!({ "error": failure.json() }))?;
            Ok(Done::with(failure.exit()))
        }
        outcome => outcome,
    }
}

async fn send(path: PathBuf, job: Option<String>, mutation: Mutation, session: &Session) -> Result<Done, Failure> {
    if mutation.request_id.is_some_and(|id| id.as_uuid().get_version_num() != 7) {
        return Err(Failure::usage("--request-id is no UUIDv7; leave it out to have one minted"));
    }
    let mut source = Source::open(&path, job)?;
    let count = if source.is_regular { Some(checked(&mut source, &path, session.output)?) } else { None };
    let client = session.client().await?;
    // The first answer tells the server's clock, by which the id is minted.
    session.read(CheckAuthRequest::default()).await?;
    let id = mutation.request_id.unwrap_or_else(|| client.mint_request_id());
    if mutation.request_id.is_none() {
        out::note(&format!("request {id}; sending the file again with --request-id {id} is safe"));
    }
    let batch = Batch {
        id,
        submitter: client.submit_runs(),
        outstanding: VecDeque::new(),
        bytes: 0,
        sends: true,
        teller: Teller::new(session, id, count),
    };
    batch.run(source.read()).await
}

/// Looks through a file before anything is sent; gives how many runs it holds.
fn checked(source: &mut Source, path: &Path, output: Output) -> Result<u64, Failure> {
    let mut bad = 0_u64;
    let count = source.check(|line| {
        bad += 1;
        match output {
            Output::Table => out::note(&line.text()),
            Output::Json => out::json_line(&line.json())?,
        }
        Ok(())
    })?;
    if bad == 0 {
        return Ok(count);
    }
    let lines = if bad == 1 { "a line is".to_owned() } else { format!("{bad} lines are") };
    Err(Failure::Local {
        exit: Exit::Usage,
        message: format!("{}: {lines} wrong; nothing was sent", path.display()),
        next: "mend what is listed; all of it is listed".to_owned(),
    })
}

/// See the module.
struct Batch {
    /// The request id of the file.
    id: RequestId,
    submitter: RunSubmitter,
    outstanding: VecDeque<Outstanding>,
    bytes: usize,
    /// False once a line was wrong that could not be looked at before: from there on lines are only looked at.
    sends: bool,
    teller: Teller,
}

/// A line that was sent.
struct Outstanding {
    number: u32,
    bytes: usize,
    submission: Submission,
}

/// What happened next.
enum Next {
    Interrupted,
    Answered(Box<Result<RunJobResponse, Error>>),
    Read(Option<Read>),
    Told,
}

impl Batch {
    async fn run(mut self, lines: mpsc::Receiver<Read>) -> Result<Done, Failure> {
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        let mut lines = Some(lines);
        while lines.is_some() || !self.outstanding.is_empty() {
            let has_room = self.outstanding.len() < OUTSTANDING_MAX && self.bytes < OUTSTANDING_BYTES_MAX;
            let hears = self.teller.has_room();
            let answer = first(self.outstanding.front_mut().filter(|_| hears));
            let read = next(lines.as_mut().filter(|_| has_room));
            let what = tokio::select! {
                biased;
                _ = &mut interrupt => Next::Interrupted,
                () = self.teller.write() => Next::Told,
                answer = answer => Next::Answered(Box::new(answer)),
                read = read => Next::Read(read),
            };
            match what {
                Next::Told => {}
                Next::Interrupted => return Err(self.teller.interrupted(self.outstanding.len())),
                Next::Answered(answer) => self.hear(*answer),
                Next::Read(Some(Ok(Ok(line)))) => self.submit(*line).await,
                Next::Read(Some(Ok(Err(bad)))) => {
                    self.sends = false;
                    self.teller.bad(&bad);
                }
                Next::Read(Some(Err(error))) => self.teller.unreadable(&error),
                Next::Read(None) => lines = None,
            }
            if self.teller.stops() {
                lines = None;
            }
        }
        tokio::select! {
            _ = &mut interrupt => Err(self.teller.interrupted(0)),
            () = self.teller.write_all() => self.teller.end(),
        }
    }

    async fn submit(&mut self, line: Line) {
        if !self.sends {
            return;
        }
        let (number, bytes, id) = (line.number, line.bytes, line.id(self.id));
        let header = Some(RequestHeader { request_id: id.to_string(), ..Default::default() });
        match self.submitter.submit(RunJobRequest { header, ..line.request(id) }).await {
            Ok(submission) => {
                self.bytes += bytes;
                self.outstanding.push_back(Outstanding { number, bytes, submission });
            }
            Err(error) => self.teller.refused(number, Failure::mutation(error)),
        }
    }

    /// The answer to the first line that has none.
    fn hear(&mut self, answer: Result<RunJobResponse, Error>) {
        let Some(Outstanding { number, bytes, .. }) = self.outstanding.pop_front() else { return };
        self.bytes -= bytes;
        match answer {
            Ok(answer) => self.teller.answered(number, &answer),
            Err(error) => self.teller.refused(number, Failure::mutation(error)),
        }
    }
}

/// The answer to a line; never comes without one.
async fn first(outstanding: Option<&mut Outstanding>) -> Result<RunJobResponse, Error> {
    match outstanding {
        Some(outstanding) => (&mut outstanding.submission).await,
        None => future::pending().await,
    }
}

/// The next line; never comes where none is to be read.
async fn next(lines: Option<&mut mpsc::Receiver<Read>>) -> Option<Read> {
    match lines {
        Some(lines) => lines.recv().await,
        None => future::pending().await,
    }
}
