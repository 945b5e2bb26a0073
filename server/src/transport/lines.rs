//! Where work waits for its turn that others should not have to wait for.
//!
//! Context: whoever is ready is polled in the order in which it became so. A thousand connections of strangers that send without
//! an end each have a bit of work, and everybody else waited for all of it; the end of a connection wakes all its calls at once, and
//! a thousand of strangers took 7 to 8 ms. Choice: what belongs to strangers takes turns, from the handshake to the end of each
//! call, and so do calls whose connection has ended, in a line of their own. Consequences: strangers together have the runtime for
//! a quarter of a millisecond, and then everybody else has; a caller who comes anew waits among them until it is recognised.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    listen::Standing,
    turns::{Turns, Wait},
};

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

    /// A place for something that belongs to a connection of this standing.
    pub(super) fn place(&self, standing: Arc<Standing>) -> Place {
        Place { lines: self.clone(), standing, waits: None }
    }
}

/// Where something waits, if it has to.
pub(super) struct Place {
    lines: Lines,
    standing: Arc<Standing>,
    waits: Option<Wait>,
}

impl Place {
    /// Polls this once it is its turn.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let line = if self.standing.has_ended() {
            &self.lines.ended
        } else if self.standing.is_stranger() {
            &self.lines.strangers
        } else {
            self.waits = None;
            return work(context);
        };
        let turn = ready!(line.poll_take(context, &mut self.waits));
        let done = work(context);
        turn.end();
        done
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test]
    async fn strangers_wait_for_each_other_and_nobody_who_is_known_does() {
        let lines = Lines::new();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(turn) = lines.strangers.poll_take(&mut context, &mut None) else { panic!("it is free") };
        let (one, other) = (Arc::<Standing>::default(), Arc::<Standing>::default());
        let (mut first, mut second) = (lines.place(one.clone()), lines.place(other));
        let mut is_done = |place: &mut Place| place.poll(&mut context, |_| Poll::Ready(())).is_ready();
        assert!(!is_done(&mut first) && !is_done(&mut second));
        one.recognise();
        assert!(is_done(&mut first), "also where it waits in line already");
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
        let (mut here, mut gone) = (lines.place(here), lines.place(gone));
        let mut is_done = |place: &mut Place| place.poll(&mut context, |_| Poll::Ready(())).is_ready();
        assert!(is_done(&mut here) && !is_done(&mut gone));
        turn.end();
        assert!(is_done(&mut gone));
    }
}
