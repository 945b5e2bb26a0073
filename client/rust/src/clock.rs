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
}

impl ServerClock {
    /// Learns from a header that has just arrived.
    pub(crate) fn learn(&self, header: &ResponseHeader) {
        self.learn_at(header, SystemTime::now());
    }

    fn learn_at(&self, header: &ResponseHeader, arrival: SystemTime) {
        let Some(server_time) = &header.server_time else { return };
        let server_ms =
            server_time.seconds.saturating_mul(1000).saturating_add(i64::from(server_time.nanos) / 1_000_000);
        self.offset_ms.store(server_ms.saturating_sub(unix_ms(arrival)), Ordering::Relaxed);
    }

    /// The server's time now, as far as it is known; this machine's own time before anything was learnt.
    pub(crate) fn now(&self) -> SystemTime {
        self.at(SystemTime::now())
    }

    fn at(&self, local: SystemTime) -> SystemTime {
        let offset = self.offset_ms();
        let by = Duration::from_millis(offset.unsigned_abs());
        if offset < 0 { local.checked_sub(by) } else { local.checked_add(by) }.unwrap_or(local)
    }

    /// By how many milliseconds the server's clock is ahead of this machine's.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
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
    fn a_header_without_a_time_teaches_nothing() {
        let clock = ServerClock::default();
        clock.learn(&ResponseHeader::default());
        assert_eq!(clock.offset_ms(), 0);
    }
}
