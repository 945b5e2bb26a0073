//! The beginning of a connection, until a caller on it was recognised: it must begin to speak HTTP soon, and call some time
//! after. It may have to give way to others meanwhile.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{cap::Eviction, connection::Peer};

/// How long the preface of HTTP/2 may take with the head of its first frame; what begins otherwise is HTTP/1.1, where the
/// head of a request has a bound of its own (hyper's, 30 s).
const PREFACE_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be open without any call. Channels of gRPC may connect ahead, so it is long.
const FIRST_CALL_MAX: Duration = Duration::from_secs(300);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface, and the head of the frame that must follow.
const BEGUN: usize = PREFACE.len() + 9;

/// See the module.
pub(super) struct Opening {
    /// So many bytes came that a preface may have; none once it is over.
    preface: Option<usize>,
    alarm: Pin<Box<Sleep>>,
    first_call_max: Duration,
    eviction: Eviction,
}

impl Opening {
    pub(super) fn new(eviction: Eviction) -> Self {
        Self::within(PREFACE_MAX, FIRST_CALL_MAX, eviction)
    }

    fn within(preface_max: Duration, first_call_max: Duration, eviction: Eviction) -> Self {
        Self { preface: Some(0), alarm: Box::pin(sleep(preface_max)), first_call_max, eviction }
    }

    /// Whether the connection must end now, and why.
    pub(super) fn must_end(&mut self, peer: &Peer, context: &mut Context<'_>) -> Option<&'static str> {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.eviction).poll(context) {
            return Some("the connection gave way to others");
        }
        if !peer.has_called() && self.alarm.as_mut().poll(context).is_ready() {
            return Some("the connection took too long to begin");
        }
        None
    }

    /// Looks at what came.
    pub(super) fn saw(&mut self, bytes: &[u8]) {
        let Some(seen) = self.preface else { return };
        let fits = PREFACE.get(seen..).unwrap_or_default().iter().zip(bytes).all(|(wanted, byte)| wanted == byte);
        let seen = seen + bytes.len();
        if fits && seen < BEGUN {
            self.preface = Some(seen);
        } else {
            self.preface = None;
            self.alarm.set(sleep(self.first_call_max));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn opening(preface_max: Duration, first_call_max: Duration) -> (Opening, oneshot::Sender<()>) {
        let (evict, eviction) = oneshot::channel();
        (Opening::within(preface_max, first_call_max, eviction), evict)
    }

    /// How it ends, if it does.
    async fn ended(opening: &mut Opening, peer: &Peer) -> &'static str {
        std::future::poll_fn(|context| opening.must_end(peer, context).map_or(Poll::Pending, Poll::Ready)).await
    }

    #[tokio::test]
    async fn the_preface_is_over_with_the_head_of_the_first_frame_or_with_anything_else() {
        let (mut slow, _evict) = opening(LONG, LONG);
        for byte in PREFACE {
            slow.saw(&[*byte]);
            assert!(slow.preface.is_some());
        }
        slow.saw(&[0; 8]);
        assert!(slow.preface.is_some());
        slow.saw(&[0]);
        assert!(slow.preface.is_none());
        let (mut other, _evict) = opening(LONG, LONG);
        other.saw(b"PRI * H");
        assert!(other.preface.is_some());
        other.saw(b"x");
        assert!(other.preface.is_none());
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends_and_one_that_called_does_not() {
        let peer = Peer::stranger();
        let (mut silent, _evict) = opening(Duration::ZERO, LONG);
        assert!(ended(&mut silent, &peer).await.contains("too long"));
        let (mut idle, _evict) = opening(LONG, Duration::ZERO);
        idle.saw(b"GET / HTTP/1.1");
        assert!(ended(&mut idle, &peer).await.contains("too long"));
        peer.called(false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(idle.must_end(&peer, &mut context).is_none());
        let (mut evicted, evict) = opening(LONG, LONG);
        evict.send(()).expect("it is there");
        assert!(ended(&mut evicted, &peer).await.contains("gave way"));
    }
}
