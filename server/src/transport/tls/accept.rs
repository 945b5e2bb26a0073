//! Connections, accepted and shaken hands with. One that says nothing holds up nobody: handshakes run beside each other, so many
//! at a time, and each is given up after a while.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_stream::Stream;
use tracing::debug;

use super::{Reloaded, peer::Connection};

/// Handshakes at a time. Further connections wait in the system's queue.
const HANDSHAKES_MAX: usize = 1024;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Connections that are ready and not yet taken.
const READY_MAX: usize = 64;
/// How long nothing is accepted after the system refused to: most often too many files are open.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// The connections that came in and are ready for HTTP/2. Once it is dropped the listener is closed.
pub(crate) struct Incoming {
    ready: mpsc::Receiver<Connection>,
    task: JoinHandle<()>,
    _reloaded: Reloaded,
}

impl Incoming {
    /// Begins to accept.
    pub(crate) fn new(listener: TcpListener, reloaded: Reloaded) -> Self {
        let (sender, ready) = mpsc::channel(READY_MAX);
        let task = tokio::spawn(accept(listener, reloaded.current(), sender));
        Self { ready, task, _reloaded: reloaded }
    }
}

impl Stream for Incoming {
    type Item = std::io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, config: Arc<ArcSwap<ServerConfig>>, ready: mpsc::Sender<Connection>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(permit) = handshakes.clone().acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "a connection could not be accepted");
                time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        let (acceptor, ready) = (TlsAcceptor::from(config.load_full()), ready.clone());
        tokio::spawn(async move {
            let shaken = time::timeout(HANDSHAKE_MAX, shake(acceptor, stream)).await;
            drop(permit);
            match shaken {
                Ok(Ok(connection)) => _ = ready.send(connection).await,
                Ok(Err(error)) => debug!(%error, "a handshake failed"),
                Err(_) => debug!("a handshake took too long"),
            }
        });
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<Connection> {
    stream.set_nodelay(true)?;
    Ok(Connection::new(acceptor.accept(stream).await?))
}
