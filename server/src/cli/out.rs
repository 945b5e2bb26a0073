//! Writing to the two outputs. A reader that went away (`semel run logs … | head`) is no fault and ends the command.

use std::io::{self, Write};

use serde_json::Value;

use super::failure::Failure;

/// Writes a text to standard output, with a line end if it lacks one.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    bytes(format!("{text}{end}").as_bytes())
}

/// Writes a document to standard output, spread over lines.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    text(&format!("{value:#}"))
}

/// Writes a document to standard output, on one line.
pub(crate) fn json_line(value: &Value) -> Result<(), Failure> {
    text(&value.to_string())
}

/// Writes to standard output as it is.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::output)
}

/// Writes a line to standard error, where nothing that a program reads stands. If nobody reads that either, nothing is
/// lost that could be told.
pub(crate) fn note(line: &str) {
    _ = writeln!(io::stderr().lock(), "{line}");
}

/// A text of somebody else's, made harmless for a terminal: control characters are shown and not obeyed.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// The same on one line, for a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_speak_to_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(cell("a\nb"), "a b");
    }
}
