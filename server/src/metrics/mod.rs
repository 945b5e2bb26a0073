//! What the server counts, for whoever scrapes it. Owns the list of metrics; knows no HTTP. Counters begin at zero with the
//! process.
//!
//! No label names an app, a job, a run or a request: there may be millions of them. What became of one trigger's times says
//! `semel trigger get`.

mod calls;
mod engine;
mod otlp;

use prometheus_client::{
    encoding::text,
    metrics::info::Info,
    registry::{Registry, Unit},
};
use semel_core::{event::Record, id::Revision};

pub(crate) use self::calls::Calls;
use self::{engine::EngineMetrics, otlp::OtlpMetrics};

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    engine: EngineMetrics,
    calls: Calls,
    otlp: OtlpMetrics,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let calls = Calls::default();
        // Its name is OpenTelemetry's, so it has no prefix of ours.
        let help = "How long calls took, streams to their end";
        registry.register_with_unit("rpc_server_call_duration", help, Unit::Seconds, calls.clone());
        let ours = registry.sub_registry_with_prefix("semel");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        ours.register("build", "The version of the server", Info::new(version));
        let engine = EngineMetrics::register(ours);
        let otlp = OtlpMetrics::register(ours);
        Self { registry, engine, calls, otlp }
    }

    /// Counts a batch that is durable: how many requests it answered, and what happened.
    pub(crate) fn count(&self, requests: usize, records: &[Record], revision: Revision) {
        self.engine.count(requests, records, revision);
    }

    /// Where calls are counted.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Where is counted what goes to a collector.
    pub(crate) fn otlp(&self) -> &OtlpMetrics {
        &self.otlp
    }

    /// All of them, as OpenMetrics has it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
