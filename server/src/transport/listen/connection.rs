//! A connection with its place, and who is at its other end.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{
    cap::{Eviction, Permit, Standing},
    opening::Opening,
};
use crate::auth::Certificate;

/// How long a peer may take nothing to speak of. One that is there answers a ping in less, but the one that
/// ends the connection for want of an answer would itself wait to be written.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// What it must take in that time: a peer that reads a byte now and then is not there.
const PROGRESS_BYTES: usize = 4 << 10;

/// Who is at the other end: what goes with each call of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) tcp: TcpConnectInfo,
    /// The certificate that it has shown, and that one of our authorities has signed.
    pub(crate) certificate: Option<Arc<Certificate>>,
    has_called: Arc<AtomicBool>,
    standing: Arc<Standing>,
}

impl Peer {
    /// A call has come from there, by a caller who was recognised or not.
    pub(crate) fn called(&self, is_recognised: bool) {
        if !self.has_called.load(Ordering::Relaxed) {
            self.has_called.store(true, Ordering::Relaxed);
        }
        if is_recognised {
            self.standing.recognise();
        }
    }

    pub(super) fn has_called(&self) -> bool {
        self.has_called.load(Ordering::Relaxed)
    }

    /// One of whom nothing is known.
    #[cfg(test)]
    pub(super) fn stranger() -> Self {
        let tcp = TcpConnectInfo { local_addr: None, remote_addr: None };
        Self { tcp, certificate: None, has_called: Arc::default(), standing: Arc::default() }
    }
}

/// With TLS and without.
pub(super) enum Stream {
    Plain(TcpStream),
    /// Large, and not wanted on the way of plain ones.
    Tls(Box<TlsStream<TcpStream>>),
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Stream {
    fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

/// See the module.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    /// Until a caller was recognised.
    opening: Option<Opening>,
    /// Runs while the peer does not take what is to be written; beside it what it took since.
    stalled: Option<(Pin<Box<Sleep>>, usize)>,
    _permit: Permit,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        address: SocketAddr,
        certificate: Option<Arc<Certificate>>,
        (permit, eviction): (Permit, Eviction),
    ) -> Self {
        let tcp = TcpConnectInfo { local_addr: None, remote_addr: Some(address) };
        let peer = Peer { tcp, certificate, has_called: Arc::default(), standing: permit.standing.clone() };
        Self { stream, peer, opening: Some(Opening::new(eviction)), stalled: None, _permit: permit }
    }

    /// The peer has taken something.
    fn took(&mut self, bytes: usize) {
        if let Some((_, taken)) = &mut self.stalled {
            *taken = taken.saturating_add(bytes);
            if *taken >= PROGRESS_BYTES {
                self.stalled = None;
            }
        }
    }

    /// The peer takes nothing: waits, or gives it up.
    fn stall<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let (alarm, _) = self.stalled.get_or_insert_with(|| (Box::pin(sleep(STALLED_MAX)), 0));
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, peer, opening, .. } = &mut *self;
        if opening.is_none() {
            return stream.io().poll_read(context, buffer);
        }
        if !peer.standing.is_stranger() && peer.has_called() {
            *opening = None;
        }
        if let Some(why) = opening.as_mut().and_then(|opening| opening.must_end(peer, context)) {
            tracing::debug!(why, "a connection is closed");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        let before = buffer.filled().len();
        ready!(stream.io().poll_read(context, buffer))?;
        if let Some(opening) = opening {
            opening.saw(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stream.io().poll_write(context, bytes) {
            Poll::Pending => self.stall(context),
            Poll::Ready(done) => Poll::Ready(done.inspect(|bytes| self.took(*bytes))),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.stream.io().poll_write_vectored(context, parts) {
            Poll::Pending => self.stall(context),
            Poll::Ready(done) => Poll::Ready(done.inspect(|bytes| self.took(*bytes))),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.io().poll_flush(context) {
            Poll::Pending => self.stall(context),
            Poll::Ready(done) => Poll::Ready(done.inspect(|()| self.stalled = None)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.io().poll_shutdown(context) {
            Poll::Pending => self.stall(context),
            ready => ready,
        }
    }
}
