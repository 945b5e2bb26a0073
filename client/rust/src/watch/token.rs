//! Where a watch goes on. The server gives a token with each message; this file makes one of it for each *event*, so that
//! a program that stops in the middle of a message goes on with the next event and not with the next message.
//!
//! The server's token names a place between two messages. Behind a `~`, this client adds how much of what comes after
//! that place was dealt with: for each app the revision, and how many of its events. An app's events come in one order,
//! so that says it all; it must be by app, for a watch over many apps is ordered for each of them only.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use crate::error::Error;

/// Between the server's token and what this client adds; no token of a server has it.
const MARK: char = '~';

/// Where a watch goes on: opaque, and no permission. It goes with the filter of the watch that gave it. To keep it, write
/// it down with `to_string`, and read it back with `parse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    base: Arc<str>,
    passed: Passed,
}

/// For each app, how far its events were dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed(BTreeMap<Arc<str>, Place>);

/// The last revision of an app of which something was dealt with, and how many of its events were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) revision: i64,
    pub(super) events: u32,
}

impl ResumeToken {
    pub(super) fn new(base: Arc<str>, passed: Passed) -> Self {
        Self { base, passed }
    }

    /// What the server gave.
    pub(super) fn base(&self) -> &Arc<str> {
        &self.base
    }

    pub(super) fn passed(&self) -> &Passed {
        &self.passed
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        for (number, (app, place)) in self.passed.0.iter().enumerate() {
            let mark = if number == 0 { MARK } else { ',' };
            write!(f, "{mark}{app}:{}:{}", place.revision, place.events)?;
        }
        Ok(())
    }
}

impl FromStr for ResumeToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (base, passed) = text.split_once(MARK).map_or((text, None), |(base, passed)| (base, Some(passed)));
        let passed = passed.map_or(Some(Passed::default()), |passed| passed.split(',').map(place).collect());
        match passed {
            Some(passed) if !base.is_empty() => Ok(Self { base: base.into(), passed }),
            _ => Err(Error::usage(format!("{text:?} is no resume token; copy it whole"))),
        }
    }
}

fn place(text: &str) -> Option<(Arc<str>, Place)> {
    let mut parts = text.splitn(3, ':');
    let app = parts.next()?.into();
    Some((app, Place { revision: parts.next()?.parse().ok()?, events: parts.next()?.parse().ok()? }))
}

impl Passed {
    /// Takes note of the next event.
    pub(super) fn note(&mut self, app: &Arc<str>, revision: i64) {
        let place = self.0.entry(app.clone()).or_insert(Place { revision, events: 0 });
        *place = match place.revision == revision {
            true => Place { events: place.events.saturating_add(1), ..*place },
            false => Place { revision, events: 1 },
        };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Place)> {
        self.0.iter()
    }
}

impl FromIterator<(Arc<str>, Place)> for Passed {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, Place)>>(places: T) -> Self {
        Self(places.into_iter().collect())
    }
}

/// What a message says of places; shared by the items that were made of it.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Where the message before ended.
    pub(super) base: Option<Arc<str>>,
    /// What was dealt with since then, before this message: the parts of a revision that came in several.
    pub(super) before: Passed,
    /// App and revision of each event in it.
    pub(super) events: Vec<(Arc<str>, i64)>,
    /// Where it ends.
    pub(super) after: Option<Arc<str>>,
}

/// The place of one item: behind so many events of a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    part: Arc<Part>,
    events: usize,
}

impl Position {
    pub(super) fn new(part: Arc<Part>, events: usize) -> Self {
        Self { part, events }
    }

    pub(super) fn token(&self) -> Option<ResumeToken> {
        let Part { base, before, events, after } = &*self.part;
        if let (true, Some(after)) = (self.events == events.len(), after) {
            return Some(ResumeToken::new(after.clone(), Passed::default()));
        }
        let mut passed = before.clone();
        events[..self.events].iter().for_each(|(app, revision)| passed.note(app, *revision));
        Some(ResumeToken::new(base.clone()?, passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ResumeToken {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        for text in ["AbC-_", "AbC~pay:7:1", "AbC~:9:2,pay/settle:7:1"] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert!(parsed("AbC").passed().is_empty());
    }

    #[test]
    fn what_is_no_token_is_told_at_once() {
        for text in ["", "~pay:7:1", "AbC~", "AbC~pay", "AbC~pay:x:1", "AbC~pay:7:1,"] {
            assert!(text.parse::<ResumeToken>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_event_of_a_message_has_a_place_of_its_own() {
        let pay: Arc<str> = "pay".into();
        let shop: Arc<str> = "shop".into();
        let mut before = Passed::default();
        before.note(&pay, 6);
        let part = Arc::new(Part {
            base: Some("A".into()),
            before,
            events: vec![(pay.clone(), 6), (pay, 7), (shop, 7)],
            after: Some("B".into()),
        });
        let texts: Vec<String> =
            (0..=3).map(|events| Position::new(part.clone(), events).token().expect("a place").to_string()).collect();
        assert_eq!(texts, ["A~pay:6:1", "A~pay:6:2", "A~pay:7:1", "B"]);
        assert_eq!(Position::default().token(), None, "before the end of a snapshot there is no such place");
    }
}
