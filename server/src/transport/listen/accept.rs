//! Connections, accepted and, with TLS, shaken hands with. One that says nothing holds up nobody: handshakes run beside each
//! other, and each is given up after a while. Whatever the system says, the server goes on accepting.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tracing::{debug, warn};

use super::{
    super::{
        lines::Lines,
        tls::{Reloaded, certificate_of},
    },
    cap::{Cap, Eviction, Permit},
    connection::{Connection, Stream},
};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Connections that are ready and not yet taken.
const READY_MAX: usize = 64;
/// How long nothing is accepted after the system refused to: most often too many files are open.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// The connections that came in and are ready for HTTP. Soon after it is dropped the listener is closed.
pub(crate) struct Incoming {
    ready: mpsc::Receiver<Connection>,
    task: JoinHandle<()>,
    _reloaded: Option<Reloaded>,
}

impl Incoming {
    /// Begins to accept, with TLS if there is any.
    pub(crate) fn new(listener: TcpListener, reloaded: Option<Reloaded>, cap: Arc<Cap>, lines: Lines) -> Self {
        let (sender, ready) = mpsc::channel(READY_MAX);
        let config = reloaded.as_ref().map(Reloaded::current);
        let task = tokio::spawn(accept(listener, config, (cap, lines), sender));
        Self { ready, task, _reloaded: reloaded }
    }

    /// Accepts nothing more; the address is free when this comes back.
    pub(crate) async fn close(mut self) {
        self.task.abort();
        // It ends when it is taken down, and with it the listener.
        let _ = (&mut self.task).await;
    }
}

impl tokio_stream::Stream for Incoming {
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

type Place = (Permit, Eviction);

async fn accept(
    listener: TcpListener,
    config: Option<Arc<ArcSwap<ServerConfig>>>,
    (cap, lines): (Arc<Cap>, Lines),
    ready: mpsc::Sender<Connection>,
) {
    let mut failures = 0_u64;
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                failures += 1;
                if failures.is_power_of_two() {
                    warn!(%error, failures, "a connection could not be accepted; may the process open enough files?");
                }
                time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        let Some(place) = cap.enter(address.ip()) else {
            // At once, and so that nothing of it stays behind.
            let _ = stream.set_zero_linger();
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection was gone at once");
            continue;
        }
        match &config {
            None => {
                if ready.send(Connection::new(Stream::Plain(stream), address, None, place)).await.is_err() {
                    return;
                }
            }
            Some(config) => {
                let acceptor = TlsAcceptor::from(config.load_full());
                tokio::spawn(shake(acceptor, stream, address, (place, lines.clone()), ready.clone()));
            }
        }
    }
}

/// Shakes hands, unless it takes too long or the connection must give way.
async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    ((permit, mut eviction), lines): (Place, Lines),
    ready: mpsc::Sender<Connection>,
) {
    let mut line = lines.of(permit.standing.clone()).place();
    let mut handshake = acceptor.accept(stream);
    let handshake = poll_fn(|context| line.poll(context, |context| Pin::new(&mut handshake).poll(context)));
    let shaken = tokio::select! {
        shaken = time::timeout(HANDSHAKE_MAX, handshake) => shaken,
        _ = &mut eviction => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let certificate = certificate_of(&stream);
            let connection = Connection::new(Stream::Tls(Box::new(stream)), address, certificate, (permit, eviction));
            _ = ready.send(connection).await;
        }
        Ok(Err(error)) => debug!(%error, "a handshake failed"),
        Err(_) => debug!("a handshake took too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ConnectionLimits, *};

    #[tokio::test]
    async fn the_address_is_free_once_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = Incoming::new(listener, None, Arc::new(Cap::new(ConnectionLimits::default())), Lines::new());
        incoming.close().await;
        std::net::TcpListener::bind(address).expect("nobody listens any more");
    }
}
