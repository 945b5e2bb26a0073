//! What is told of a file of runs: a row for each answer as it comes, how far it has come, and the tally at the end. Rows are written by a thread of their own, which has the bar as well: whoever reads slowly holds up the
//! rows, and no call.

use std::{future, io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use semel_client::RequestId;
use semel_proto::v1::{Disposition, RunJobResponse};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{source::BadLine, tally::Tally};
use crate::cli::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    out,
    session::Session,
    show::{Show as _, run_state},
};

/// Rows that nobody has read yet, beyond which no answer is heard.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// See the module.
pub(super) struct Teller {
    output: Output,
    id: RequestId,
    /// What is to be shown next.
    news: News,
    /// None once nobody reads any more.
    writer: Option<mpsc::Sender<News>>,
    /// Tells when all is written, and what went wrong.
    written: oneshot::Receiver<Failure>,
    /// What went wrong with that.
    unwritten: Option<Failure>,
    tally: Tally,
}

/// What is to be shown.
#[derive(Debug, Default)]
struct News {
    /// For standard output.
    rows: String,
    /// For standard error.
    notes: Vec<String>,
    /// How many more answers came.
    answers: u64,
}

impl Teller {
    /// `count` is how many runs there are, if that is known.
    pub(super) fn new(session: &Session, id: RequestId, count: Option<u64>) -> Self {
        let (writer, written) = writer(bar(session, count));
        let head = format!("{:>8}  {:<36}  {:<10}  CALL\n", "LINE", "RUN", "STATE");
        Self {
            output: session.output,
            id,
            news: News { rows: if session.output == Output::Table { head } else { String::new() }, ..News::default() },
            writer: Some(writer),
            written,
            unwritten: None,
            tally: Tally::default(),
        }
    }

    /// Whether more answers may be heard.
    pub(super) fn has_room(&self) -> bool {
        self.news.rows.len() < ROWS_BYTES_MAX
    }

    /// Whether nothing more is to be sent.
    pub(super) fn stops(&self) -> bool {
        self.tally.stopped.is_some()
    }

    /// A run was made, now or earlier.
    pub(super) fn answered(&mut self, line: u32, answer: &RunJobResponse) {
        match self.output {
            Output::Table => {
                let row = row(line, answer);
                self.row(&row);
            }
            Output::Json => self.json_row(line.into(), answer.json()),
        }
        self.news.answers += 1;
        self.tally.answered(answer);
    }

    /// A run was not made, or it is not known.
    pub(super) fn refused(&mut self, line: u32, failure: Failure) {
        if self.output == Output::Json {
            self.json_row(line.into(), json!({ "error": failure.json() }));
        }
        self.news.answers += 1;
        self.tally.refused(line.into(), failure);
    }

    /// A line is wrong that could not be looked at before.
    pub(super) fn bad(&mut self, line: &BadLine) {
        match self.output {
            Output::Table if self.writer.is_some() => self.news.notes.push(line.text()),
            Output::Table => out::note(&line.text()),
            Output::Json => self.row(&line.json().to_string()),
        }
        self.tally.bad += 1;
        self.tally.is_as_grave_as(Exit::Usage);
    }

    /// The file cannot be read any further.
    pub(super) fn unreadable(&mut self, error: &std::io::Error) {
        let failure = Failure::local(format!("cannot read any further: {error}"), "check the file");
        self.tally.stop(None, failure);
    }

    /// The command is interrupted while so many lines have no answer.
    pub(super) fn interrupted(&self, outstanding: usize) -> Failure {
        let (id, answered) = (self.id, self.tally.executed + self.tally.replayed + self.tally.refused);
        Failure::Local {
            exit: Exit::Later,
            message: format!(
                "interrupted after {answered} answers; what became of {outstanding} more runs is not known, and the rest \
                 was not sent"
            ),
            next: format!("send the file again with --request-id {id}, which is safe"),
        }
    }

    /// Hands over what is to be shown; never comes back while there is nothing.
    pub(super) async fn write(&mut self) {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.news.is_empty()) else {
            return future::pending().await;
        };
        let Ok(place) = writer.reserve().await else {
            // Whoever reads went away; that takes no run back and keeps none from being made.
            self.writer = None;
            self.news = News::default();
            return;
        };
        place.send(std::mem::take(&mut self.news));
    }

    /// Waits until everything is shown.
    pub(super) async fn write_all(&mut self) {
        if self.writer.is_some() && !self.news.is_empty() {
            self.write().await;
        }
        self.writer = None;
        self.unwritten = (&mut self.written).await.ok();
    }

    /// Says how it all ended.
    pub(super) fn end(mut self) -> Result<Done, Failure> {
        if let Some(failure) = self.unwritten.take().filter(|failure| failure.exit() != Exit::Done) {
            let message = format!("{}; the runs were sent all the same", failure.brief());
            self.tally.stop(None, Failure::local(message, "check where standard output leads"));
        }
        if self.output == Output::Table {
            out::note(&self.tally.summary(self.id));
        }
        let Some(exit) = self.tally.exit else { return Ok(Done::OK) };
        out::note(&self.tally.block(self.id));
        Ok(Done::with(exit))
    }

    fn row(&mut self, row: &str) {
        if self.writer.is_some() {
            self.news.rows.push_str(row);
            self.news.rows.push('\n');
        }
    }

    fn json_row(&mut self, line: u64, mut value: Value) {
        value["line"] = line.into();
        self.row(&value.to_string());
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.notes.is_empty() && self.answers == 0
    }
}

fn row(line: u32, answer: &RunJobResponse) -> String {
    let header = answer.header.as_ref();
    let call = header.map_or("UNSPECIFIED", |header| match header.disposition() {
        Disposition::Replayed => "REPLAYED",
        _ => "EXECUTED",
    });
    let existing = if answer.existing { ", existing: another request with this unique key made it" } else { "" };
    let (run, state) = (out::cell(&answer.run_id), run_state(answer.state));
    format!("{line:>8}  {run:<36}  {state:<10}  {call}{existing}")
}

/// How far it has come, where a person looks.
fn bar(session: &Session, count: Option<u64>) -> ProgressBar {
    if session.output == Output::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = count.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let colors = if session.colors { "{bar:24.cyan/blue}" } else { "{bar:24}" };
    let template = match count {
        Some(_) => format!("{{spinner}} {{elapsed}} [{colors}] {{human_pos}} of {{human_len}} runs, {{eta}} left"),
        None => "{spinner} {elapsed} {human_pos} runs".to_owned(),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows news in a thread that ends when no more come, or when they cannot be written.
fn writer(bar: ProgressBar) -> (mpsc::Sender<News>, oneshot::Receiver<Failure>) {
    let (sender, mut news) = mpsc::channel::<News>(1);
    let (failed, written) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(News { rows, notes, answers }) = news.blocking_recv() {
            bar.inc(answers);
            let outcome = bar.suspend(|| {
                notes.iter().for_each(|note| out::note(note));
                out::bytes(rows.as_bytes())
            });
            if let Err(failure) = outcome {
                bar.finish_and_clear();
                // Nobody is left to hear of it where the command was interrupted.
                _ = failed.send(failure);
                return;
            }
        }
        bar.finish_and_clear();
    });
    (sender, written)
}

#[cfg(test)]
mod tests {
    use semel_proto::v1::ResponseHeader;

    use super::*;

    const ID: &str = "01980000-0000-7abc-8def-0123456789ab";

    #[test]
    fn a_row_says_what_became_of_the_call() {
        let header = ResponseHeader { disposition: Disposition::Replayed.into(), ..Default::default() };
        let answer = RunJobResponse { header: Some(header), run_id: ID.to_owned(), state: 2, ..Default::default() };
        let text = row(12, &answer);
        assert!(text.starts_with("      12  01980000") && text.ends_with("  REPLAYED"), "{text}");
        assert!(row(12, &RunJobResponse { existing: true, ..answer }).contains("unique key"));
    }
}
