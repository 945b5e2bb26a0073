//! The runtime's next look at the network, as something to wait for.
//!
//! A task that is merely woken again comes before whatever lies in the network meanwhile. Who has much to do waits for the look
//! instead.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use tokio::task::yield_now;

/// Has the runtime wake this after its next look.
pub(super) fn wake_after(waker: &Waker) {
    // Hands the waker to the runtime, and asks for nothing more.
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(waker));
}

/// Keeps this until the runtime has had its next look.
pub(super) fn keep_until_after(kept: impl Send + Sync + 'static) {
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
