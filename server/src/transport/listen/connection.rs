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
    sync::watch,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use super::{
    cap::{Eviction, Hook, Permit, Standing},
    opening::Opening,
    reading::Reading,
};
use crate::{auth::Certificate, transport::gate::Stage};

/// How long a peer may take nothing to speak of. One that is there answers a ping in less, but the one that
/// ends the connection for want of an answer would itself wait to be written.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// What it must take in that time: a peer that reads a byte now and then is not there.
const PROGRESS_BYTES: usize = 4 << 10;

/// Who is at the other end: what goes with each call of the connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The certificate that it has shown, and that one of our authorities has signed.
    pub(crate) certificate: Option<Certificate>,
    has_called: AtomicBool,
    standing: Arc<Standing>,
    /// How far the connection is on its way out.
    leaving: watch::Sender<Stage>,
    hook: Hook,
}

impl Peer {
    /// Ends the connection, unless a caller on it was recognised.
    pub(crate) fn cut(&self) {
        self.hook.pull();
    }

    /// A call has come from there, by a caller who was recognised or not.
    pub(crate) fn called(&self, is_recognised: bool) {
        if !self.has_called.load(Ordering::Relaxed) {
            self.has_called.store(true, Ordering::Relaxed);
        }
        if is_recognised {
            self.standing.recognise();
        }
    }

    /// How far the connection is on its way out: as far as the server, or further.
    pub(crate) fn leaving(&self) -> &watch::Sender<Stage> {
        &self.leaving
    }

    /// What the connection counts as.
    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    pub(super) fn has_called(&self) -> bool {
        self.has_called.load(Ordering::Relaxed)
    }

    /// Nothing more is expected of it before it counts as any other.
    fn is_settled(&self) -> bool {
        !self.standing.is_stranger() && self.has_called()
    }

    /// One of whom nothing is known.
    #[cfg(test)]
    pub(super) fn stranger() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self::new(address, None, (Arc::default(), Hook::new().0))
    }

    fn new(address: SocketAddr, certificate: Option<Certificate>, (standing, hook): (Arc<Standing>, Hook)) -> Self {
        let leaving = watch::Sender::new(Stage::Serving);
        Self { address, certificate, has_called: AtomicBool::default(), standing, hook, leaving }
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

    /// Reads no more than this.
    fn read_some(
        &mut self,
        bytes_max: usize,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() <= bytes_max {
            return self.io().poll_read(context, buffer);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(bytes_max));
        let done = ready!(self.io().poll_read(context, &mut part));
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(done)
    }
}

/// See the module.
pub(crate) struct Connection {
    stream: Stream,
    peer: Arc<Peer>,
    /// Until a caller was recognised.
    opening: Option<Opening>,
    reading: Reading,
    /// Runs while the peer does not take what is to be written; beside it what it took since.
    stalled: Option<(Pin<Box<Sleep>>, usize)>,
    /// It was not read meanwhile.
    held_back: bool,
    _permit: Permit,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        address: SocketAddr,
        certificate: Option<Certificate>,
        (permit, eviction): (Permit, Eviction),
    ) -> Self {
        let place = (permit.standing.clone(), permit.hook.clone());
        Self {
            stream,
            peer: Arc::new(Peer::new(address, certificate, place)),
            opening: Some(Opening::new(eviction)),
            reading: Reading::default(),
            stalled: None,
            held_back: false,
            _permit: permit,
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The peer has taken something.
    fn took(&mut self, bytes: usize, context: &mut Context<'_>) {
        if let Some((_, taken)) = &mut self.stalled {
            *taken = taken.saturating_add(bytes);
            if *taken >= PROGRESS_BYTES {
                self.goes_on(context);
            }
        }
    }

    /// The peer takes what is written: it is read again.
    fn goes_on(&mut self, context: &mut Context<'_>) {
        self.stalled = None;
        if std::mem::take(&mut self.held_back) {
            context.waker().wake_by_ref();
        }
    }

    /// The peer takes nothing: waits, or gives it up.
    fn stall<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.check(context)?;
        let (alarm, _) = self.stalled.get_or_insert_with(|| (Box::pin(sleep(STALLED_MAX)), 0));
        ready!(alarm.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }

    /// An error if the connection must end while it opens.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.opening.is_some() && self.peer.is_settled() {
            self.opening = None;
        }
        let Some(why) = self.opening.as_mut().and_then(|opening| opening.must_end(&self.peer, context)) else {
            return Ok(());
        };
        tracing::debug!(why, "a connection is closed");
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        if self.stalled.is_some() {
            // What it sends would only make more that it does not take.
            self.held_back = true;
            return Poll::Pending;
        }
        let is_stranger = self.opening.is_some();
        let left = ready!(self.reading.poll_turn(is_stranger, context));
        let before = buffer.filled().len();
        let Poll::Ready(done) = self.stream.read_some(left, context, buffer) else {
            self.reading.is_drained();
            return Poll::Pending;
        };
        let came = &buffer.filled()[before..];
        self.reading.came(came.len());
        if let Some(opening) = &mut self.opening {
            opening.saw(came);
        }
        Poll::Ready(done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stream.io().poll_write(context, bytes) {
            Poll::Pending => self.stall(context),
            Poll::Ready(done) => Poll::Ready(done.inspect(|bytes| self.took(*bytes, context))),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.stream.io().poll_write_vectored(context, parts) {
            Poll::Pending => self.stall(context),
            Poll::Ready(done) => Poll::Ready(done.inspect(|bytes| self.took(*bytes, context))),
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
            Poll::Ready(done) => Poll::Ready(done.inspect(|()| self.goes_on(context))),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.io().poll_shutdown(context) {
            Poll::Pending => self.stall(context),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream as Blocking},
        sync::atomic::AtomicUsize,
    };

    use tokio::{io::AsyncReadExt as _, task::yield_now};

    use super::{
        super::cap::{Cap, ConnectionLimits},
        *,
    };

    /// Two ends: that of a caller, and that of a server.
    fn pair() -> (Blocking, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = Blocking::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        far.set_nonblocking(true).unwrap();
        (near, TcpStream::from_std(far).unwrap())
    }

    /// One from there, of which no more is known.
    fn connection(far: TcpStream, cap: &Arc<Cap>) -> Connection {
        let address = far.peer_addr().unwrap();
        let place = cap.enter(address.ip()).expect("there is room");
        Connection::new(Stream::Plain(far), address, None, place)
    }

    #[tokio::test]
    async fn a_stranger_that_has_called_gives_way_too() {
        let ((_near, far), (_, other)) = (pair(), pair());
        let cap = Arc::new(Cap::new(ConnectionLimits { total: 1, per_address: 1 }));
        let mut first = connection(far, &cap);
        first.peer().called(false);
        let _second = connection(other, &cap);
        let end = first.read_u8().await.expect_err("it is closed");
        assert!(end.to_string().contains("gave way"), "{end}");
    }

    #[tokio::test]
    async fn who_sends_without_an_end_is_put_off_until_others_were_looked_for() {
        let ((mut flood, flooded), (mut caller, mut called)) = (pair(), pair());
        let mut connection = connection(flooded, &Arc::new(Cap::new(Default::default())));
        // As much as the system takes: more than is read before the byte of the other comes in.
        flood.set_nonblocking(true).unwrap();
        flood.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        while flood.write(&[0; 64 << 10]).is_ok() {}
        let read = Arc::new(AtomicUsize::new(0));
        let reader = tokio::spawn({
            let read = read.clone();
            async move {
                let mut bytes = [0; 4 << 10];
                while let Ok(1..) = connection.read(&mut bytes).await.inspect(|count| {
                    read.fetch_add(*count, Ordering::Relaxed);
                }) {}
            }
        });
        while read.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        let before = read.load(Ordering::Relaxed);
        caller.write_all(b"1").unwrap();
        called.read_u8().await.unwrap();
        let meanwhile = read.load(Ordering::Relaxed) - before;
        reader.abort();
        // A few turns of a stranger, and not the megabytes that lie there.
        assert!(meanwhile <= 16 << 10, "{meanwhile} bytes were read before the other's one");
    }
}
