//! The server's clock, as far as this client knows it. It owns the offset between the two clocks and is the only place
//! that reads this machine's wall clock; it decides nothing.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use semel_proto::v1::ResponseHeader;

/// How far the server's clock is ahead of this machine's, learnt from every header that arrives.
///
/// The offset is taken between the server's time and the moment of arrival, so it is short by the time the answer
/// travelled. That makes ids a little older than they are, which is harmless; the other side would not be.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    offset_ms: AtomicI64,
    /// By how much this machine's clock is taken to be another one; see
    /// [`Options::clock_offset_ms`](crate::Options::clock_offset_ms).
    local_offset_ms: i64,
}

impl ServerClock {
    /// Nothing is known of the server's clock yet.
    pub(crate) fn new(local_offset_ms: i64) -> Self {
        Self { local_offset_ms, ..Self::default() }
    }

    /// This machine's time.
    fn local(&self) -> SystemTime {
        shifted(SystemTime::now(), self.local_offset_ms)
    }

    /// Learns from a header that has just arrived.
    pub(crate) fn learn(&self, header: &ResponseHeader) {
        self.learn_at(header, self.local());
    }

    fn learn_at(&self, header: &ResponseHeader, arrival: SystemTime) {
        let Some(server_time) = &header.server_time else { return };
        let server_ms =
            server_time.seconds.saturating_mul(1000).saturating_add(i64::from(server_time.nanos) / 1_000_000);
        self.offset_ms.store(server_ms.saturating_sub(unix_ms(arrival)), Ordering::Relaxed);
    }

    /// The server's time now, as far as it is known; this machine's own time before anything was learnt.
    pub(crate) fn now(&self) -> SystemTime {
        self.at(self.local())
    }

    fn at(&self, local: SystemTime) -> SystemTime {
        shifted(local, self.offset_ms())
    }

    /// By how many milliseconds the server's clock is ahead of this machine's.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
}

fn shifted(time: SystemTime, offset_ms: i64) -> SystemTime {
    let by = Duration::from_millis(offset_ms.unsigned_abs());
    if offset_ms < 0 { time.checked_sub(by) } else { time.checked_add(by) }.unwrap_or(time)
}

fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seconds: i64) -> ResponseHeader {
        ResponseHeader { server_time: Some(prost_types::Timestamp { seconds, nanos: 0 }), ..Default::default() }
    }

    #[test]
    fn it_follows_a_server_that_is_ahead_and_one_that_is_behind() {
        let clock = ServerClock::default();
        let local = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(clock.at(local), local);
        clock.learn_at(&header(1_060), local);
        assert_eq!(clock.at(local), local + Duration::from_secs(60));
        clock.learn_at(&header(940), local);
        assert_eq!(clock.at(local), local - Duration::from_secs(60));
    }

    #[test]
    fn a_machine_that_is_an_hour_off_mints_by_the_server_all_the_same() {
        let clock = ServerClock::new(3_600_000);
        assert!(clock.now() > SystemTime::now() + Duration::from_secs(3_500));
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs());
        clock.learn(&header(now.expect("it fits")));
        let off = clock.now().duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
        assert!(off < Duration::from_secs(5), "{off:?}");
    }

    #[test]
    fn a_header_without_a_time_teaches_nothing() {
        let clock = ServerClock::default();
        clock.learn(&ResponseHeader::default());
        assert_eq!(clock.offset_ms(), 0);
    }
}
