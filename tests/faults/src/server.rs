//! The way to the server behind the proxy: connections that are made when needed, and made again when they are lost. It
//! owns them, and sends what it is given once.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http2, rt::Executor as _};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Mutex, watch},
};

use crate::body::{self, Body};

/// Connections to the server, used in turn.
const LANES: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    lanes: Vec<Mutex<Option<Lane>>>,
    next: AtomicUsize,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    sender: http2::SendRequest<Body>,
    cut: watch::Sender<bool>,
}

/// Runs what a connection consists of until it is cut. hyper ends none of it by itself while a call is under way.
#[derive(Clone, Debug)]
struct UntilCut(watch::Receiver<bool>);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for UntilCut {
    fn execute(&self, part: F) {
        let mut cut = self.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = part => {}
                Ok(_) = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}

impl Server {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, lanes: (0..LANES).map(|_| Mutex::default()).collect(), next: AtomicUsize::new(0) }
    }

    /// Sends a request; gives the head of its answer, and what is still to come.
    ///
    /// # Errors
    /// When the server is not there, or the connection or the stream broke.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, body::Error> {
        self.lane().await?.send(request).await
    }

    /// Sends a request and cuts its connection at once.
    pub(crate) async fn send_and_cut(&self, request: Request<Body>) -> Result<Response<Incoming>, body::Error> {
        let mut lane = self.lane().await?;
        let answer = lane.sender.send_request(request);
        tokio::pin!(answer);
        // Once around, so that the request has a chance to be on its way.
        tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer?),
            () = tokio::task::yield_now() => lane.cut(),
        };
        Ok(answer.await?)
    }

    /// One of the connections, made if it is not there.
    pub(crate) async fn lane(&self) -> io::Result<Lane> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let mut lane = self.lanes[number].lock().await;
        if let Some(lane) = lane.as_ref().filter(|lane| !lane.sender.is_closed()) {
            return Ok(lane.clone());
        }
        Ok(lane.insert(self.connect().await?).clone())
    }

    async fn connect(&self) -> io::Result<Lane> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let cut = watch::Sender::new(false);
        let parts = UntilCut(cut.subscribe());
        let building = http2::Builder::new(parts.clone()).handshake(TokioIo::new(stream));
        let (sender, connection) = building.await.map_err(io::Error::other)?;
        // How it ends is told to each call on it.
        parts.execute(connection);
        Ok(Lane { sender, cut })
    }
}

impl Lane {
    /// Sends a request over it; as [`Server::send`].
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, body::Error> {
        Ok(self.sender.send_request(request).await?)
    }

    /// Cuts it, with all that is under way on it.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }
}
