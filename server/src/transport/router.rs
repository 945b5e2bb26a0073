//! The HTTP server: its limits, the services, health and reflection.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time};
use tonic::{
    service::{Routes, interceptor::InterceptedService},
    transport::{self, Server},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    auth_layer::Bar,
    gate::Gate,
    listen::{Cap, ConnectionLimits, Connections, Incoming},
    native::Native,
    tls::Reloaded,
    web::{WebLayer, WebOrigin},
};
use crate::observe::Observers;

/// Streams of one connection. tonic's builder removes hyper's own limit, so it is set here; it is wide because one
/// connection of a mesh carries many callers.
const STREAMS_MAX: u32 = 4096;
/// Streams that a client resets before they were served; more is an attack (CVE-2023-44487 and its kin).
const PENDING_RESETS_MAX: usize = 64;
/// Resets by ourselves for faults of the client; tonic's builder removes hyper's own limit of this too.
const LOCAL_RESETS_MAX: usize = 1024;
/// What one stream may have sent without being read, and all of a connection together: a stream that is held back must
/// not hold up its neighbours on the same connection.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes of headers of one call.
pub(super) const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// What can go wrong with the transport itself.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP/2 server failed")]
pub struct Error(#[from] transport::Error);

/// The open door: accepts connections from its making on.
pub(crate) struct Door {
    health: HealthReporter,
    cap: Arc<Cap>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), transport::Error>>,
}

impl Door {
    /// Begins to accept connections. Health says NOT_SERVING until [`Door::set_serving`].
    pub(crate) async fn open(
        gate: Arc<Gate>,
        listener: TcpListener,
        limits: ConnectionLimits,
        tls: Option<Reloaded>,
        web_origins: &[WebOrigin],
        observers: Observers,
    ) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("", ServingStatus::NotServing).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let cap = Arc::new(Cap::new(limits));
        let incoming = Incoming::new(listener, tls, cap.clone());
        let web = WebLayer::new(web_origins);
        let task = tokio::spawn(serve(gate, incoming, (web, observers), health_service, async {
            let _ = stopped.await;
        }));
        Self { health, cap, stop: Some(stop), task }
    }

    /// What became of connections so far.
    pub(crate) fn connections(&self) -> Connections {
        self.cap.connections()
    }

    /// What health says.
    pub(crate) async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.health.set_service_status("", status).await;
    }

    /// Accepts nothing more, and waits for the connections to end; after `patience` they are cut. False if they were.
    ///
    /// # Errors
    /// If the transport had failed.
    pub(crate) async fn close(mut self, patience: Duration) -> Result<bool, Error> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        match time::timeout(patience, &mut self.task).await {
            Ok(Ok(ended)) => ended.map(|()| true).map_err(Error),
            Ok(Err(_)) => Ok(true),
            Err(_) => {
                self.task.abort();
                let _ = (&mut self.task).await;
                Ok(false)
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server with our limits and no service: what Semel has in common with the bare echo that it is measured against.
pub(crate) fn http2() -> Server {
    Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(Some(HEADERS_BYTES_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
}

/// Serves until told to stop, then until all connections have ended.
async fn serve(
    gate: Arc<Gate>,
    incoming: Incoming,
    (web, observers): (WebLayer, Observers),
    health_service: impl tonic::codegen::Service<
        http::Request<tonic::body::Body>,
        Response = http::Response<tonic::body::Body>,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + tonic::server::NamedService
    + Clone
    + Send
    + Sync
    + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), transport::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(semel_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().expect("our own descriptors are whole");
    // Tools of some years ago ask for this one.
    let reflection_v1alpha = reflection().build_v1alpha().expect("our own descriptors are whole");
    let others = Routes::new(health_service)
        .add_service(InterceptedService::new(reflection_v1, Bar(gate.clone())))
        .add_service(InterceptedService::new(reflection_v1alpha, Bar(gate.clone())));
    let server = http2().accept_http1(true).layer(web);
    let services = Native::new(gate, others, observers);
    server.serve_with_incoming_shutdown(services, incoming, stop).await
}
