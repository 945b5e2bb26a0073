//! What a worker knows of its leases, by its own monotonic clock alone. It judges; telling processors to stop is the
//! runtime's.

use std::{collections::VecDeque, time::Duration};

use semel_proto::v1::Opened;
use tokio::time::Instant;

use super::given;

/// What is assumed if the server does not say.
const HEARTBEAT_UNSTATED: Duration = Duration::from_secs(5);
const LEASE_UNSTATED: Duration = Duration::from_secs(30);
/// A stream on which so many heartbeats found no answer is of no use, whatever else comes over it.
const UNANSWERED_MAX: usize = 64;

/// The leases of a worker, which all end together.
///
/// They are good for their duration from the moment at which a heartbeat was *sent* that the server answered: that the
/// server read it later can only make them longer. So a worker that was stopped for a while, and first finds old answers
/// when it goes on, knows by itself that it must not.
#[derive(Debug)]
pub(super) struct Lease {
    duration: Duration,
    interval: Duration,
    /// Until when they are good; nothing before the first stream.
    until: Option<Instant>,
    /// Whether they are presumed lost, and that was acted upon.
    lost: bool,
    /// When the heartbeats were sent that are not answered yet, the oldest first.
    unanswered: VecDeque<Instant>,
    next_heartbeat: Instant,
    /// When the server was heard of last.
    last_word: Instant,
}

impl Lease {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            duration: LEASE_UNSTATED,
            interval: HEARTBEAT_UNSTATED,
            until: None,
            lost: false,
            unanswered: VecDeque::new(),
            next_heartbeat: now,
            last_word: now,
        }
    }

    /// A stream was opened, with a `Hello` that was sent at `hello_at`.
    pub(super) fn opened(&mut self, opened: &Opened, hello_at: Instant, now: Instant) {
        let stated = |duration| given(duration).filter(|duration: &Duration| !duration.is_zero());
        self.duration = stated(opened.lease_duration).unwrap_or(LEASE_UNSTATED);
        self.interval = stated(opened.heartbeat_interval).unwrap_or(HEARTBEAT_UNSTATED);
        self.unanswered.clear();
        self.next_heartbeat = now + self.interval;
        self.last_word = now;
        self.renew(hello_at);
    }

    /// The stream was lost: what was not answered on it never will be.
    pub(super) fn closed(&mut self) {
        self.unanswered.clear();
    }

    /// The server was heard of.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_word = now;
    }

    /// A heartbeat is sent. Gives back how many answers are to come until this one is answered.
    pub(super) fn sent(&mut self, now: Instant) -> usize {
        self.next_heartbeat = now + self.interval;
        self.unanswered.push_back(now);
        self.unanswered.len()
    }

    /// The server has answered a heartbeat; they are answered in order.
    pub(super) fn answered(&mut self) {
        if let Some(sent_at) = self.unanswered.pop_front() {
            self.renew(sent_at);
        }
    }

    fn renew(&mut self, sent_at: Instant) {
        let until = sent_at + self.duration;
        self.until = Some(self.until.map_or(until, |former| former.max(until)));
        self.lost = false;
    }

    pub(super) fn heartbeat_is_due(&self, now: Instant) -> bool {
        self.next_heartbeat <= now
    }

    /// Whether the stream must be taken for dead.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.last_word) > self.duration || self.unanswered.len() > UNANSWERED_MAX
    }

    /// True once each time that the leases have to be presumed lost.
    pub(super) fn just_lost(&mut self, now: Instant) -> bool {
        let lost = self.until.is_some_and(|until| until < now);
        let just = lost && !self.lost;
        self.lost |= just;
        just
    }

    /// When to look at the stream again.
    pub(super) fn next_on_stream(&self) -> Instant {
        // One tick past the end: up to it the server is not late.
        self.next_heartbeat.min(self.last_word + self.duration + Duration::from_millis(1))
    }

    /// When the leases have to be presumed lost, if nothing comes before.
    pub(super) fn next_loss(&self) -> Option<Instant> {
        self.until.filter(|_| !self.lost).map(|until| until + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn opened(start: Instant) -> Lease {
        let mut lease = Lease::new(start);
        let opened = Opened { lease_duration: LEASE.try_into().ok(), ..Default::default() };
        lease.opened(&opened, start, start);
        lease
    }

    #[test]
    fn an_answer_renews_from_when_its_heartbeat_was_sent() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut lease = opened(start);
        lease.sent(start + 10 * second);
        lease.sent(start + 20 * second);
        lease.answered();
        assert!(!lease.just_lost(start + 40 * second));
        assert!(lease.just_lost(start + 41 * second));
        assert!(!lease.just_lost(start + 42 * second), "it is said once");
    }

    #[test]
    fn an_old_answer_that_is_read_late_renews_nothing() {
        let start = Instant::now();
        let mut lease = opened(start);
        lease.sent(start + Duration::from_secs(5));
        let woken = start + Duration::from_secs(100);
        assert!(lease.just_lost(woken));
        lease.heard(woken);
        lease.answered();
        assert!(lease.just_lost(woken));
    }

    #[test]
    fn before_the_first_stream_there_is_nothing_to_lose() {
        let start = Instant::now();
        let mut lease = Lease::new(start);
        assert!(!lease.just_lost(start + Duration::from_secs(1_000)));
    }

    #[test]
    fn silence_and_unanswered_heartbeats_both_show_a_dead_stream() {
        let start = Instant::now();
        let mut lease = opened(start);
        assert!(!lease.is_silent(start + LEASE));
        assert!(lease.is_silent(start + LEASE + Duration::from_millis(1)));
        for _ in 0..=UNANSWERED_MAX {
            lease.sent(start);
        }
        assert!(lease.is_silent(start));
    }
}
