//! The runtime's next look at the network, as something to wait for.
//!
//! A task that is merely woken again comes before whatever lies in the network meanwhile. Who has much to do waits for the look
//! instead.
//!
//! Context: on a machine of few cores a thread that has no end of work shares its core with the engine's, which then waits for up
//! to 4 ms at each of a commit's steps. Choice: where turns are taken the core is given free for a moment, once in a millisecond.
//! Measured in full attacks, honest callers' p99: large heads 4.5 ms without and 2.5 ms with, submitters that do not read 6.2 and
//! 3.6. Rejected: `sched_yield` at each turn, which hands the rest of the slice to whoever is there: a rapid reset 4.8 ms. A known
//! caller's connection (`listen/reading.rs`) does that all the same: with a moment's rest `RunJob` at 512 in flight lost a twentieth.

use std::{
    cell::Cell,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use tokio::task::yield_now;

use crate::clock::Stopwatch;

/// For how long the core is given free. The system makes some 100 us of it.
const BREATH: Duration = Duration::from_micros(50);
/// And how often at most.
const BREATH_EVERY: Duration = Duration::from_millis(1);

/// Has the runtime wake this after its next look.
pub(super) fn wake_after(waker: &Waker) {
    // Hands the waker to the runtime, and asks for nothing more.
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(waker));
}

/// Gives this thread's core free for a moment, if it is time.
#[expect(
    clippy::disallowed_methods,
    reason = "others are to have this thread's core, and nothing tells when they had it"
)]
pub(super) fn breathe() {
    thread_local! {
        static LAST: Cell<Option<Stopwatch>> = const { Cell::new(None) };
    }
    if LAST.get().is_none_or(|last| last.elapsed() >= BREATH_EVERY) {
        thread::sleep(BREATH);
        LAST.set(Some(Stopwatch::start()));
    }
}

/// Breathes, and keeps this until the runtime has had its next look.
pub(super) fn keep_until_after(kept: impl Send + Sync + 'static) {
    breathe();
    wake_after(&Waker::from(Arc::new(Kept(kept))));
}

/// A waker of nobody: the runtime has the only one, so what is in it goes when it wakes it.
struct Kept<T>(T);

impl<T: Send + Sync + 'static> Wake for Kept<T> {
    fn wake(self: Arc<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_goes_with_the_next_look_and_not_before() {
        // A task of its own, as what a test itself waits for is polled once in each round of the runtime.
        let task = tokio::spawn(async {
            let kept = Arc::new(());
            keep_until_after(kept.clone());
            assert_eq!(Arc::strong_count(&kept), 2);
            yield_now().await;
            assert_eq!(Arc::strong_count(&kept), 1);
        });
        task.await.unwrap();
    }
}
