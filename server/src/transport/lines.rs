//! Where work waits for its turn that others should not have to wait for.
//!
//! Context: whoever is ready is polled in the order in which it became so. A thousand connections of strangers that send without
//! an end each have a bit of work, and everybody else waited for all of it; the end of a connection wakes all its calls at once, and
//! a thousand of strangers took 7 to 8 ms. Choice: what belongs to strangers takes turns, from the handshake to the end of each
//! call, and so do calls whose connection has ended, in a line of their own. Calls of a known caller go as they come, but after one
//! that worked for long (an answer of a megabyte) the others of its connection wait. Consequences: strangers together have the
//! runtime for a quarter of a millisecond, and then everybody else has; a caller who comes anew waits among them until it is
//! recognised.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    listen::Standing,
    turns::{Turns, Wait},
};
use crate::clock::Stopwatch;

/// See the module. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    strangers: Turns,
    ended: Turns,
}

impl Lines {
    /// For the runtime in which this is called.
    pub(super) fn new() -> Self {
        Self { strangers: Turns::of_half_the_threads(), ended: Turns::of_half_the_threads() }
    }

    /// Those of a connection of this standing.
    pub(super) fn of(&self, standing: Arc<Standing>) -> ConnectionLines {
        let lines = OfConnection { shared: self.clone(), own: Turns::one_at_a_time(), standing };
        ConnectionLines(Arc::new(lines))
    }
}

/// Where the work of one connection waits. A clone is the same.
#[derive(Clone)]
pub(super) struct ConnectionLines(Arc<OfConnection>);

struct OfConnection {
    shared: Lines,
    /// For calls of a known caller.
    own: Turns,
    standing: Arc<Standing>,
}

impl ConnectionLines {
    /// A place for the connection itself, whose reads have an end by themselves.
    pub(super) fn place(&self) -> Place {
        Place { lines: self.clone(), is_call: false, waits: None }
    }

    /// A place for one of its calls.
    pub(super) fn place_of_call(&self) -> Place {
        Place { lines: self.clone(), is_call: true, waits: None }
    }
}

impl OfConnection {
    /// Where all of it waits, if it does. One that is to go is not kept: others have its place already.
    fn shared(&self) -> Option<&Turns> {
        if self.standing.has_ended() {
            Some(&self.shared.ended)
        } else if self.standing.is_stranger() && !self.standing.is_evicted() {
            Some(&self.shared.strangers)
        } else {
            None
        }
    }
}

/// Where something waits, if it has to.
pub(super) struct Place {
    lines: ConnectionLines,
    is_call: bool,
    waits: Option<Wait>,
}

impl Place {
    /// Polls this once it is its turn.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let ConnectionLines(lines) = &self.lines;
        let own = self.is_call.then_some(&lines.own);
        if let Some(line) = lines.shared().or(own.filter(|own| own.are_taken())) {
            let turn = ready!(line.poll_take(context, &mut self.waits));
            let done = work(context);
            turn.end();
            return done;
        }
        self.waits = None;
        let Some(own) = own else { return work(context) };
        let took = Stopwatch::start();
        let done = work(context);
        own.worked(took.elapsed());
        done
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Duration};

    use super::*;

    #[tokio::test]
    async fn strangers_wait_for_each_other_and_nobody_who_is_known_does() {
        let lines = Lines::new();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(turn) = lines.strangers.poll_take(&mut context, &mut None) else { panic!("it is free") };
        let (one, other) = (Arc::<Standing>::default(), Arc::<Standing>::default());
        let (mut first, mut second) = (lines.of(one.clone()).place(), lines.of(other).place());
        let mut is_done = |place: &mut Place| place.poll(&mut context, |_| Poll::Ready(())).is_ready();
        assert!(!is_done(&mut first) && !is_done(&mut second));
        one.recognise();
        assert!(is_done(&mut first), "also where it waits in line already");
        let leaving = Arc::<Standing>::default();
        leaving.evict();
        assert!(is_done(&mut lines.of(leaving).place()), "it is to go");
        turn.end();
        assert!(is_done(&mut second) && is_done(&mut second));
    }

    #[tokio::test]
    async fn calls_whose_connection_has_ended_have_a_line_of_their_own() {
        let lines = Lines::new();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(turn) = lines.ended.poll_take(&mut context, &mut None) else { panic!("it is free") };
        let (here, gone) = (Arc::<Standing>::default(), Arc::<Standing>::default());
        gone.end();
        let (mut here, mut gone) = (lines.of(here).place(), lines.of(gone).place());
        let mut is_done = |place: &mut Place| place.poll(&mut context, |_| Poll::Ready(())).is_ready();
        assert!(is_done(&mut here) && !is_done(&mut gone));
        turn.end();
        assert!(is_done(&mut gone));
    }

    #[tokio::test]
    async fn after_a_call_that_worked_for_long_the_others_of_its_connection_wait_for_a_look() {
        let lines = Lines::new();
        let known = || {
            let standing = Arc::<Standing>::default();
            standing.recognise();
            lines.of(standing)
        };
        let (busy, other) = (known(), known());
        let mut context = Context::from_waker(Waker::noop());
        let mut is_done = |lines: &ConnectionLines, work: Duration| {
            let work = |_: &mut Context<'_>| {
                let took = Stopwatch::start();
                while took.elapsed() < work {}
                Poll::Ready(())
            };
            lines.place_of_call().poll(&mut context, work).is_ready()
        };
        assert!(is_done(&busy, Duration::from_millis(1)));
        assert!(!is_done(&busy, Duration::ZERO) && is_done(&other, Duration::ZERO));
        while !is_done(&busy, Duration::ZERO) {
            tokio::task::yield_now().await;
        }
    }
}
