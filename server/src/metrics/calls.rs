//! How long calls take, by method and gRPC status code; how many are under way; what became of their callers' credentials; and
//! why they were refused. Counts with atomics alone: nothing is locked and nothing is allocated for a call. The methods are
//! named once, so a caller can make no series by asking for what there is not.

use std::{
    array,
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
    registry::{Registry, Unit},
};

use super::{
    auth::Outcomes,
    series::Reasons,
    shown::{Sample, Shown, number},
};
use crate::{
    durations::{Distribution, Durations},
    observe::{CODES, Ending, Head, Observer, code_index},
};

/// What is counted of calls of methods that there are not.
const OTHER: &str = "_OTHER";
/// Why callers are refused that are known, and may not do what they wish.
const FORBIDDEN: &str = "FORBIDDEN";
/// Up to so many seconds: those that OpenTelemetry advises, and three below them, because calls are shorter here.
const BOUNDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// See the module. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    durations: ByMethod,
    /// How many have begun, and how many have ended.
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    outcomes: Outcomes,
    refused: Reasons,
}

#[derive(Clone, Debug, Default)]
struct ByMethod(Arc<OnceLock<Table>>);

#[derive(Debug)]
struct Table {
    index: HashMap<String, usize>,
    /// The last one is that of unknown methods.
    methods: Vec<(String, [Durations<{ BOUNDS.len() }>; CODES.len()])>,
}

impl Calls {
    /// With nothing counted, in a registry without a prefix and in one whose prefix is the server's.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let calls = Self::default();
        // Its name is OpenTelemetry's, so it has no prefix of ours.
        let help = "How long calls took, streams to their end";
        registry.register_with_unit("rpc_server_call_duration", help, Unit::Seconds, calls.durations.clone());
        calls
    }

    /// The rest of them, in a registry whose prefix is the server's.
    pub(super) fn register_ours(&self, registry: &mut Registry) {
        let (begun, ended) = (self.begun.clone(), self.ended.clone());
        let open = move || {
            // In this order: what ends between the two is not counted as open, and never less than none are.
            let ended = ended.load(Ordering::Acquire);
            vec![Sample::new(number(begun.load(Ordering::Acquire).saturating_sub(ended)))]
        };
        registry.register("calls_open", "Calls that are under way, streams among them", Shown::gauge(open));
        registry.register("auth_outcomes", "What became of callers' credentials", self.outcomes.clone());
        registry.register("calls_refused", "Calls that ended with a refusal", self.refused.clone());
    }

    /// Names the methods that there are, as `package.Service/Method`. Only the first word counts.
    pub(crate) fn name_methods(&self, names: impl IntoIterator<Item = String>) {
        self.durations.0.get_or_init(|| {
            let names = names.into_iter().chain([OTHER.to_owned()]);
            let none = || array::from_fn(|_| Durations::new(&BOUNDS));
            let methods: Vec<_> = names.map(|name| (name, none())).collect();
            let index = methods.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            Table { index, methods }
        });
    }

    /// Names the reasons for which calls are refused. Only the first word counts.
    pub(crate) fn name_reasons(&self, reasons: impl IntoIterator<Item = &'static str>) {
        self.refused.name(reasons);
    }
}

impl ByMethod {
    /// A call of this path (`/package.Service/Method`) has ended with this code after so long. A stream is one call.
    fn ended(&self, path: &str, code: Option<usize>, took: Duration) {
        let Some(table) = self.0.get() else { return };
        let name = path.strip_prefix('/').unwrap_or(path);
        let at = table.index.get(name).copied().unwrap_or(table.methods.len() - 1);
        table.methods[at].1[code_index(code)].observe(took);
    }
}

impl Observer for Calls {
    fn begun(&self, _: &Head) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self, ending: &Ending<'_>) {
        self.ended.fetch_add(1, Ordering::Release);
        self.durations.ended(ending.head.uri.path(), ending.code, ending.took);
        if let Some(reason) = ending.facts.reason {
            self.refused.add(reason);
        }
        if let Some(verdict) = &ending.facts.verdict {
            self.outcomes.add(verdict, ending.facts.reason == Some(FORBIDDEN));
        }
    }
}

impl EncodeMetric for ByMethod {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Some(table) = self.0.get() else { return Ok(()) };
        for (method, codes) in &table.methods {
            for (code, durations) in CODES.iter().zip(codes) {
                let Distribution { buckets, count, seconds } = durations.read();
                if count == 0 {
                    continue;
                }
                let labels = [("rpc_method", method.as_str()), ("rpc_response_status_code", *code)];
                encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
