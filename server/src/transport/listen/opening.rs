//! The beginning of a connection, until a caller on it was recognised: it must begin to speak HTTP soon, and call some time
//! after. It may have to give way to others meanwhile.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use super::{cap::Eviction, connection::Peer};

/// How long the preface of HTTP/2 may take with the head of its first frame, or the head of the first request of HTTP/1.1.
const BEGINNING_MAX: Duration = Duration::from_secs(10);
/// What may come over HTTP/1.1 before a caller was recognised: hyper keeps a head of up to 400 KiB, and such a connection needs
/// one or two small calls until then.
const HTTP1_BYTES_MAX: usize = 128 << 10;
/// How long a connection may be open without any call. Channels of gRPC may connect ahead, so it is long.
const FIRST_CALL_MAX: Duration = Duration::from_secs(300);

const HEAD_END: &[u8] = b"\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface, and the head of the frame that must follow.
const BEGUN: usize = PREFACE.len() + 9;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many bytes came that a preface may have.
    Preface(usize),
    /// It is no preface; so many bytes came of what ends a head.
    Head(usize),
    /// It speaks.
    Begun,
}

/// See the module.
pub(super) struct Opening {
    stage: Stage,
    /// What came over HTTP/1.1.
    http1_bytes: usize,
    alarm: Pin<Box<Sleep>>,
    first_call_max: Duration,
    eviction: Eviction,
}

impl Opening {
    pub(super) fn new(eviction: Eviction) -> Self {
        Self::within(BEGINNING_MAX, FIRST_CALL_MAX, eviction)
    }

    fn within(beginning_max: Duration, first_call_max: Duration, eviction: Eviction) -> Self {
        Self {
            stage: Stage::Preface(0),
            http1_bytes: 0,
            alarm: Box::pin(sleep(beginning_max)),
            first_call_max,
            eviction,
        }
    }

    /// Whether the connection must end now, and why.
    pub(super) fn must_end(&mut self, peer: &Peer, context: &mut Context<'_>) -> Option<&'static str> {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.eviction).poll(context) {
            return Some("the connection gave way to others");
        }
        if self.http1_bytes > HTTP1_BYTES_MAX {
            return Some("too much came over HTTP/1.1 without good credentials");
        }
        if !peer.has_called() && self.alarm.as_mut().poll(context).is_ready() {
            return Some("the connection took too long to begin");
        }
        None
    }

    /// Looks at what came.
    pub(super) fn saw(&mut self, bytes: &[u8]) {
        if self.http1_bytes > 0 {
            self.http1_bytes = self.http1_bytes.saturating_add(bytes.len());
        }
        if self.stage == Stage::Begun {
            return;
        }
        for byte in bytes {
            self.stage =
                match self.stage {
                    Stage::Preface(seen) if PREFACE.get(seen).is_none_or(|wanted| wanted == byte) => {
                        if seen + 1 == BEGUN { Stage::Begun } else { Stage::Preface(seen + 1) }
                    }
                    Stage::Preface(_) => {
                        self.http1_bytes = bytes.len();
                        Stage::Head(usize::from(*byte == HEAD_END[0]))
                    }
                    Stage::Head(seen) if HEAD_END[seen] == *byte => {
                        if seen + 1 == HEAD_END.len() {
                            Stage::Begun
                        } else {
                            Stage::Head(seen + 1)
                        }
                    }
                    Stage::Head(_) => Stage::Head(usize::from(*byte == HEAD_END[0])),
                    Stage::Begun => break,
                };
        }
        if self.stage == Stage::Begun {
            self.alarm.set(sleep(self.first_call_max));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn opening(beginning_max: Duration, first_call_max: Duration) -> (Opening, oneshot::Sender<()>) {
        let (evict, eviction) = oneshot::channel();
        (Opening::within(beginning_max, first_call_max, eviction), evict)
    }

    /// How it ends, if it does.
    async fn ended(opening: &mut Opening, peer: &Peer) -> &'static str {
        std::future::poll_fn(|context| opening.must_end(peer, context).map_or(Poll::Pending, Poll::Ready)).await
    }

    #[tokio::test]
    async fn it_has_begun_with_the_head_of_the_first_frame_or_of_the_first_request() {
        let head = b"PRI / HTTP/1.1\r\n\r\r\nhost: a\r\n\r\n";
        for whole in [&[PREFACE, &[0; 9]].concat(), &head[..]] {
            for size in [1, 5, whole.len()] {
                let (mut opening, _evict) = opening(LONG, LONG);
                let (all_but_one, last) = whole.split_at(whole.len() - 1);
                all_but_one.chunks(size).for_each(|piece| opening.saw(piece));
                assert_ne!(opening.stage, Stage::Begun, "in pieces of {size}");
                opening.saw(last);
                assert_eq!(opening.stage, Stage::Begun, "in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends_and_one_that_called_does_not() {
        let peer = Peer::stranger();
        let (mut silent, _evict) = opening(Duration::ZERO, LONG);
        assert!(ended(&mut silent, &peer).await.contains("too long"));
        let (mut idle, _evict) = opening(LONG, Duration::ZERO);
        idle.saw(b"GET / HTTP/1.1\r\n\r\n");
        assert!(ended(&mut idle, &peer).await.contains("too long"));
        peer.called(false);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(idle.must_end(&peer, &mut context).is_none());
        let (mut large, _evict) = opening(LONG, LONG);
        (0..=HTTP1_BYTES_MAX / 1024).for_each(|_| large.saw(&[b'x'; 1024]));
        assert!(ended(&mut large, &peer).await.contains("too much"));
        let (mut evicted, evict) = opening(LONG, LONG);
        evict.send(()).expect("it is there");
        assert!(ended(&mut evicted, &peer).await.contains("gave way"));
    }
}
