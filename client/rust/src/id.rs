//! Request ids. This file owns their form (UUIDv7) and how one is made from a time; it never reads a clock, so that the
//! corrected clock of the client is the only source of that time.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::{NoContext, Timestamp, Uuid};

/// The identity of a logical call: a UUIDv7, minted once, before any retry, and kept by every retry.
///
/// Its first 48 bits are the time at which it was minted. A server remembers it for its dedup window (24 h by default);
/// an older id is refused and never executed. Store it beside what it is about to do when a crash of the caller must not
/// make the call happen twice, and give it back with [`Client::with_request_id`](crate::Client::with_request_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Mints an id that bears the time `now`; the rest is random, from the operating system. Prefer
    /// [`Client::mint_request_id`](crate::Client::mint_request_id), which knows how far this machine's clock is off.
    pub fn mint(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos())))
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
    fn a_time_before_the_epoch_is_taken_as_the_epoch() {
        let id = RequestId::mint(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(id.time(), Some(UNIX_EPOCH));
    }
}
