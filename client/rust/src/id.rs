//! Request ids. This file owns their form (UUIDv7) and how one is made from a time; it never reads a clock, so that the
//! corrected clock of the client is the only source of that time.

use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::{Builder, Uuid};

/// The identity of a logical call: a UUIDv7, minted once, before any retry, and kept by every retry.
///
/// Its first 48 bits are the time at which it was minted. A server remembers it for its dedup window (24 h by default);
/// an older id is refused and never executed. Store it beside what it is about to do when a crash of the caller must not
/// make the call happen twice, and give it back with [`Client::with_request_id`](crate::Client::with_request_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Mints an id that bears the time `now`; the rest is random, from the operating system, and grows within one millisecond.
    /// Prefer [`Client::mint_request_id`](crate::Client::mint_request_id), which knows how far this machine's clock is off.
    pub fn mint(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let tail = TAILS.lock().unwrap_or_else(PoisonError::into_inner).next((std::process::id(), millis));
        Self(Builder::from_unix_timestamp_millis(millis, &tail.to_bytes()).into_uuid())
    }

    /// Takes any UUID as an id. The server refuses one that is not of version 7.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// When it was minted, to the millisecond; nothing if it is not a UUIDv7.
    pub fn time(&self) -> Option<SystemTime> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
    }
}

/// What the ids of this process end with. One for all: what is minted later sorts later, which a server looks up and stores for
/// less, and a program that mints very many asks the system for randomness once a millisecond.
static TAILS: Mutex<Tails> = Mutex::new(Tails { of: None, last: Tail(0), step: 0 });

const LOW_MASK: u128 = (1 << Tail::LOW_BITS) - 1;

/// The end of an id: 74 bits, as many as a UUIDv7 has behind its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tail(u128);

impl Tail {
    const BITS: u32 = 74;
    /// So many of them stand behind the variant, the others before it.
    const LOW_BITS: u32 = 62;

    /// As the builder takes them: it puts version and variant over the first bits of either part.
    fn to_bytes(self) -> [u8; 10] {
        let (high, low) = (self.0 >> Self::LOW_BITS, self.0 & LOW_MASK);
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high.to_be_bytes()[14..]);
        bytes[2..].copy_from_slice(&low.to_be_bytes()[8..]);
        bytes
    }
}

/// The tails of one millisecond after the other: the first is drawn, and so is by how much the next ones lie above it (RFC 9562,
/// 6.2, method 2, with one step for all). Where a clock was set back, or another millisecond is wanted, they are drawn anew; and
/// in a child of this process, which has a copy of what is known here and would mint the same ids.
struct Tails {
    /// Of which process and millisecond.
    of: Option<(u32, u64)>,
    last: Tail,
    step: u128,
}

impl Tails {
    fn next(&mut self, of: (u32, u64)) -> Tail {
        let next = self.last.0 + self.step;
        if self.of == Some(of) && next >> Tail::BITS == 0 {
            self.last = Tail(next);
        } else {
            // The lowest 62 bits of either are random. The highest bit of the tail stays free, as room for those that follow.
            let [low, more] = [Uuid::new_v4(), Uuid::new_v4()].map(|drawn| drawn.as_u128() & LOW_MASK);
            let high = more >> 32 & 0x7ff;
            self.of = Some(of);
            self.last = Tail(high << Tail::LOW_BITS | low);
            self.step = (more & u128::from(u32::MAX)) + 1;
        }
        self.last
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_and_bears_its_time() {
        let now = UNIX_EPOCH + Duration::from_millis(1_750_000_000_123);
        let id = RequestId::mint(now);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.time(), Some(now));
        assert_eq!(id.to_string().len(), 36);
        assert_eq!(id.to_string().parse::<RequestId>().expect("it is one"), id);
    }

    #[test]
    fn two_ids_of_one_moment_differ() {
        let now = UNIX_EPOCH + Duration::from_millis(1_750_000_000_123);
        assert_ne!(RequestId::mint(now), RequestId::mint(now));
    }

    #[test]
    fn what_is_minted_later_sorts_later_and_a_clock_that_was_set_back_is_believed() {
        let now = UNIX_EPOCH + Duration::from_millis(1_750_000_000_123);
        let mut tails = Tails { of: None, last: Tail(0), step: 0 };
        let of_one: Vec<Tail> = (0..1000).map(|_| tails.next((1, 7))).collect();
        assert!(
            of_one.is_sorted_by(|former, next| former < next) && of_one.iter().all(|tail| tail.0 >> Tail::BITS == 0)
        );
        let earlier = tails.next((1, 6));
        assert_eq!(tails.of, Some((1, 6)));
        assert_ne!(Tail(of_one[999].0 + tails.step), earlier, "it is drawn anew");
        tails.last = Tail((1 << Tail::BITS) - 1);
        assert!(tails.next((1, 6)).0 >> (Tail::BITS - 1) == 0, "where there is no room above, it is drawn anew");
        let ids: Vec<RequestId> = (0..100).map(|micros| RequestId::mint(now + Duration::from_micros(micros))).collect();
        assert!(ids.iter().all(|id| id.time() == Some(now)));
        // Others mint in this process too: what is between two of these may be another millisecond's.
        let unique: std::collections::BTreeSet<&RequestId> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn a_child_of_the_process_mints_other_ids() {
        let mut tails = Tails { of: None, last: Tail(0), step: 0 };
        let first = tails.next((1, 7));
        let (last, step) = (tails.last, tails.step);
        let of_parent = tails.next((1, 7));
        let mut copied = Tails { of: Some((1, 7)), last, step };
        let of_child = copied.next((2, 7));
        assert!(of_parent > first && of_child != of_parent, "{of_parent:?} {of_child:?}");
    }

    #[test]
    fn all_bits_of_an_end_are_in_the_id() {
        let id = |tail: u128| Builder::from_unix_timestamp_millis(0, &Tail(tail).to_bytes()).into_uuid().as_u128();
        let fixed = id(0);
        for bit in 0..Tail::BITS {
            assert_eq!((id(1 << bit) ^ fixed).count_ones(), 1, "bit {bit}");
            assert!(id(1 << bit) > fixed && (bit == 0 || id(1 << bit) > id(1 << (bit - 1))), "bit {bit}");
        }
    }

    #[test]
    fn a_time_before_the_epoch_is_taken_as_the_epoch() {
        let id = RequestId::mint(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(id.time(), Some(UNIX_EPOCH));
    }
}
