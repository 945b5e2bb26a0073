//! The listener for operators: `/metrics`, `/healthz` and `/readyz` over HTTP/1.1, apart from the port of the callers. It shows
//! what it is given and changes nothing; nobody is asked for credentials, so it belongs on loopback or a trusted network.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time,
};

use crate::metrics::Metrics;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, and a connection in all: scrapes are short.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
/// The most that is read of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait after the system refused a connection, as when there are no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The store is being loaded.
    Loading,
    /// It serves.
    Serving,
    /// It is about to stop.
    Draining,
    /// The engine has failed.
    Failed,
}

impl Readiness {
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Loading => (StatusCode::SERVICE_UNAVAILABLE, "loading the store\n"),
            Self::Serving => (StatusCode::OK, "ok\n"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "about to stop\n"),
            Self::Failed => (StatusCode::SERVICE_UNAVAILABLE, "the engine has failed: see the log\n"),
        }
    }
}

/// The listener. Ends when it is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: watch::Sender<Readiness>,
    task: JoinHandle<()>,
}

impl Admin {
    /// Listens, and says that the store is being loaded.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(Metrics::new());
        let (readiness, seen) = watch::channel(Readiness::Loading);
        let task = tokio::spawn(serve(listener, metrics.clone(), seen));
        Ok(Self { address, metrics, readiness, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Says so from now on. A server that has failed does not serve again, whatever becomes of it.
    pub fn set(&self, readiness: Readiness) {
        self.readiness.send_if_modified(|present| {
            let is_final = *present == Readiness::Failed;
            if !is_final {
                *present = readiness;
            }
            !is_final
        });
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>, readiness: watch::Receiver<Readiness>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let (metrics, readiness) = (metrics.clone(), readiness.clone());
                tokio::spawn(async move {
                    let _ = time::timeout(CONNECTION_WITHIN, converse(connection, metrics, readiness)).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot take a connection");
                time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(connection: TcpStream, metrics: Arc<Metrics>, readiness: watch::Receiver<Readiness>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (metrics, readiness) = (metrics.clone(), *readiness.borrow());
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &metrics, readiness).await) }
    });
    let outcome = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection to the admin listener ended badly");
    }
}

async fn answer(method: &Method, path: &str, metrics: &Metrics, readiness: Readiness) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    if method != Method::GET && method != Method::HEAD {
        let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD are answered here\n");
        refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => {
            const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            respond(StatusCode::OK, OPEN_METRICS, metrics.text().await)
        }
        "/healthz" => respond(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => {
            let (status, text) = readiness.answer();
            respond(status, PLAIN, text)
        }
        _ => respond(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n"),
    }
}

fn respond(status: StatusCode, form: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(form));
    response
}
