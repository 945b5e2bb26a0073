//! What rows have become by some commits. Two forms with one use: rows of small commits are gathered in maps; a large commit
//! stays the buffer that it was written to the log from, with the places of its rows in the order of their keys. Of the
//! thousands of rows of such a commit none is copied, and none is counted by reference.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;

use super::tables::{COUNT, Table};

/// See the module. A row without a value was deleted.
pub(super) enum Layer {
    /// Of several commits.
    Gathered(Gathered),
    /// Of one.
    Whole(Whole),
}

/// Rows by key.
#[derive(Default)]
pub(super) struct Gathered {
    tables: [BTreeMap<Bytes, Option<Bytes>>; COUNT],
    rows: usize,
}

/// Rows in a buffer.
pub(super) struct Whole {
    bytes: Bytes,
    /// By key, each key once.
    tables: [Vec<Place>; COUNT],
    rows: usize,
}

/// Where in a buffer a row stands: its key from `key` to `value`, its value from there to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) end: usize,
    pub(super) deleted: bool,
}

impl Place {
    fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.key..self.value]
    }

    fn found<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        (!self.deleted).then(|| &bytes[self.value..self.end])
    }
}

impl Whole {
    /// The rows of a buffer, in the order in which they were put there: of two with one key, the later counts.
    pub(super) fn new(bytes: Bytes, mut tables: [Vec<Place>; COUNT]) -> Self {
        for places in &mut tables {
            if !places.is_sorted_by(|a, b| a.key(&bytes) < b.key(&bytes)) {
                // A stable order, turned round: the last of those with one key is the first, which is the one that stays.
                places.reverse();
                places.sort_by(|a, b| a.key(&bytes).cmp(b.key(&bytes)));
                places.dedup_by(|b, a| a.key(&bytes) == b.key(&bytes));
            }
        }
        let rows = tables.iter().map(Vec::len).sum();
        Self { bytes, tables, rows }
    }

    /// The buffer, as it stands in the log.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What a row has become; none if nothing is known of it here.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        let places = &self.tables[table as usize];
        // Most new keys lie behind all others: they are known to be absent by one comparison.
        if places.last()?.key(&self.bytes) < key {
            return None;
        }
        let at = places.binary_search_by(|place| place.key(&self.bytes).cmp(key)).ok()?;
        Some(places[at].found(&self.bytes))
    }

    fn range(&self, table: Table, (first, last): (Bound<&[u8]>, Bound<&[u8]>)) -> &[Place] {
        let places = &self.tables[table as usize];
        let lies_before = |place: &Place| match first {
            Bound::Unbounded => false,
            Bound::Included(first) => place.key(&self.bytes) < first,
            Bound::Excluded(first) => place.key(&self.bytes) <= first,
        };
        let is_in = |place: &Place| match last {
            Bound::Unbounded => true,
            Bound::Included(last) => place.key(&self.bytes) <= last,
            Bound::Excluded(last) => place.key(&self.bytes) < last,
        };
        let rest = &places[places.partition_point(lies_before)..];
        &rest[..rest.partition_point(is_in)]
    }
}

impl Gathered {
    fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        let rows = &self.tables[table as usize];
        let (last, _) = rows.last_key_value()?;
        if last.as_ref() < key { None } else { rows.get(key).map(Option::as_deref) }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes over what a later commit has made of rows.
    pub(super) fn absorb(&mut self, later: &Whole) {
        for (mine, theirs) in self.tables.iter_mut().zip(&later.tables) {
            mine.extend(theirs.iter().map(|place| {
                let value = (!place.deleted).then(|| later.bytes.slice(place.value..place.end));
                (later.bytes.slice(place.key..place.value), value)
            }));
        }
        self.rows += later.rows;
    }

    /// What a row has become; none if nothing is known of it here.
    pub(super) fn newest(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.get(table, key).map(|value| value.map(Bytes::copy_from_slice))
    }
}

/// A key with its value; without one if the row was deleted.
type Row<'l> = (&'l [u8], Option<&'l [u8]>);

impl Layer {
    /// What a row has become; none if nothing is known of it here.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        match self {
            Self::Gathered(rows) => rows.get(table, key),
            Self::Whole(rows) => rows.get(table, key),
        }
    }

    /// The rows of a table that lie in a range, in order. The range must not be one in which no key can lie.
    pub(super) fn range<'l>(
        &'l self,
        table: Table,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Box<dyn DoubleEndedIterator<Item = Row<'l>> + 'l> {
        match self {
            Self::Gathered(rows) => {
                let rows = rows.tables[table as usize].range::<[u8], _>(range);
                Box::new(rows.map(|(key, value)| (key.as_ref(), value.as_deref())))
            }
            Self::Whole(rows) => {
                let places = rows.range(table, range).iter();
                Box::new(places.map(|place| (place.key(&rows.bytes), place.found(&rows.bytes))))
            }
        }
    }
}

impl From<Whole> for Arc<Layer> {
    fn from(rows: Whole) -> Self {
        Self::new(Layer::Whole(rows))
    }
}

impl Whole {
    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of rows: key and value, which is none for one that is deleted.
    fn whole(rows: &[(&str, Option<&str>)]) -> Whole {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            let at = bytes.len();
            bytes.extend_from_slice(key.as_bytes());
            let value_at = bytes.len();
            bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
            places.push(Place { key: at, value: value_at, end: bytes.len(), deleted: value.is_none() });
        }
        let mut tables: [Vec<Place>; COUNT] = std::array::from_fn(|_| Vec::new());
        tables[Table::Runs as usize] = places;
        Whole::new(bytes.into(), tables)
    }

    fn both(rows: &[(&str, Option<&str>)]) -> [Layer; 2] {
        let mut gathered = Gathered::default();
        gathered.absorb(&whole(rows));
        [Layer::Gathered(gathered), Layer::Whole(whole(rows))]
    }

    #[test]
    fn of_two_rows_with_one_key_the_later_counts_in_whatever_order_they_come() {
        for layer in both(&[("c", Some("1")), ("a", Some("2")), ("c", None), ("b", Some("3")), ("a", Some("4"))]) {
            let get = |key: &str| layer.get(Table::Runs, key.as_bytes());
            assert_eq!(get("a"), Some(Some(b"4".as_slice())));
            assert_eq!(get("b"), Some(Some(b"3".as_slice())));
            assert_eq!(get("c"), Some(None), "it was deleted");
            assert_eq!((get("0"), get("bb"), get("d")), (None, None, None));
            assert_eq!(layer.get(Table::Jobs, b"a"), None, "another table");
        }
    }

    #[test]
    fn ranges_are_cut_at_both_ends_and_go_both_ways() {
        let keys = |layer: &Layer, range| -> String {
            let there: Vec<_> = layer.range(Table::Runs, range).map(|(key, _)| key.to_vec()).collect();
            let mut back: Vec<_> = layer.range(Table::Runs, range).rev().map(|(key, _)| key.to_vec()).collect();
            back.reverse();
            assert_eq!(there, back);
            String::from_utf8(there.concat()).expect("letters")
        };
        for layer in both(&[("b", None), ("d", Some("1")), ("f", Some("2"))]) {
            assert_eq!(keys(&layer, (Bound::Unbounded, Bound::Unbounded)), "bdf");
            assert_eq!(keys(&layer, (Bound::Included(b"b"), Bound::Excluded(b"f"))), "bd");
            assert_eq!(keys(&layer, (Bound::Excluded(b"b"), Bound::Included(b"f"))), "df");
            assert_eq!(keys(&layer, (Bound::Included(b"c"), Bound::Included(b"c"))), "");
            assert_eq!(keys(&layer, (Bound::Excluded(b"f"), Bound::Unbounded)), "");
        }
    }
}
