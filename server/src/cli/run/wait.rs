//! Following a run to its end: a bar on a terminal, a line for each change elsewhere, nothing for programs. Asks the
//! server to wait, and asks why where a run does not move.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use semel_proto::v1::{ExplainRunRequest, Run, RunState, WaitRunRequest, WaitRunResponse};

use crate::cli::{
    failure::{Done, Failure},
    global::Output,
    hints::Exit,
    out,
    session::Session,
    show::{run_state, state_line},
};

/// How long the server is asked to wait while somebody looks at the bar: progress is only seen when it answers.
const STEP_SHOWN: Duration = Duration::from_millis(500);
/// And while nobody does: shorter than the time after which common proxies end a call.
const STEP_UNSEEN: Duration = Duration::from_secs(10);
/// What a full bar counts to.
const BAR_LENGTH: u64 = 1000;

pub(super) async fn run(run_id: String, up_to: Option<Duration>, session: &Session) -> Result<Done, Failure> {
    let waited = until_finished(&run_id, up_to, session).await?;
    session.show(&waited)?;
    Ok(done(&waited))
}

/// How a command ends that waited for a run.
pub(super) fn done(waited: &WaitRunResponse) -> Done {
    match &waited.run {
        _ if !waited.finished => Done::with(Exit::Later),
        Some(run) if run.state() == RunState::Succeeded => Done::OK,
        _ => Done::with(Exit::RunFailed),
    }
}

/// Waits until the run has ended or the time is up.
pub(super) async fn until_finished(
    run_id: &str,
    up_to: Option<Duration>,
    session: &Session,
) -> Result<WaitRunResponse, Failure> {
    let deadline = up_to.and_then(|up_to| Instant::now().checked_add(up_to));
    let mut display = Display::new(session);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let step = left.map_or(display.step(), |left| left.min(display.step()));
        let request = WaitRunRequest { run_id: run_id.to_owned(), timeout: step.try_into().ok(), ..Default::default() };
        let answer = session.read(request).await?;
        let out_of_time = left.is_some_and(|left| left <= step);
        if answer.finished || out_of_time {
            display.end(&answer);
            return Ok(answer);
        }
        if let Some(run) = &answer.run {
            let why = if display.is_seen() { why(run, session).await } else { None };
            display.show(run, why);
        }
    }
}

/// What holds a run back, if it does not run. That nobody can say is no reason to stop waiting.
async fn why(run: &Run, session: &Session) -> Option<String> {
    if !matches!(run.state(), RunState::Scheduled | RunState::Queued | RunState::Retrying | RunState::Cancelling) {
        return None;
    }
    let request = ExplainRunRequest { run_id: run.run_id.clone(), ..Default::default() };
    let answer = session.read(request).await.ok()?;
    answer.explanations.into_iter().next().map(|first| first.message)
}

/// What people see while they wait.
enum Display {
    /// A program reads: nothing is shown.
    None,
    /// No terminal: a line for each change.
    Lines(String),
    /// A terminal.
    Bar(ProgressBar),
}

impl Display {
    fn new(session: &Session) -> Self {
        if session.output == Output::Json {
            return Self::None;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(String::new());
        }
        let colors = if session.colors { "{bar:24.cyan/blue}" } else { "{bar:24}" };
        let template = format!("{{spinner}} {{elapsed}} [{colors}] {{msg}}");
        let bar = ProgressBar::new(BAR_LENGTH);
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    fn is_seen(&self) -> bool {
        !matches!(self, Self::None)
    }

    fn step(&self) -> Duration {
        if matches!(self, Self::Bar(_)) { STEP_SHOWN } else { STEP_UNSEEN }
    }

    fn show(&mut self, run: &Run, why: Option<String>) {
        let line = line(run, why.as_deref());
        match self {
            Self::None => {}
            Self::Lines(last) if *last == line => {}
            Self::Lines(last) => {
                out::note(&line);
                *last = line;
            }
            Self::Bar(bar) => {
                bar.set_position(position(run));
                bar.set_message(line);
            }
        }
    }

    fn end(&self, answer: &WaitRunResponse) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        if let (true, false, Some(run)) = (self.is_seen(), answer.finished, &answer.run) {
            out::note(&format!("not ended yet: it is {}", run_state(run.state)));
        }
    }
}

/// Where a run stands, and what it is at or what holds it back.
fn line(run: &Run, why: Option<&str>) -> String {
    let progress = run.progress.as_ref().filter(|_| run.state() == RunState::Running);
    let detail = match (why, progress) {
        (Some(why), _) => format!(": {}", out::cell(why)),
        (None, Some(progress)) => {
            format!(", {:.0} % {}", progress.fraction * 100.0, out::cell(&progress.message))
        }
        (None, None) => String::new(),
    };
    let without_reason = Run { reason: String::new(), ..run.clone() };
    format!("{}{}", state_line(&without_reason), detail.trim_end())
}

/// How far the bar is.
fn position(run: &Run) -> u64 {
    let fraction = run.progress.as_ref().map_or(0.0, |progress| progress.fraction).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 1000")]
    let position = (fraction * BAR_LENGTH as f64) as u64;
    position
}

#[cfg(test)]
mod tests {
    use semel_proto::v1::{Attempt, Progress};

    use super::*;

    fn run(state: RunState) -> Run {
        Run { state: state.into(), ..Run::default() }
    }

    #[test]
    fn the_code_says_how_a_run_ended() {
        let waited = |state, finished| WaitRunResponse { run: Some(run(state)), finished, ..Default::default() };
        let code = |waited| format!("{:?}", done(&waited).0);
        let expected = |exit| format!("{:?}", Done::with(exit).0);
        assert_eq!(code(waited(RunState::Succeeded, true)), expected(Exit::Done));
        for state in [RunState::Failed, RunState::Cancelled, RunState::Expired] {
            assert_eq!(code(waited(state, true)), expected(Exit::RunFailed));
        }
        assert_eq!(code(waited(RunState::Running, false)), expected(Exit::Later));
    }

    #[test]
    fn a_line_says_what_a_run_is_at_or_what_holds_it_back() {
        let mut running = Run { max_attempts: 3, ..run(RunState::Running) };
        running.attempts = vec![Attempt { attempt: 2, ..Attempt::default() }];
        running.progress = Some(Progress { fraction: 0.25, message: "file 3".to_owned(), update_time: None });
        assert_eq!(line(&running, None), "RUNNING, attempt 2 of 3, 25 % file 3");
        assert_eq!(position(&running), 250);
        assert_eq!(line(&run(RunState::Queued), Some("no worker has exec")), "QUEUED: no worker has exec");
        assert_eq!(line(&run(RunState::Queued), None), "QUEUED");
    }
}
