//! The HTTP server: its limits, the services, health and reflection.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time};
use tonic::{
    body::Body,
    service::{Routes, interceptor::InterceptedService},
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    auth_layer::Bar,
    gate::Gate,
    lines::Lines,
    listen::{Cap, ConnectionLimits, Connections, Incoming},
    native::Native,
    observe::methods,
    open::OpenCalls,
    serve::Serve,
    tls::Reloaded,
    web::{Web, WebOrigin},
    windows::Windows,
};
use crate::observe::Observers;

/// Streams of one connection. tonic's builder removes hyper's own limit, so it is set here; it is wide because one
/// connection of a mesh carries many callers.
pub(super) const STREAMS_MAX: u32 = 4096;
/// Streams of one read that a client resets before they were begun; more is an attack (CVE-2023-44487 and its kin). A stranger
/// does not come to so many: what is read of it at once is less.
pub(super) const PENDING_RESETS_MAX: usize = 64;
/// Resets by ourselves for faults of the client; tonic's builder removes hyper's own limit of this too.
pub(super) const LOCAL_RESETS_MAX: usize = 1024;
/// Bytes of headers of one call.
pub(super) const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// A peer that is silent for so long is asked whether it is there, and must answer in time.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);
pub(super) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// The open door: accepts connections from its making on.
pub(crate) struct Door {
    health: HealthReporter,
    cap: Arc<Cap>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// How connections are taken, and how long they last.
pub(crate) struct DoorSettings<'a> {
    /// How many.
    pub(crate) limits: ConnectionLimits,
    /// How many calls may be open on all of them together.
    pub(crate) calls_max: usize,
    /// What the windows of all of them may come to, in bytes.
    pub(crate) window_bytes_max: usize,
    /// How old they become, give or take a tenth; none for as old as they like.
    pub(crate) age: Option<Duration>,
    /// TLS; none for plaintext.
    pub(crate) tls: Option<Reloaded>,
    /// From where pages may call.
    pub(crate) web_origins: &'a [WebOrigin],
    /// Who is told of calls.
    pub(crate) observers: Observers,
}

impl Door {
    /// Begins to accept connections. Health says NOT_SERVING of all services until [`Door::set_serving`].
    pub(crate) async fn open(gate: Arc<Gate>, listener: TcpListener, settings: DoorSettings<'_>) -> Self {
        let DoorSettings { limits, calls_max, window_bytes_max, age, tls, web_origins, observers } = settings;
        let (health, health_service) = tonic_health::server::health_reporter();
        let (stop, stopped) = oneshot::channel::<()>();
        let cap = Arc::new(Cap::new(limits));
        let lines = Lines::new();
        let incoming = Incoming::new(listener, tls, cap.clone(), lines.clone());
        let stage = gate.settings.stage.clone();
        let (open, windows) = (OpenCalls::new(calls_max), Windows::new(window_bytes_max));
        let native = Native::new(gate.clone(), others(gate, health_service), open.clone(), observers);
        let serve = Serve { service: Arc::new(Web::new(native, web_origins)), open, lines, windows, age, stage };
        let task = tokio::spawn(serve.run(incoming, async {
            let _ = stopped.await;
        }));
        let door = Self { health, cap, stop: Some(stop), task };
        door.set_serving(false).await;
        door
    }

    /// What became of connections so far.
    pub(crate) fn cap(&self) -> &Arc<Cap> {
        &self.cap
    }

    /// What became of connections so far.
    pub(crate) fn connections(&self) -> Connections {
        self.cap.connections()
    }

    /// What health says, of the whole and of each service.
    pub(crate) async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in health_names() {
            self.health.set_service_status(service, status).await;
        }
    }

    /// Accepts nothing more, and waits for the connections to end; after `patience` they are cut. False if they were.
    pub(crate) async fn close(mut self, patience: Duration) -> bool {
        // Whoever watches the health has been told all there is to tell.
        for service in health_names() {
            self.health.clear_service_status(&service).await;
        }
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let has_ended = time::timeout(patience, &mut self.task).await.is_ok();
        if !has_ended {
            self.task.abort();
            let _ = (&mut self.task).await;
        }
        has_ended
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Of what health can be asked: the whole, and each of our services.
fn health_names() -> impl Iterator<Item = String> {
    let services = methods().into_iter().filter_map(|method| {
        let (service, _) = method.split_once('/')?;
        service.starts_with("semel.").then(|| service.to_owned())
    });
    let services: BTreeSet<String> = services.collect();
    std::iter::once(String::new()).chain(services)
}

/// A server of tonic's with our limits and no service: the bare echo that Semel is measured against. Semel itself has the same
/// limits in [`super::serve`].
pub(crate) fn http2() -> Server {
    let window = Windows::new(usize::MAX).deal();
    Server::builder()
        .max_concurrent_streams(Some(STREAMS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .initial_stream_window_size(window.stream())
        .initial_connection_window_size(window.connection())
        .http2_max_header_list_size(Some(HEADERS_BYTES_MAX))
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
}

/// What is served beside our own services.
fn others(
    gate: Arc<Gate>,
    health: impl tonic::codegen::Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + tonic::server::NamedService
    + Clone
    + Send
    + Sync
    + 'static,
) -> Routes {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(semel_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().expect("our own descriptors are whole");
    // Tools of some years ago ask for this one.
    let reflection_v1alpha = reflection().build_v1alpha().expect("our own descriptors are whole");
    Routes::new(health)
        .add_service(InterceptedService::new(reflection_v1, Bar(gate.clone())))
        .add_service(InterceptedService::new(reflection_v1alpha, Bar(gate)))
}
