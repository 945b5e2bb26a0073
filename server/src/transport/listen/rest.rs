//! A pause between two turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::transport::look;

/// Lasts until the runtime has looked for what has come for others. A task that only yields goes on when anything else wakes it:
/// a connection is woken by each of its own calls.
pub(super) struct Rest(Arc<Over>);

struct Over {
    is_over: AtomicBool,
    task: Waker,
}

impl Wake for Over {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_over.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Rest {
    /// The task is woken at its end.
    pub(super) fn begin(context: &Context<'_>) -> Self {
        let over = Arc::new(Over { is_over: AtomicBool::new(false), task: context.waker().clone() });
        look::wake_after(&Waker::from(over.clone()));
        Self(over)
    }

    /// Ready once it is over.
    pub(super) fn poll_end(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.0.is_over.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !self.0.task.will_wake(context.waker()) {
            // It is another task that waits by now.
            *self = Self::begin(context);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// How often a task that rests once is polled, if it is woken by others so often meanwhile.
    async fn polls(wakes: usize) -> usize {
        let (mut rest, mut polls) = (None, 0);
        poll_fn(|context| {
            polls += 1;
            if polls <= wakes {
                context.waker().wake_by_ref();
            }
            rest.get_or_insert_with(|| Rest::begin(context)).poll_end(context)
        })
        .await;
        polls
    }

    #[tokio::test]
    async fn who_is_woken_by_others_rests_on() {
        for wakes in [0, 10] {
            // A task of its own, as what a test itself waits for is polled once in each round of the runtime.
            assert_eq!(tokio::spawn(polls(wakes)).await.unwrap(), wakes + 2, "once to begin, once at the end");
        }
    }
}
