//! What all stores have in common when they list by time-ordered ids: from which id to which, and where a page ends.
//! Touches no rows.

use semel_core::{id::Timestamp, window::DedupRecord};

use super::{Page, RequestQuery, RunQuery, SCAN_ROWS_MAX};

/// The ids from `lower` on, up to but without `upper`; to the end if there is none. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) lower: [u8; 16],
    pub(super) upper: Option<[u8; 16]>,
}

impl Span {
    /// None when no id can lie in it.
    fn new(from: Option<Timestamp>, until: Option<Timestamp>, before: Option<[u8; 16]>) -> Option<Self> {
        let lower = from.map_or(Some([0; 16]), first_id)?;
        let until = until.and_then(first_id);
        let upper = match (until, before) {
            (Some(until), Some(before)) => Some(until.min(before)),
            (until, before) => until.or(before),
        };
        upper.is_none_or(|upper| lower < upper).then_some(Self { lower, upper })
    }

    pub(super) fn of_runs(query: &RunQuery) -> Option<Self> {
        Self::new(query.from, query.until, query.before.map(|id| id.0))
    }

    pub(super) fn of_requests(query: &RequestQuery) -> Option<Self> {
        Self::new(query.from, query.until, query.before.map(|id| id.0))
    }
}

/// The least id of this time or later; none when no id can bear such a time.
pub(super) fn first_id(time: Timestamp) -> Option<[u8; 16]> {
    let millis = u64::try_from(time.0).unwrap_or(0);
    if millis >= 1 << 48 {
        return None;
    }
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    Some(id)
}

impl RequestQuery {
    /// Whether a request of the app is among what is asked for, its place in the list aside.
    pub fn matches(&self, record: &DedupRecord) -> bool {
        self.method.is_none_or(|method| record.method == method)
            && self.principal.as_ref().is_none_or(|principal| *record.principal == **principal)
    }
}

/// Collects a page, and knows when it must end.
pub(super) struct Pager<T, K> {
    items: Vec<T>,
    limit: usize,
    looked_at: usize,
    last: Option<K>,
}

impl<T, K: Copy + PartialEq> Pager<T, K> {
    pub(super) fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit: limit.max(1), looked_at: 0, last: None }
    }

    /// Whether the page ends before the row with this key. It never ends between rows with equal keys: the next page
    /// begins strictly below the last key, and would miss the others.
    pub(super) fn ends_before(&self, key: K) -> bool {
        (self.items.len() >= self.limit || self.looked_at >= SCAN_ROWS_MAX) && self.last != Some(key)
    }

    /// Takes a row that was looked at, with its item if it is among what is asked for.
    pub(super) fn take(&mut self, key: K, item: Option<T>) {
        self.looked_at += 1;
        self.last = Some(key);
        self.items.extend(item);
    }

    /// The page, with more to come.
    pub(super) fn cut(self) -> Page<T, K> {
        Page { items: self.items, next: self.last }
    }

    /// The last page.
    pub(super) fn end(self) -> Page<T, K> {
        Page { items: self.items, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> [u8; 16] {
        let mut id = [0; 16];
        id[5] = byte;
        id
    }

    #[test]
    fn a_span_is_closed_below_and_open_above() {
        let span = |from: Option<i64>, until: Option<i64>, before| {
            Span::new(from.map(Timestamp), until.map(Timestamp), before)
        };
        let all = Span { lower: [0; 16], upper: None };
        assert_eq!(span(None, None, None), Some(all));
        assert_eq!(span(Some(3), Some(9), None), Some(Span { lower: id(3), upper: Some(id(9)) }));
        assert_eq!(span(Some(3), Some(9), Some(id(5))), Some(Span { lower: id(3), upper: Some(id(5)) }));
        assert_eq!(span(Some(-7), Some(9), Some(id(200))), Some(Span { lower: [0; 16], upper: Some(id(9)) }));
    }

    #[test]
    fn a_span_that_holds_nothing_is_none() {
        let span = |from: Option<i64>, until: Option<i64>, before| {
            Span::new(from.map(Timestamp), until.map(Timestamp), before)
        };
        assert_eq!(span(Some(9), Some(9), None), None);
        assert_eq!(span(Some(9), Some(3), None), None);
        assert_eq!(span(Some(9), None, Some(id(4))), None);
        assert_eq!(span(None, Some(0), None), None);
        assert_eq!(span(None, Some(-1), None), None);
        assert_eq!(span(Some(1 << 48), None, None), None, "no id bears such a time");
        assert_eq!(span(None, Some(i64::MAX), None), Some(Span { lower: [0; 16], upper: None }));
    }
}
