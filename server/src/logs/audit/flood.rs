//! Which refusals get a line of their own. Whoever has no credentials can be refused as often as he likes, and must not be able to
//! fill the log or push out of it what stands there: of each reason so many a minute are written, of each address fewer, and
//! the rest is counted and told at the end of the minute.

use std::{collections::HashMap, net::IpAddr};

use semel_core::id::{Millis, Timestamp};

/// How long a span is within which refusals are counted.
pub(super) const SPAN: Millis = Millis(60_000);
/// Lines for one reason within a span.
const PER_REASON: u64 = 30;
/// Lines for one reason and one address within a span.
const PER_ADDRESS: u64 = 10;
/// Addresses that are told apart for each reason; what comes from further ones is counted together.
const ADDRESSES_MAX: usize = 16;

/// Refusals that got no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) reason: &'static str,
    /// From where; none if from several addresses, or from who knows where.
    pub(super) address: Option<IpAddr>,
    pub(super) count: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flood {
    begun: Option<Timestamp>,
    /// There are as many as there are reasons.
    reasons: HashMap<&'static str, Reason>,
}

#[derive(Debug, Default)]
struct Reason {
    written: u64,
    /// Written, and left out.
    addresses: HashMap<Option<IpAddr>, (u64, u64)>,
    /// Left out, of addresses that are not told apart.
    others: u64,
}

impl Flood {
    /// Whether this refusal gets a line; it is counted if not. Ask [`Flood::over`] first.
    pub(super) fn admits(&mut self, reason: &'static str, address: Option<IpAddr>, now: Timestamp) -> bool {
        self.begun.get_or_insert(now);
        let reason = self.reasons.entry(reason).or_default();
        let is_known = reason.addresses.contains_key(&address) || reason.addresses.len() < ADDRESSES_MAX;
        let has_room = reason.written < PER_REASON;
        if !is_known {
            reason.written += u64::from(has_room);
            reason.others += u64::from(!has_room);
            return has_room;
        }
        let (written, left_out) = reason.addresses.entry(address).or_default();
        if has_room && *written < PER_ADDRESS {
            reason.written += 1;
            *written += 1;
            return true;
        }
        *left_out += 1;
        false
    }

    /// What was left out, if the span is over; then a new one begins.
    pub(super) fn over(&mut self, now: Timestamp) -> Vec<LeftOut> {
        // A clock that was set back ends the span as well.
        let is_over = self.begun.is_some_and(|begun| now.0 - begun.0 >= SPAN.0 || now < begun);
        if is_over { self.take() } else { Vec::new() }
    }

    /// What was left out until now.
    pub(super) fn take(&mut self) -> Vec<LeftOut> {
        self.begun = None;
        let mut left_out = Vec::new();
        for (reason, counts) in self.reasons.drain() {
            let addresses = counts.addresses.into_iter().map(|(address, (_, count))| (address, count));
            let all = addresses.chain([(None, counts.others)]).filter(|(_, count)| *count > 0);
            left_out.extend(all.map(|(address, count)| LeftOut { reason, address, count }));
        }
        left_out.sort_by_key(|left_out| (left_out.reason, left_out.address));
        left_out
    }

    /// Whether something is counted that will have to be told.
    pub(super) fn is_counting(&self) -> bool {
        let counts = |reason: &Reason| reason.others > 0 || reason.addresses.values().any(|(_, count)| *count > 0);
        self.reasons.values().any(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVALID: &str = "CREDENTIALS_INVALID";

    fn from(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    fn admitted(flood: &mut Flood, count: u32, address: impl Fn(u32) -> Option<IpAddr>) -> usize {
        (0..count).filter(|number| flood.admits(INVALID, address(*number), Timestamp(1_000))).count()
    }

    #[test]
    fn one_address_gets_few_lines_and_leaves_room_for_others() {
        let mut flood = Flood::default();
        assert_eq!(admitted(&mut flood, 5_000, |_| from(1)), 10);
        assert!(flood.admits(INVALID, from(2), Timestamp(2_000)));
        assert!(flood.admits("FORBIDDEN", from(1), Timestamp(2_000)), "each reason has room of its own");
        assert_eq!(flood.over(Timestamp(60_999)), []);
        let left_out = LeftOut { reason: INVALID, address: from(1), count: 4_990 };
        assert_eq!(flood.over(Timestamp(61_000)), [left_out]);
        assert!(!flood.is_counting());
        assert_eq!(admitted(&mut flood, 5_000, |_| from(1)), 10, "and a new minute begins");
    }

    #[test]
    fn a_crowd_of_addresses_gets_no_more_lines_nor_memory_than_its_reason_has() {
        let mut flood = Flood::default();
        assert_eq!(admitted(&mut flood, 100_000, from), 30);
        let left_out = flood.take();
        assert!(left_out.len() <= ADDRESSES_MAX + 1, "{left_out:?}");
        assert_eq!(left_out.iter().map(|left_out| left_out.count).sum::<u64>(), 100_000 - 30);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_count() {
        let mut flood = Flood::default();
        admitted(&mut flood, 11, |_| from(1));
        assert_eq!(flood.over(Timestamp(0)).len(), 1);
    }
}
