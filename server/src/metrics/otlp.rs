//! What was sent to a collector, and what was not. All zero where none is named.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct OtlpMetrics {
    sent: Counter,
    lost: Counter,
    failed: Counter,
}

impl OtlpMetrics {
    /// All of them at zero, in a registry whose prefix is the server's.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let spans = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register("otlp_spans", "Spans by whether the collector has taken them", spans.clone());
        let failed = Counter::default();
        registry.register("otlp_metrics_failed", "Times that the collector did not take metrics", failed.clone());
        let of = |result| spans.get_or_create_owned(&[("result", result)]);
        Self { sent: of("sent"), lost: of("lost"), failed }
    }

    /// So many spans were taken.
    pub(crate) fn sent(&self, count: u64) {
        self.sent.inc_by(count);
    }

    /// So many spans were lost: there was no room, or the collector did not take them.
    pub(crate) fn lost(&self, count: u64) {
        self.lost.inc_by(count);
    }

    /// Metrics were not taken.
    pub(crate) fn failed(&self) {
        self.failed.inc();
    }
}
