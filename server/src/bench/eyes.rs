//! What can be seen of a server beyond what it tells by default, as points of the bench turn it on.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    server::{self, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;

use super::{
    echo::{Batch, Boxed},
    site::{EchoSite, wide},
};

/// One kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eyes {
    /// Metrics, of which a page could be asked for.
    Metrics,
    /// A line of the access log for each call.
    Access,
    /// A line of the audit log for each change.
    Audit,
    /// Spans and metrics to a collector on the same machine, of this part of the traces.
    Traces { ratio: &'static str },
}

impl Eyes {
    /// The settings of a server that shows so much. The echo stands in for the collector.
    pub(super) fn settings(self, echo: &EchoSite) -> Vec<(&'static str, String)> {
        self.settings_with(echo.url())
    }

    fn settings_with(self, collector: &str) -> Vec<(&'static str, String)> {
        let mut settings = wide();
        let mut set = |name, value: &str| settings.push((name, value.to_owned()));
        match self {
            Self::Metrics => set("SEMEL_ADMIN_LISTEN", "127.0.0.1:0"),
            // It starts in its own folder.
            Self::Access => set("SEMEL_LOG_ACCESS", "access.log"),
            Self::Audit => set("SEMEL_AUDIT_EVENTS", "all"),
            Self::Traces { ratio } => {
                set("SEMEL_OTLP_ENDPOINT", collector);
                set("SEMEL_OTLP_SAMPLE_RATIO", ratio);
            }
        }
        settings
    }
}

/// Takes what a collector is sent, reads it so far as to see its parts, and keeps nothing.
#[derive(Clone, Copy)]
pub(super) struct Sink<const METRICS: bool>;

impl NamedService for Sink<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl NamedService for Sink<true> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl<const METRICS: bool> tower::Service<http::Request<Body>> for Sink<METRICS> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // A request has one field, a list of messages; an answer that has nothing to complain of is empty.
        let codec = ProstCodec::<Batch, Batch>::default();
        Box::pin(async move { Ok(server::Grpc::new(codec).unary(Taken, request).await) })
    }
}

struct Taken;

impl UnaryService<Batch> for Taken {
    type Response = Batch;
    type Future = std::future::Ready<Result<Response<Batch>, Status>>;

    fn call(&mut self, _: Request<Batch>) -> Self::Future {
        std::future::ready(Ok(Response::new(Batch::default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Origin, Sources};

    #[test]
    fn each_kind_is_settings_that_there_are() {
        let traces = Eyes::Traces { ratio: "0.01" };
        for (eyes, expected) in [
            (Eyes::Metrics, &["admin.listen"] as &[&str]),
            (Eyes::Access, &["log.access"]),
            (Eyes::Audit, &["audit.events"]),
            (traces, &["otlp.endpoint", "otlp.sample_ratio"]),
        ] {
            let settings = eyes.settings_with("http://127.0.0.1:4317");
            let environment = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let resolved = config::resolve(&Sources { environment, ..Sources::default() }).expect("they are right");
            let is_set = |path: &&str| matches!(resolved.origins.get(*path), Some(Origin::Environment(_)));
            assert!(expected.iter().all(is_set), "{eyes:?}: {:?}", resolved.origins);
        }
    }
}
