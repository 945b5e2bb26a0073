//! What `--top` shows, as lines of styled pieces. Pure: a scene goes in, lines come out that fit the terminal.

use std::time::{Duration, SystemTime};

use semel_proto::v1::RunState;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{
    board::{Board, Link, Row, is_end},
    rates::{self, What},
};
use crate::cli::{out, show::run_state};

/// What is to be shown.
pub(super) struct Scene<'a> {
    pub(super) board: &'a Board,
    /// What is watched.
    pub(super) title: &'a str,
    pub(super) now: SystemTime,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// How a piece looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
}

/// One line: pieces from left to right, together no wider than the terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(String, Style)>);

/// Lines above the rows, the head of the table included, and one below.
const FRAME: usize = 6;
/// A terminal narrower than this gets the end of each id, which tells them apart, instead of the whole.
const WIDE: usize = 132;
const RUN_WIDTH: usize = 36;
const RUN_TAIL: usize = 12;
const STATE_WIDTH: usize = 10;
const TRY_WIDTH: usize = 4;
const SPAN_WIDTH: usize = 6;
const GAP: usize = 2;

/// All lines of the screen, from the top.
pub(super) fn lines(scene: &Scene<'_>) -> Vec<Line> {
    let columns = Columns::fit(scene.width);
    let mut lines = vec![title(scene), live(scene.board), ended(scene.board), rates(scene), Line::default()];
    lines.push(columns.head());
    let room = scene.height.saturating_sub(FRAME + 1);
    let (active, ended, waiting) = shares(room, scene.board);
    let rows = scene.board.active.values().take(active);
    let rows = rows.chain(scene.board.ended.iter().take(ended)).chain(scene.board.waiting.values().take(waiting));
    lines.extend(rows.map(|row| columns.row(row, scene.now)));
    lines.truncate(scene.height.saturating_sub(1));
    lines.resize(scene.height.saturating_sub(1), Line::default());
    lines.push(foot(scene.board, active + waiting));
    lines.into_iter().map(|line| line.fit(scene.width)).collect()
}

/// How many rows of each kind there is room for: what runs comes first, but some of what has ended and of what waits is
/// always seen.
fn shares(room: usize, board: &Board) -> (usize, usize, usize) {
    let (active, ended, waiting) = (board.active.len(), board.ended.len(), board.waiting.len());
    let (least_ended, least_waiting) = (ended.min(room / 3), waiting.min(room / 5));
    let active = active.min(room - least_ended - least_waiting);
    let ended = ended.min(room - active - least_waiting);
    (active, ended, waiting.min(room - active - ended))
}

fn title(scene: &Scene<'_>) -> Line {
    let (link, style) = match &scene.board.link {
        Link::Live => ("live".to_owned(), Style::Good),
        Link::Reading => ("reading how things stand".to_owned(), Style::Busy),
        Link::Lost(why) => (format!("the server is away, trying again: {}", out::cell(why)), Style::Bad),
    };
    Line(vec![
        ("semel  ".to_owned(), Style::Bold),
        (out::cell(scene.title), Style::Plain),
        (format!("  revision {}  ", scene.board.revision), Style::Dim),
        (link, style),
    ])
}

fn live(board: &Board) -> Line {
    let states = [
        (RunState::Running, Style::Busy),
        (RunState::Cancelling, Style::Busy),
        (RunState::Retrying, Style::Bad),
        (RunState::Queued, Style::Plain),
        (RunState::Scheduled, Style::Plain),
    ];
    let mut line = counted(board, &states);
    let (workers, slots) = board.workers();
    line.0.push((format!("  workers {workers}  slots {slots}"), Style::Dim));
    line
}

fn ended(board: &Board) -> Line {
    let states = [
        (RunState::Succeeded, Style::Good),
        (RunState::Failed, Style::Bad),
        (RunState::Cancelled, Style::Plain),
        (RunState::Expired, Style::Bad),
    ];
    let mut line = counted(board, &states);
    line.0.push(("  since this began".to_owned(), Style::Dim));
    line
}

/// Counts by state; those that are zero are no alarm.
fn counted(board: &Board, states: &[(RunState, Style)]) -> Line {
    let mut pieces = Vec::new();
    for (number, (state, style)) in states.iter().enumerate() {
        let count = board.count(*state);
        let gap = if number == 0 { "" } else { "  " };
        pieces.push((format!("{gap}{} ", run_state((*state).into()).to_lowercase()), Style::Dim));
        pieces.push((count.to_string(), if count == 0 { Style::Dim } else { *style }));
    }
    Line(pieces)
}

fn rates(scene: &Scene<'_>) -> Line {
    let rate = |what| scene.board.rates.rate(what, scene.now);
    let text = format!(
        "{:.1}/s made  {:.1}/s started  {:.1}/s ended, over the last {} s",
        rate(What::Made),
        rate(What::Started),
        rate(What::Ended),
        rates::SECONDS
    );
    Line(vec![(text, Style::Dim)])
}

fn foot(board: &Board, shown: usize) -> Line {
    let live = [RunState::Running, RunState::Cancelling, RunState::Retrying, RunState::Queued, RunState::Scheduled];
    let all: u64 = live.iter().map(|state| board.count(*state)).sum();
    let more = match usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(shown) {
        0 => String::new(),
        more => format!("{more} more that have not ended; "),
    };
    Line(vec![(format!("{more}q ends this"), Style::Dim)])
}

/// The widths of the columns.
struct Columns {
    run: usize,
    job: usize,
    worker: usize,
}

impl Columns {
    fn fit(width: usize) -> Self {
        let run = if width >= WIDE { RUN_WIDTH } else { RUN_TAIL };
        let fixed = run + STATE_WIDTH + TRY_WIDTH + 2 * SPAN_WIDTH + 7 * GAP;
        let rest = width.saturating_sub(fixed);
        Self { run, job: (rest / 3).clamp(8, 32), worker: (rest / 4).clamp(6, 20) }
    }

    fn head(&self) -> Line {
        let words = ["STATE", "RUN", "JOB", "TRY", "AGE", "FOR", "WORKER"].map(str::to_owned);
        Line(vec![(format!("{}REASON", self.cells(&words)), Style::Bold)])
    }

    fn row(&self, row: &Row, now: SystemTime) -> Line {
        let state = run_state(row.state);
        let style = style(row);
        let id = out::cell(&row.run_id);
        let id = if id.width() > self.run { tail(&id, self.run) } else { id };
        let attempt = if row.attempt == 0 { String::new() } else { format!("#{}", row.attempt) };
        let age = span(row.created, Some(now));
        let took = span(row.started, if row.is_active() { Some(now) } else { row.ended });
        let words = [String::new(), id, out::cell(&row.job), attempt, age, took, out::cell(&row.worker)];
        let cells = self.cells(&words);
        let state = cell(&state, STATE_WIDTH);
        let reason = (out::cell(&row.reason), if style == Style::Bad { Style::Bad } else { Style::Dim });
        let text = if row.is_active() || is_end(row.state) { Style::Plain } else { Style::Dim };
        Line(vec![(state, style), (cells[STATE_WIDTH..].to_owned(), text), reason])
    }

    /// All but the reason, which has the rest of the line.
    fn cells(&self, words: &[String; 7]) -> String {
        let widths = [STATE_WIDTH, self.run, self.job, TRY_WIDTH, SPAN_WIDTH, SPAN_WIDTH, self.worker];
        words.iter().zip(widths).map(|(word, width)| cell(word, width) + &" ".repeat(GAP)).collect()
    }
}

fn style(row: &Row) -> Style {
    match RunState::try_from(row.state) {
        Ok(RunState::Running | RunState::Cancelling) => Style::Busy,
        Ok(RunState::Succeeded) => Style::Good,
        Ok(RunState::Failed | RunState::Expired | RunState::Retrying) => Style::Bad,
        _ => Style::Plain,
    }
}

/// A text in a column: filled up, or cut with a sign that it was.
fn cell(text: &str, width: usize) -> String {
    let cut =
        if text.width() > width { format!("{}…", head(text, width.saturating_sub(1))) } else { text.to_owned() };
    let fill = width.saturating_sub(cut.width());
    cut + &" ".repeat(fill)
}

/// As much of the beginning as fits.
fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return &text[..at];
        }
    }
    text
}

/// As much of the end as fits.
fn tail(text: &str, width: usize) -> String {
    let mut used = 0;
    let start = text.char_indices().rev().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > width
    });
    start.map_or(text, |(at, c)| &text[at + c.len_utf8()..]).to_owned()
}

/// The time between two moments, in two units at most.
fn span(from: Option<SystemTime>, until: Option<SystemTime>) -> String {
    let (Some(from), Some(until)) = (from, until) else { return String::new() };
    let elapsed = until.duration_since(from).unwrap_or(Duration::ZERO);
    let seconds = elapsed.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", elapsed.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

impl Line {
    /// Cut to the width.
    fn fit(self, width: usize) -> Self {
        let mut room = width;
        let mut pieces = Vec::with_capacity(self.0.len());
        for (text, style) in self.0 {
            let text = head(&text, room).to_owned();
            room -= text.width();
            pieces.push((text, style));
        }
        Self(pieces)
    }
}

#[cfg(test)]
mod tests;
