//! How long calls take, by method and gRPC status code. Counts with atomics alone: nothing is locked and nothing is allocated
//! for a call. The methods are named once, so a caller can make no series by asking for what there is not.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::observe::{Ending, Observer};

/// The codes of gRPC, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// The code of a call whose end does not say one, or says one that does not exist.
const UNKNOWN: usize = 2;
/// What is counted of calls of methods that there are not.
const OTHER: &str = "_OTHER";
/// Up to so many seconds: those that OpenTelemetry advises, and three below them, because calls are shorter here.
const BOUNDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// See the module. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<OnceLock<Table>>);

/// Which method, once it was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MethodIndex(usize);

#[derive(Debug)]
struct Table {
    index: HashMap<String, usize>,
    /// The last one is that of unknown methods.
    methods: Vec<(String, [Durations; CODES.len()])>,
}

#[derive(Debug, Default)]
struct Durations {
    /// How many took at most what the bound of the same place says; the last one has none.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Calls {
    /// Names the methods that there are, as `package.Service/Method`. Only the first word counts.
    pub(crate) fn name_methods(&self, names: impl IntoIterator<Item = String>) {
        self.0.get_or_init(|| {
            let names = names.into_iter().chain([OTHER.to_owned()]);
            let methods: Vec<_> = names.map(|name| (name, Default::default())).collect();
            let index = methods.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            Table { index, methods }
        });
    }

    /// The method that a path names: `/package.Service/Method`.
    pub(crate) fn method(&self, path: &str) -> MethodIndex {
        let at = self.0.get().map_or(0, |table| {
            let name = path.strip_prefix('/').unwrap_or(path);
            table.index.get(name).copied().unwrap_or(table.methods.len() - 1)
        });
        MethodIndex(at)
    }

    /// A call has ended with this code after so long. A stream is one call.
    pub(crate) fn ended(&self, method: MethodIndex, code: Option<usize>, took: Duration) {
        let Some((_, codes)) = self.0.get().and_then(|table| table.methods.get(method.0)) else { return };
        let code = code.filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN);
        codes[code].observe(took);
    }
}

impl Observer for Calls {
    fn ended(&self, ending: &Ending<'_>) {
        self.ended(self.method(ending.head.uri.path()), ending.code, ending.took);
    }
}

impl Durations {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }

    /// How many took so long, by bound, and how many there were in all.
    fn read(&self) -> ([(f64, u64); BOUNDS.len() + 1], u64) {
        let mut buckets = [(f64::INFINITY, 0); BOUNDS.len() + 1];
        let mut total = 0;
        for (at, bucket) in buckets.iter_mut().enumerate() {
            let count = self.counts[at].load(Ordering::Relaxed);
            total += count;
            *bucket = (BOUNDS.get(at).copied().unwrap_or(f64::INFINITY), count);
        }
        (buckets, total)
    }
}

impl EncodeMetric for Calls {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Some(table) = self.0.get() else { return Ok(()) };
        for (method, codes) in &table.methods {
            for (code, durations) in CODES.iter().zip(codes) {
                let (buckets, total) = durations.read();
                if total == 0 {
                    continue;
                }
                let labels = [("rpc_method", method.as_str()), ("rpc_response_status_code", *code)];
                let seconds = Duration::from_nanos(durations.nanos.load(Ordering::Relaxed)).as_secs_f64();
                encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, total, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
