//! `semel run logs`: what a run wrote, as it wrote it: standard output to standard output, the rest to standard error.

use std::{io::Write as _, time::Duration};

use clap::Args;
use semel_proto::v1::{GetRunLogsRequest, GetRunLogsResponse, LogChunk, LogStream, PageRequest};

use crate::cli::{failure::Failure, global::Output, out, session::Session, show::Show as _};

/// How long the server is asked to wait for more.
const WAIT: Duration = Duration::from_secs(10);
const PAGE_SIZE: i32 = 1000;

/// Whose log.
#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The run
    run: String,
    /// Goes on until the run has ended
    #[arg(short, long)]
    follow: bool,
    /// Only what this attempt wrote
    #[arg(long, value_name = "N")]
    attempt: Option<i64>,
}

pub(super) async fn run(args: LogsArgs, session: &Session) -> Result<(), Failure> {
    let mut token = String::new();
    let mut whole = GetRunLogsResponse::default();
    loop {
        let request = GetRunLogsRequest {
            run_id: args.run.clone(),
            page: Some(PageRequest { page_size: PAGE_SIZE, page_token: token.clone() }),
            wait: if args.follow { WAIT.try_into().ok() } else { None },
            ..Default::default()
        };
        let mut answer = session.read(request).await?;
        let next = answer.page.as_ref().map(|page| page.next_page_token.clone()).unwrap_or_default();
        let ended = is_end(&answer, &next, args.follow);
        if let Some(attempt) = args.attempt {
            answer.chunks.retain(|chunk| chunk.attempt == attempt);
        }
        match session.output {
            Output::Table => answer.chunks.iter().try_for_each(write)?,
            Output::Json if args.follow => {
                answer.chunks.iter().try_for_each(|chunk| out::json_line(&chunk.json()))?;
            }
            Output::Json => {
                let earlier = std::mem::take(&mut whole.chunks);
                whole = GetRunLogsResponse { chunks: earlier.into_iter().chain(answer.chunks).collect(), ..answer };
            }
        }
        if ended {
            break;
        }
        token = next;
    }
    if session.output == Output::Json && !args.follow { out::json(&whole.json()) } else { Ok(()) }
}

/// Whether this was the last piece. While a run goes on there is always a next page, so without `--follow` the present
/// end is where nothing more came.
fn is_end(answer: &GetRunLogsResponse, next: &str, follow: bool) -> bool {
    answer.complete || next.is_empty() || (!follow && answer.chunks.is_empty())
}

fn write(chunk: &LogChunk) -> Result<(), Failure> {
    match chunk.stream() {
        LogStream::Stdout => out::bytes(&chunk.data),
        LogStream::System => {
            out::note(&format!("[system] {}", out::clean(chunk.text().trim_end())));
            Ok(())
        }
        // Nothing is lost for a program if nobody reads standard error.
        _ => {
            _ = std::io::stderr().lock().write_all(&chunk.data);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_goes_on_ends_only_for_those_who_do_not_follow() {
        let empty = GetRunLogsResponse::default();
        assert!(is_end(&empty, "next", false) && !is_end(&empty, "next", true));
        assert!(is_end(&empty, "", true));
        let more = GetRunLogsResponse { chunks: vec![LogChunk::default()], ..Default::default() };
        assert!(!is_end(&more, "next", false));
        let last = GetRunLogsResponse { complete: true, ..more };
        assert!(is_end(&last, "next", true));
    }
}
