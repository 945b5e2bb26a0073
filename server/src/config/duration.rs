//! Spans of time as people write them: `30s`, `1h30m`, `500ms`, `7d`. Parses and prints, decides nothing.

use std::time::Duration;

use jiff::{
    Span, SpanRelativeTo,
    fmt::friendly::{Spacing, SpanPrinter},
};

/// Reads a span of time. A day is 24 hours and a week 7 days; months and years have no length of their own and are
/// refused, and so is a number without a unit.
///
/// # Errors
/// Says what a span looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |what: &str| format!("{text:?} {what}; write it like 30s, 1h30m, 500ms or 7d");
    let span: Span = text.trim().parse().map_err(|_| wrong("is no span of time"))?;
    if span.is_negative() {
        return Err(wrong("lies in the past"));
    }
    let days = SpanRelativeTo::days_are_24_hours();
    let signed = span.to_duration(days).map_err(|_| wrong("has months or years, which have no fixed length"))?;
    Duration::try_from(signed).map_err(|_| wrong("is too long"))
}

/// Writes a span of time as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    const PRINTER: SpanPrinter = SpanPrinter::new().spacing(Spacing::None);
    PRINTER.unsigned_duration_to_string(&duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_an_example() {
        for text in ["", "30", "soon", "-5s", "1 month", "1y", "5 parsecs"] {
            let problem = parse_duration(text).expect_err(text);
            assert!(problem.contains("1h30m"), "{problem}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for (millis, text) in [(0, "0s"), (500, "500ms"), (5_400_000, "1h30m"), (86_400_000, "24h")] {
            let duration = Duration::from_millis(millis);
            assert_eq!(show_duration(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
    }
}
