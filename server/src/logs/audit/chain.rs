//! What ties each line of the audit log to the one before. A line ends with its `hash`: SHA-256, in hex, over the `hash` of the
//! line before (64 zeros before the first) followed by this line up to where `,"hash":` begins. So whoever changes a line or takes
//! one out has to make all that follow anew, and whoever has noted down a later `hash` sees it.

use sha2::{Digest as _, Sha256};

const OPENING: &str = ",\"hash\":\"";
const CLOSING: &str = "\"}";
const HEX: usize = 64;

/// The `hash` of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link([u8; HEX]);

impl Link {
    /// What stands before the first line of all.
    pub const START: Self = Self([b'0'; HEX]);

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        text.as_bytes().try_into().ok().filter(|_| is_hex).map(Self)
    }

    /// In hex.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// That of a line after this one.
    fn next(self, body: &str) -> Self {
        let mut sum = Sha256::new();
        sum.update(self.0);
        sum.update(body);
        let mut hex = [0; HEX];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(sum.finalize()) {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).map_or(0, |digit| digit as u8);
            (pair[0], pair[1]) = (digit(byte >> 4), digit(byte & 15));
        }
        Self(hex)
    }
}

/// Ties a line to the one before: `object` is its JSON without the `hash`. Gives it whole, and its own link.
pub(super) fn tie(before: Link, object: &str) -> (String, Link) {
    let body = object.strip_suffix('}').unwrap_or(object);
    let link = before.next(body);
    (format!("{body}{OPENING}{}{CLOSING}", link.as_str()), link)
}

/// What a line says that its link is; none if it is no line of this log.
pub(super) fn link_of(line: &str) -> Option<Link> {
    split(line).map(|(_, link)| link)
}

/// Whether a line is what it was when it was tied to that one.
pub(super) fn holds(before: Link, line: &str) -> bool {
    split(line).is_some_and(|(body, link)| before.next(body) == link)
}

fn split(line: &str) -> Option<(&str, Link)> {
    let rest = line.strip_suffix(CLOSING)?;
    let (rest, hex) = rest.split_at_checked(rest.len().checked_sub(HEX)?)?;
    Some((rest.strip_suffix(OPENING)?, Link::parse(hex)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_only_behind_its_own_and_as_it_was() {
        let (first, one) = tie(Link::START, r#"{"seq":1}"#);
        let (second, two) = tie(one, r#"{"seq":2}"#);
        assert!(holds(Link::START, &first) && holds(one, &second));
        assert_eq!((link_of(&first), link_of(&second)), (Some(one), Some(two)));
        assert!(!holds(Link::START, &second) && !holds(two, &first));
        assert!(!holds(one, &second.replace("\"seq\":2", "\"seq\":3")));
        for nonsense in ["", "}", "{\"seq\":1}", "\u{e9}\u{e9}\"}", &first[..first.len() - 1]] {
            assert_eq!(link_of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_hash_is_what_the_page_says_that_it_is() {
        // echo -n "$(printf '0%.0s' {1..64}){\"seq\":1" | sha256sum
        let (line, _) = tie(Link::START, r#"{"seq":1}"#);
        let mut sum = Sha256::new();
        sum.update("0".repeat(64) + "{\"seq\":1");
        let expected: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line, format!("{{\"seq\":1,\"hash\":\"{expected}\"}}"));
    }
}
