//! How `semel dev` tells its story to a person: a few sections of aligned lines. It knows nothing of what it shows, and it
//! says nothing at all where a program listens.

use std::io::Write as _;

use serde_json::Value;

use super::report::{Check, Heard, Report, Told};

/// How wide the left column is.
const LABEL_WIDTH: usize = 10;
/// How many lines of a log are shown.
const LOG_LINES_MAX: usize = 5;
/// How many characters of a line or of a result are shown.
const LINE_CHARACTERS_MAX: usize = 100;

/// Speaks to a person, or keeps quiet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    pub(super) quiet: bool,
}

impl Voice {
    /// Begins a section.
    pub(super) fn section(self, title: &str) {
        self.say(&format!("\n{title}\n"));
    }

    /// A line with a label.
    pub(super) fn row(self, label: &str, text: &str) {
        self.say(format!("  {label:LABEL_WIDTH$}  {text}").trim_end());
    }

    /// What an answer said.
    pub(super) fn call(self, number: usize, heard: &Heard) {
        let Heard { disposition, auth, run_id, arrivals, safe_retry_until } = heard;
        let until = safe_retry_until.as_deref().map_or_else(|| "a time that it does not say".to_owned(), seconds);
        let text = format!("{disposition:8}  credentials {auth}, run {run_id}");
        self.row(&format!("call {number}"), &text);
        self.row("", &format!("{:8}  arrival {arrivals}, safe to send again until {until}", ""));
    }

    /// The log of a run, or its beginning.
    pub(super) fn log(self, told: &Told) {
        let lines: Vec<&str> = told.log.lines().collect();
        for (number, line) in lines.iter().take(LOG_LINES_MAX).enumerate() {
            self.row(if number == 0 { "log" } else { "" }, &cut(line));
        }
        if lines.len() > LOG_LINES_MAX {
            self.row("", &format!("… and {} lines more", lines.len() - LOG_LINES_MAX));
        }
    }

    /// What a run gave.
    pub(super) fn result(self, told: &Told) {
        if !told.reason.is_empty() {
            self.row("reason", &cut(&told.reason));
        }
        for (number, line) in result_lines(&told.result).iter().enumerate() {
            self.row(if number == 0 { "result" } else { "" }, &cut(line));
        }
    }

    /// What was promised, and whether it held.
    pub(super) fn checks(self, checks: &[Check]) {
        self.section("What was promised");
        for Check { promise, held, seen } in checks {
            self.row(if *held { "held" } else { "BROKEN" }, &format!("{promise} ({seen})"));
        }
    }

    /// What to type next.
    pub(super) fn next(self, commands: &[String]) {
        self.section("What to try next, in another terminal");
        for command in commands {
            self.say(&format!("  {command}"));
        }
    }

    fn say(self, line: &str) {
        if !self.quiet {
            print(line);
        }
    }
}

/// Shows all of it to a program.
pub(super) fn document(report: &Report) {
    print(&serde_json::to_string_pretty(report).unwrap_or_default());
}

fn print(line: &str) {
    if cfg!(test) {
        // The test harness keeps only what goes this way.
        return println!("{line}");
    }
    // Whoever listened may have gone, which is no reason to stop the server.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A result in lines. Lists, and what is not so, are for programs.
fn result_lines(result: &Value) -> Vec<String> {
    match result {
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        Value::Object(fields) => {
            let short = fields.iter().filter(|(_, value)| !value.is_array() && **value != Value::Bool(false));
            short
                .map(|(name, value)| format!("{name}: {}", value.as_str().map_or(value.to_string(), str::to_owned)))
                .collect()
        }
        value => vec![value.to_string()],
    }
}

fn cut(line: &str) -> String {
    let line = line.replace('\t', " ");
    if line.chars().count() <= LINE_CHARACTERS_MAX {
        return line;
    }
    line.chars().take(LINE_CHARACTERS_MAX - 1).chain(['…']).collect()
}

/// A moment without its fraction, which helps no person.
fn seconds(time: &str) -> String {
    let whole = time.split_once('.').map_or(time.trim_end_matches('Z'), |(whole, _)| whole);
    format!("{} UTC", whole.replace('T', " "))
}
