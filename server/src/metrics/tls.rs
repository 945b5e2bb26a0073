//! How the server's certificate stands. Without TLS none of it has a series that says anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prometheus_client::registry::{Registry, Unit};
use semel_core::id::Timestamp;

use super::{
    series::Series,
    shown::{Sample, Shown},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct TlsMetrics {
    /// When the certificate ends, in milliseconds since 1970; 0 if there is none.
    not_after: Arc<AtomicI64>,
    reloads: Series<&'static str>,
}

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let not_after = Arc::new(AtomicI64::new(0));
        let shown = not_after.clone();
        let ask = move || {
            let millis = shown.load(Ordering::Relaxed);
            let end = Duration::from_millis(millis.unsigned_abs());
            (millis > 0).then(|| Sample::new(end.as_secs_f64())).into_iter().collect()
        };
        let help = "When the server's certificate ends, since 1970";
        registry.register_with_unit("tls_certificate_not_after", help, Unit::Seconds, Shown::gauge(ask));
        let help = "How often changed files of TLS were looked at, and what came of it";
        let reloads =
            Series::register(registry, "tls_reloads", help, ["taken", "failed"], |outcome| [("outcome", outcome)]);
        Self { not_after, reloads }
    }

    /// The server begins with a certificate that ends then.
    pub(crate) fn began(&self, not_after: Timestamp) {
        self.not_after.store(not_after.0, Ordering::Relaxed);
    }

    /// Files that have changed were taken; their certificate ends then.
    pub(crate) fn taken(&self, not_after: Timestamp) {
        self.began(not_after);
        self.reloads.add("taken", 1);
    }

    /// Files that have changed could not be read or used: the former ones stay.
    pub(crate) fn failed(&self) {
        self.reloads.add("failed", 1);
    }
}
