//! A collector of the test's own: takes what it is sent over OTLP, and gives it when it has come. Judges nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::Span,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
};
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::e2e::harness::in_time;

/// What has come.
#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    /// The last ones: they say all that former ones said.
    metrics: Vec<Metric>,
    resource: Vec<KeyValue>,
    metadata: MetadataMap,
}

#[derive(Clone, Default)]
struct Store {
    taken: Arc<Mutex<Taken>>,
    news: Arc<Notify>,
}

/// See the module. Dropping it ends it.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    store: Store,
    _stop: oneshot::Sender<()>,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("no test panics with it")
    }

    fn take(&self, metadata: &MetadataMap, take: impl FnOnce(&mut Taken)) {
        let mut taken = self.lock();
        taken.metadata = metadata.clone();
        take(&mut taken);
        drop(taken);
        self.news.notify_waiters();
    }
}

#[tonic::async_trait]
impl TraceService for Store {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.metadata(), |taken| {
            for of_resource in request.get_ref().resource_spans.clone() {
                taken.resource = of_resource.resource.expect("a resource").attributes;
                taken.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Store {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take(request.metadata(), |taken| {
            let scopes = request.get_ref().resource_metrics.iter().flat_map(|of_resource| &of_resource.scope_metrics);
            taken.metrics = scopes.flat_map(|scope| scope.metrics.clone()).collect();
        });
        Ok(Response::new(Default::default()))
    }
}

impl Collector {
    /// On a free port.
    pub(super) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(super) async fn start_at(address: SocketAddr) -> Self {
        Self::start_with(address, Server::builder()).await
    }

    /// On a free port, with TLS alone, by this certificate and key.
    pub(super) async fn start_with_tls((certificate, key): (String, String)) -> Self {
        let config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let server = Server::builder().tls_config(config).expect("a certificate and its key");
        Self::start_with(SocketAddr::from(([127, 0, 0, 1], 0)), server).await
    }

    async fn start_with(address: SocketAddr, mut server: Server) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let store = Store::default();
        let server = server
            .add_service(TraceServiceServer::new(store.clone()))
            .add_service(MetricsServiceServer::new(store.clone()))
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), async {
                let _ = stopped.await;
            });
        tokio::spawn(server);
        Self { address, store, _stop: stop }
    }

    /// The next look at which this is there.
    async fn until<T>(&self, look: impl Fn(&Taken) -> Option<T>) -> T {
        in_time(async {
            loop {
                let news = self.store.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = look(&self.store.lock()) {
                    return found;
                }
                news.await;
            }
        })
        .await
    }

    /// All spans of a trace, the first ones first, once there are so many.
    pub(super) async fn spans(&self, trace_id: &[u8], count: usize) -> Vec<Span> {
        let mut spans = self
            .until(|taken| {
                let spans: Vec<Span> = taken.spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect();
                (spans.len() >= count).then_some(spans)
            })
            .await;
        spans.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
        spans
    }

    /// All that have come.
    pub(super) fn all(&self) -> Vec<Span> {
        self.store.lock().spans.clone()
    }

    /// The first span of which this is so.
    pub(super) async fn span(&self, wanted: impl Fn(&Span) -> bool) -> Span {
        self.until(|taken| taken.spans.iter().find(|span| wanted(span)).cloned()).await
    }

    /// What its callers say of themselves.
    pub(super) fn resource(&self) -> Vec<KeyValue> {
        self.store.lock().resource.clone()
    }

    /// What came with the last message.
    pub(super) fn metadata(&self) -> MetadataMap {
        self.store.lock().metadata.clone()
    }

    /// A metric, once this is so of it.
    pub(super) async fn metric(&self, name: &str, wanted: impl Fn(&Metric) -> bool) -> Metric {
        self.until(|taken| taken.metrics.iter().find(|metric| metric.name == name && wanted(metric)).cloned()).await
    }
}

/// What an attribute says; empty if there is none.
pub(super) fn said(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{key} is {other:?}"),
    }
}

/// What a sum or gauge says where its attribute is this; zero if nothing.
pub(super) fn number(metric: &Metric, key: &str, value: &str) -> i64 {
    let points = match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("{other:?} is no number"),
    };
    let found = points.iter().find(|point| key.is_empty() || said(&point.attributes, key) == value);
    match found.and_then(|point| point.value) {
        Some(number_data_point::Value::AsInt(number)) => number,
        None => 0,
        other => panic!("{other:?}"),
    }
}
