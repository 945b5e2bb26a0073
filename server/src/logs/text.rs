//! Times and callers' texts as they stand in lines. Texts are cut to a bound here; what escapes them is serde's.

use semel_core::id::Timestamp;

/// Of a text that a caller chose a line holds so many bytes at the most.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// As RFC 3339 has it, in UTC, always with three digits behind the second: such texts sort as their times do.
pub(super) fn time(time: Timestamp) -> String {
    let stamp = jiff::Timestamp::from_millisecond(time.0).unwrap_or_default();
    format!("{stamp:.3}")
}

/// A text, or its beginning with a mark behind it if it is too long.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let mark = '…';
    let room = TEXT_BYTES_MAX - mark.len_utf8();
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_texts() {
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(Timestamp(1_769_846_400_120)), "2026-01-31T08:00:00.120Z");
        assert_eq!(time(Timestamp(1_769_846_400_000)), "2026-01-31T08:00:00.000Z");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("pay"), "pay");
        assert_eq!(cut(&"a".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        let long = cut(&"é".repeat(TEXT_BYTES_MAX));
        assert!(long.len() <= TEXT_BYTES_MAX && long.ends_with("é…"), "{long}");
    }
}
