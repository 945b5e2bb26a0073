//! The one task that speaks to the collector: takes spans from their queue and passages from the engine, and now and then
//! reads the metrics. Whatever the collector does, the server goes on: what cannot be sent is tried again a few times, then
//! counted and lost, and said once.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    common::v1::InstrumentationScope,
    metrics::v1::{ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use tokio::{sync::oneshot, task::JoinHandle, time};
use tonic::{
    Code, Request, Status,
    metadata::MetadataMap,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tracing::{info, warn};

use super::{
    lives, points,
    queue::{self, Spans},
    settings::Settings,
    span::{Span, attribute},
    tracer::Tracer,
};
use crate::{causes::with_causes, engine::Passages, metrics::Metrics};

/// Spans of one message.
const BATCH_MAX: usize = 512;
/// How long a message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a message is tried, and how long is waited before it is tried again: so much, then twice that, and so on.
const TRIES_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(500);
/// What spans wait for others at the most, however seldom metrics are sent.
const SPANS_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the end may take: what has not gone by then is lost.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Why spans and metrics cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authorities of the collector's certificate.
    #[error("cannot read {path}: otlp.ca must name a file of PEM certificates")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// TLS, or the address.
    #[error("cannot speak to the collector at {endpoint}")]
    Endpoint {
        /// Where.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: tonic::transport::Error,
    },
}

/// The task. Dropping it ends it, with what it holds.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts it; gives where calls get their places in traces. The connection is made when there is something to send.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn start(
        settings: &Settings,
        server_id: &str,
        seed: u64,
        passages: Passages,
        metrics: Arc<Metrics>,
    ) -> Result<(Tracer, Self), Error> {
        let channel = endpoint(settings)?.connect_lazy();
        let (sender, spans) = queue::channel();
        let tracer = Tracer::new(sender, settings.sample_ratio, seed);
        let (stop, stopped) = oneshot::channel();
        let link = Link {
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel),
            headers: headers(settings),
            resource: resource(server_id),
            endpoint: settings.endpoint.to_string(),
            is_down: false,
            lost: 0,
            tries: TRIES_MAX,
        };
        let work = Work {
            link,
            spans,
            passages: Some(passages),
            lives: tracer.clone(),
            metrics,
            begun: crate::clock::wall_nanos(),
            interval: settings.interval,
            batch: Vec::with_capacity(BATCH_MAX),
        };
        Ok((tracer, Self { stop: Some(stop), task: tokio::spawn(work.run(stopped)) }))
    }

    /// Sends what is there, for a bounded time, and ends.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if time::timeout(FLUSH_MAX, &mut self.task).await.is_err() {
            warn!("the collector took too long; the last spans and metrics are lost");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn endpoint(settings: &Settings) -> Result<Endpoint, Error> {
    let text = settings.endpoint.to_string();
    let wrong = |source| Error::Endpoint { endpoint: text.clone(), source };
    let endpoint = Endpoint::from_shared(text.clone()).map_err(wrong)?;
    let endpoint =
        if settings.endpoint.is_tls() { endpoint.tls_config(tls(settings)?).map_err(wrong)? } else { endpoint };
    let endpoint = endpoint.user_agent(format!("semel/{}", env!("CARGO_PKG_VERSION"))).map_err(wrong)?;
    Ok(endpoint.connect_timeout(SEND_TIMEOUT).tcp_nodelay(true).keep_alive_while_idle(false))
}

fn tls(settings: &Settings) -> Result<ClientTlsConfig, Error> {
    match &settings.ca {
        None => Ok(ClientTlsConfig::new().with_native_roots()),
        Some(path) => {
            let pem = fs::read(path).map_err(|source| Error::Authorities { path: path.clone(), source })?;
            Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
        }
    }
}

fn headers(settings: &Settings) -> MetadataMap {
    let headers = settings.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    MetadataMap::from_headers(headers.collect())
}

fn resource(server_id: &str) -> Resource {
    let attributes = vec![
        attribute("service.name", "semel"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
        attribute("service.instance.id", server_id.to_owned()),
    ];
    Resource { attributes, ..Default::default() }
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("semel".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..Default::default() })
}

/// What the task goes about.
struct Work {
    link: Link,
    spans: Spans,
    /// None once the engine has gone.
    passages: Option<Passages>,
    lives: Tracer,
    metrics: Arc<Metrics>,
    /// When counting began.
    begun: u64,
    interval: Duration,
    /// What goes next.
    batch: Vec<Span>,
}

impl Work {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut metrics_due = time::interval(self.interval);
        metrics_due.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut spans_due = time::interval(self.interval.min(SPANS_WAIT_MAX));
        spans_due.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let room = BATCH_MAX.saturating_sub(self.batch.len());
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                _ = metrics_due.tick() => self.send_metrics().await,
                _ = spans_due.tick() => self.send_spans().await,
                Some(passages) = next(&mut self.passages) => self.draw(passages),
                Some(()) = self.spans.take(&mut self.batch, room) => {}
            }
            if self.batch.len() >= BATCH_MAX {
                self.send_spans().await;
            }
        }
        self.flush().await;
    }

    fn draw(&mut self, passages: Vec<crate::engine::Passage>) {
        self.batch.extend(passages.into_iter().filter_map(|passage| lives::span(&self.lives, passage)));
    }

    /// All that is there, at the end. The engine has stopped, so its channel has an end.
    async fn flush(&mut self) {
        self.link.tries = 1;
        while let Some(passages) = self.passages.as_mut().and_then(Passages::at_hand) {
            self.draw(passages);
        }
        loop {
            self.spans.take_at_hand(&mut self.batch, BATCH_MAX);
            if self.batch.is_empty() {
                break;
            }
            self.send_spans().await;
        }
        self.send_metrics().await;
    }

    async fn send_spans(&mut self) {
        let lost = self.spans.take_lost() + self.passages.as_ref().map_or(0, Passages::take_lost);
        if lost > 0 {
            self.metrics.otlp().lost(lost);
            warn!(lost, "spans were lost: more came than the collector takes");
        }
        while !self.batch.is_empty() {
            let rest = self.batch.split_off(self.batch.len().min(BATCH_MAX));
            let spans = std::mem::replace(&mut self.batch, rest);
            let count = spans.len() as u64;
            let is_sent = self.link.send_spans(spans).await;
            if is_sent {
                self.metrics.otlp().sent(count);
            } else {
                self.metrics.otlp().lost(count);
            }
        }
    }

    async fn send_metrics(&mut self) {
        let metrics = points::of(&self.metrics.text().await, self.begun, crate::clock::wall_nanos());
        if !self.link.send_metrics(metrics).await {
            self.metrics.otlp().failed();
        }
    }
}

/// What the engine tells next; waits for ever once it has gone.
async fn next(passages: &mut Option<Passages>) -> Option<Vec<crate::engine::Passage>> {
    if let Some(open) = passages {
        match open.next().await {
            Some(told) => return Some(told),
            None => *passages = None,
        }
    }
    std::future::pending().await
}

/// The way to the collector.
struct Link {
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    headers: MetadataMap,
    resource: Resource,
    endpoint: String,
    /// Whether the last message was not taken, which was said.
    is_down: bool,
    /// Messages that were lost meanwhile.
    lost: u64,
    /// How often a message is tried.
    tries: u32,
}

impl Link {
    /// False if they are lost.
    async fn send_spans(&mut self, spans: Vec<Span>) -> bool {
        let spans = spans.into_iter().map(Span::message).collect();
        let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..Default::default() }];
        let resource_spans = ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..Default::default() };
        let message = ExportTraceServiceRequest { resource_spans: vec![resource_spans] };
        let (mut wait, mut left) = (BACKOFF, self.tries);
        let sent = loop {
            left = left.saturating_sub(1);
            let sent = self.traces.export(with(self.headers.clone(), message.clone())).await;
            match sent {
                Err(status) if left > 0 && may_be_tried_again(status.code()) => time::sleep(wait).await,
                ended => break ended.map(|answer| answer.into_inner().partial_success),
            }
            wait *= 2;
        };
        let sent = sent.map(|partial| partial.map(|partial| (partial.rejected_spans, partial.error_message)));
        self.note(sent)
    }

    /// False if they are lost; the next ones say all that these said.
    async fn send_metrics(&mut self, metrics: Vec<opentelemetry_proto::tonic::metrics::v1::Metric>) -> bool {
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
        let resource = Some(self.resource.clone());
        let resource_metrics = ResourceMetrics { resource, scope_metrics, ..Default::default() };
        let message = ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] };
        let request = with(self.headers.clone(), message);
        let sent = self.metrics.export(request).await.map(|answer| answer.into_inner().partial_success);
        self.note(sent.map(|partial| partial.map(|partial| (partial.rejected_data_points, partial.error_message))))
    }

    /// Says once that the collector does not take what it is sent, and once that it does again.
    fn note(&mut self, sent: Result<Option<(i64, String)>, Status>) -> bool {
        match sent {
            Ok(rejected) => {
                if std::mem::take(&mut self.is_down) {
                    info!(endpoint = self.endpoint, lost = std::mem::take(&mut self.lost), "the collector is back");
                }
                if let Some((count, why)) = rejected.filter(|(count, _)| *count > 0) {
                    warn!(endpoint = self.endpoint, count, why, "the collector refused a part");
                }
                true
            }
            Err(status) => {
                self.lost += 1;
                if !std::mem::replace(&mut self.is_down, true) {
                    let error = with_causes(&status);
                    warn!(
                        endpoint = self.endpoint,
                        error, "the collector cannot be reached, or refuses; the server goes on"
                    );
                }
                false
            }
        }
    }
}

fn with<M>(headers: MetadataMap, message: M) -> Request<M> {
    let mut request = Request::new(message);
    *request.metadata_mut() = headers;
    request.set_timeout(SEND_TIMEOUT);
    request
}

/// What the protocol lets one try again.
fn may_be_tried_again(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}
