//! Times and spans.

use prost_types::{Duration, Timestamp as ProtoTimestamp};
use semel_core::id::{Millis, Timestamp};

/// A time for the wire.
pub(crate) fn timestamp(time: Timestamp) -> ProtoTimestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1000) * 1_000_000).expect("less than a second");
    ProtoTimestamp { seconds: time.0.div_euclid(1000), nanos }
}

/// A span for the wire.
pub(crate) fn duration(span: Millis) -> Duration {
    let nanos = i32::try_from((span.0 % 1000) * 1_000_000).expect("less than a second");
    Duration { seconds: span.0 / 1000, nanos }
}

/// A time from the wire, cut to milliseconds. None if it is none that can be.
pub(crate) fn parse_timestamp(time: &ProtoTimestamp) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    time.seconds.checked_mul(1000)?.checked_add(i64::from(time.nanos) / 1_000_000).map(Timestamp)
}

/// A span from the wire, cut to milliseconds. None if it is negative or too long to be.
pub(crate) fn parse_duration(span: &Duration) -> Option<Millis> {
    if span.seconds < 0 || !(0..1_000_000_000).contains(&span.nanos) {
        return None;
    }
    span.seconds.checked_mul(1000)?.checked_add(i64::from(span.nanos) / 1_000_000).map(Millis)
}
