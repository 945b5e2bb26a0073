//! What the server counts, for whoever scrapes it. Owns the list of metrics; knows no HTTP. Counters begin at zero with the
//! process.
//!
//! ```text
//! calls ─▶ calls, auth     engine ─▶ engine     tls ─▶ tls      counted as it happens
//! scrape ─▶ live ─▶ gauges                                      looked at when somebody asks
//! ```
//!
//! No label names an app, a job, a run or a request: there may be millions of them. What became of one trigger's times says
//! `semel trigger get`.

mod auth;
mod calls;
mod engine;
mod gauges;
mod live;
mod otlp;
mod series;
mod shown;
mod tls;

use std::{sync::Arc, time::Duration};

use prometheus_client::{encoding::text, metrics::info::Info, registry::Registry};
use semel_core::id::Revision;

pub(crate) use self::{
    calls::Calls,
    engine::{Answered, Commit},
    live::{ConnectionsSeen, EngineSeen, IssuerSeen, LoadSeen, Look, Seen, StoreSeen, WatchSeen},
    tls::TlsMetrics,
};
use self::{engine::EngineMetrics, live::Live, otlp::OtlpMetrics};

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    engine: EngineMetrics,
    calls: Calls,
    tls: TlsMetrics,
    otlp: OtlpMetrics,
    live: Arc<Live>,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let live = Arc::new(Live::new());
        gauges::register_process(&mut registry, &live);
        let calls = Calls::register(&mut registry);
        let ours = registry.sub_registry_with_prefix("semel");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        ours.register("build", "The version of the server", Info::new(version));
        calls.register_ours(ours);
        let engine = EngineMetrics::register(ours);
        let tls = TlsMetrics::register(ours);
        let otlp = OtlpMetrics::register(ours);
        gauges::register(ours, &live);
        Self { registry, engine, calls, tls, otlp, live }
    }

    /// Names what there is only one list of elsewhere: the methods, the reasons for which the engine refuses requests, and
    /// those for which calls are refused. Only the first word counts.
    pub(crate) fn name(
        &self,
        methods: impl IntoIterator<Item = String>,
        of_engine: impl IntoIterator<Item = &'static str>,
        of_calls: impl IntoIterator<Item = &'static str>,
    ) {
        self.calls.name_methods(methods);
        self.engine.refused().name(of_engine);
        self.calls.name_reasons(of_calls);
    }

    /// How one looks at what is not counted as it happens.
    pub(crate) fn look_by(&self, look: Look) {
        self.live.look_by(look);
    }

    /// The log ends there.
    pub(crate) fn stands_at(&self, revision: Revision) {
        self.engine.stands_at(revision);
    }

    /// Counts what became of the requests of a batch that is durable.
    pub(crate) fn answered(&self, answers: impl Iterator<Item = Answered>) {
        self.engine.answered(answers);
    }

    /// A request waited for so long before the engine took it.
    pub(crate) fn waited(&self, waited: Duration) {
        self.engine.waited(waited);
    }

    /// Counts what happened in a batch that is durable.
    pub(crate) fn committed(&self, commit: &Commit<'_>) {
        self.engine.committed(commit);
    }

    /// Where calls are counted.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Where is counted what goes to a collector.
    pub(crate) fn otlp(&self) -> &OtlpMetrics {
        &self.otlp
    }

    /// Where is told how the certificate stands.
    pub(crate) fn tls(&self) -> &TlsMetrics {
        &self.tls
    }

    /// All of them, as OpenMetrics has it, as of now or a second ago.
    pub async fn text(&self) -> String {
        self.live.refresh().await;
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
