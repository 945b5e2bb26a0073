//! How much is read of a connection before others have their turn: a peer that sends very much, or what makes much work, must not
//! hold the others up while it is gone through.
//!
//! Context: HTTP/2 goes through all that a connection has, and begins a task for each call in it, before its own task ends; and
//! what is woken comes before whatever lies in the network. With 16 KiB of small heads at a time the calls of others waited for
//! hundreds of tasks at each of their steps. Choice: a turn ends by what was read, and by how long it took; then the connection
//! rests until the runtime has looked at the network. What one read leads to cannot be cut short, so one that takes long is
//! followed by smaller ones, and strangers never have large ones. Consequences: a flood is slowed down by everybody else's calls;
//! a peer that sends no more than is gone through at once notices nothing. Measured: docs/ATTACKS.md.

use std::{
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use super::rest::Rest;
use crate::{clock::Stopwatch, transport::look};

/// What is read in a turn of a known caller.
const TURN_BYTES: usize = 16 << 10;
/// How long it may take, together with what it leads to.
const TURN_LASTS: Duration = Duration::from_micros(200);
/// What is read at once of a peer whose last turn took too long.
const PIECE_BYTES: usize = 2 << 10;
/// What is read in a turn of a stranger: the first call of a client with its credentials, or some eighteen with heads that are as
/// small as they can be. Measured under a thousand connections at once that send such: 2 KiB take 0.8 ms.
const STRANGER_BYTES: usize = 512;

/// See the module.
#[derive(Default)]
pub(super) struct Reading {
    /// Of this turn.
    bytes: usize,
    /// Since the turn began; none between two turns.
    since: Option<Stopwatch>,
    /// Whether the last turn took too long.
    is_heavy: bool,
    /// Between two turns.
    rest: Option<Rest>,
}

impl Reading {
    /// How many bytes may be read now. Pending where others come first.
    pub(super) fn poll_turn(&mut self, is_stranger: bool, context: &Context<'_>) -> Poll<usize> {
        let turn = if is_stranger { STRANGER_BYTES } else { TURN_BYTES };
        let took_long = self.since.is_some_and(|since| since.elapsed() > TURN_LASTS);
        if took_long || self.bytes >= turn {
            self.is_heavy = took_long;
            self.end_turn();
            // The engine's thread may wait for this core; `look` says why known callers give way otherwise.
            if is_stranger {
                look::breathe()
            } else {
                thread::yield_now()
            }
            self.rest = Some(Rest::begin(context));
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.poll_end(context));
            self.rest = None;
        }
        self.since.get_or_insert_with(Stopwatch::start);
        Poll::Ready(if self.is_heavy { PIECE_BYTES } else { turn }.min(turn - self.bytes))
    }

    /// So many bytes were read.
    pub(super) fn came(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// There is nothing more to be read for now.
    pub(super) fn is_drained(&mut self) {
        self.is_heavy = false;
        self.end_turn();
    }

    fn end_turn(&mut self) {
        (self.bytes, self.since) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// What may be read now, once the connection has rested if it has to, and whether it had to.
    async fn turn(reading: &mut Reading, is_stranger: bool) -> (usize, bool) {
        let mut rested = false;
        let bytes = poll_fn(|context| {
            let turn = reading.poll_turn(is_stranger, context);
            rested |= turn.is_pending();
            turn
        });
        (bytes.await, rested)
    }

    #[tokio::test]
    async fn a_turn_ends_by_what_was_read() {
        for (is_stranger, bytes) in [(true, STRANGER_BYTES), (false, TURN_BYTES)] {
            let mut reading = Reading::default();
            assert_eq!(turn(&mut reading, is_stranger).await, (bytes, false));
            reading.came(bytes);
            // However long this test was kept waiting.
            reading.since = None;
            assert_eq!(turn(&mut reading, is_stranger).await, (bytes, true));
        }
    }

    #[tokio::test]
    async fn a_turn_ends_by_how_long_it_took_and_the_next_reads_are_smaller() {
        let mut reading = Reading::default();
        assert_eq!(turn(&mut reading, false).await, (TURN_BYTES, false));
        let begun = Stopwatch::start();
        while begun.elapsed() <= TURN_LASTS {}
        assert_eq!(turn(&mut reading, false).await, (PIECE_BYTES, true));
        reading.is_drained();
        assert_eq!(turn(&mut reading, false).await, (TURN_BYTES, false));
    }

    #[tokio::test]
    async fn who_was_a_stranger_goes_on_with_the_turn_of_a_known_caller() {
        let mut reading = Reading::default();
        turn(&mut reading, true).await;
        reading.came(STRANGER_BYTES);
        reading.since = None;
        assert_eq!(turn(&mut reading, false).await, (TURN_BYTES - STRANGER_BYTES, false));
    }
}
