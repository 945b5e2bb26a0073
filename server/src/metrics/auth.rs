//! What became of callers' credentials, by status and by the way in which they proved who they are. Each pair has its counter.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::auth::{Method, Status, Verdict};

/// All that a verdict may be, and that a caller which is known may not do what it wishes.
const STATUSES: [&str; 10] = [
    "passed",
    "not_required",
    "missing",
    "malformed",
    "invalid",
    "expired",
    "revoked",
    "forbidden",
    "throttled",
    "unavailable",
];
const FORBIDDEN: usize = 7;
/// In what way; the last ones are none, where nothing was proved, and that nothing was asked for.
const METHODS: [&str; 7] =
    ["app_secret", "token", "client_certificate", "forwarded_certificate", "outside_token", "none", "anonymous"];

/// See the module. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes(Arc<[[AtomicU64; METHODS.len()]; STATUSES.len()]>);

impl Outcomes {
    /// Counts a verdict on a call, and whether the caller was then found not to be allowed what it wished.
    pub(super) fn add(&self, verdict: &Verdict, is_forbidden: bool) {
        let status = if is_forbidden { FORBIDDEN } else { status(verdict.status) };
        self.0[status][method(verdict.method)].fetch_add(1, Ordering::Relaxed);
    }
}

impl EncodeMetric for Outcomes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (status, of_status) in self.0.iter().enumerate() {
            for (method, count) in of_status.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 || may_be(status, method) {
                    let labels = [("status", STATUSES[status]), ("method", METHODS[method])];
                    encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// Whether there can be such a pair: who was refused has proved nothing, and who was not has proved something or was not asked.
fn may_be(status: usize, method: usize) -> bool {
    match (STATUSES[status], METHODS[method]) {
        ("passed", method) => !matches!(method, "none" | "anonymous"),
        ("not_required", method) => method == "anonymous",
        ("forbidden", method) => method != "none",
        (_, method) => method == "none",
    }
}

fn status(status: Status) -> usize {
    match status {
        Status::Passed => 0,
        Status::NotRequired => 1,
        Status::Missing => 2,
        Status::Malformed => 3,
        Status::Invalid => 4,
        Status::Expired => 5,
        Status::Revoked => 6,
        Status::Throttled => 8,
        Status::Unavailable => 9,
    }
}

fn method(method: Method) -> usize {
    match method {
        Method::AppSecret => 0,
        Method::Token => 1,
        Method::ClientCertificate => 2,
        Method::ForwardedCertificate => 3,
        Method::OutsideToken => 4,
        Method::None => 5,
        Method::Anonymous => 6,
    }
}
