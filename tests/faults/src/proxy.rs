//! The proxy: its listener, the connections of its callers, and what all calls share. It hands each call to `call` or
//! `stream` and does nothing to any itself.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::Request;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::{
    call::{self, Answered},
    counts::{Counters, Counts},
    later::Later,
    plan::Plan,
    server::Server,
    stream,
};

/// Streams of one connection at a time.
const STREAMS_MAX: u32 = 4096;

/// See the module. Ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) plan: Plan,
    pub(crate) counters: Counters,
    pub(crate) later: Later,
    /// The paths of the methods that are streams: their form does not tell.
    streaming: HashSet<String>,
    arrived: AtomicU64,
}

impl Proxy {
    /// Listens here and passes everything on to a server, as planned. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(listen: SocketAddr, to: SocketAddr, plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let shared = Arc::new(Shared {
            server: Server::at(to),
            plan,
            counters: Counters::new(),
            later: Later::default(),
            streaming: streaming_methods(),
            arrived: AtomicU64::new(0),
        });
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for a client: `http://…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// Sends whatever is kept to be sent again, and waits for the answers.
    pub async fn send_kept(&self) {
        let kept = self.shared.later.due(u64::MAX);
        let sending: Vec<_> = kept.into_iter().map(|call| call.send_late(&self.shared)).collect();
        for sending in sending {
            // A task that was ended has nothing more to say.
            let _ = sending.await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until either side ends it, or a fault cuts it.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it everything still works, later.
    let _ = stream.set_nodelay(true);
    let cut = Arc::new(Notify::new());
    let cutting = Arc::clone(&cut);
    let service = service_fn(move |request| {
        let (shared, cut) = (Arc::clone(&shared), Arc::clone(&cut));
        async move { shared.pass(&cut, request).await }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(STREAMS_MAX).max_pending_accept_reset_streams(STREAMS_MAX as usize);
    tokio::select! {
        // How it ended is the caller's to know.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = cutting.notified() => {}
    }
}

impl Shared {
    async fn pass(self: &Arc<Self>, cut: &Arc<Notify>, request: Request<Incoming>) -> Answered {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        for call in self.later.due(number) {
            call.send_late(self);
        }
        if self.streaming.contains(request.uri().path()) {
            return stream::pass(self, cut, number, request).await;
        }
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        call::pass(self, cut, number, request).await
    }
}

fn streaming_methods() -> HashSet<String> {
    let set = prost_types::FileDescriptorSet::decode(semel_proto::FILE_DESCRIPTOR_SET)
        .expect("the protocol's own descriptors are well formed");
    let mut paths = HashSet::new();
    for file in &set.file {
        for service in &file.service {
            let streams = service.method.iter().filter(|method| method.client_streaming() || method.server_streaming());
            paths.extend(streams.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    paths
}
