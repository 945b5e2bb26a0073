//! Counters with a label whose values are a closed list. All series are there from the start, so a rate over one that has not
//! come yet is zero, and not nothing; and nothing is looked up or allocated when something is counted.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::Counter, family::Family},
    registry::Registry,
};

/// A single label and its value.
pub(super) type Label = [(&'static str, &'static str); 1];

/// See the module.
#[derive(Debug)]
pub(super) struct Series<T>(Box<[(T, Counter)]>);

impl<T: Copy + PartialEq> Series<T> {
    /// One for each of these values, which are labelled so.
    pub(super) fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = T>,
        label: impl Fn(T) -> Label,
    ) -> Self {
        let family = Family::<Label, Counter>::default();
        registry.register(name, help, family.clone());
        Self(values.into_iter().map(|value| (value, family.get_or_create_owned(&label(value)))).collect())
    }

    /// Counts; what is not in the list is not counted.
    pub(super) fn add(&self, value: T, count: u64) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.inc_by(count);
        }
    }
}

/// How often something was refused, by reasons that somebody else knows, and names once. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons(Arc<OnceLock<Vec<Refusals>>>);

type Refusals = (&'static str, AtomicU64);

impl Reasons {
    /// Names the reasons that there are. Only the first word counts.
    pub(crate) fn name(&self, reasons: impl IntoIterator<Item = &'static str>) {
        self.0.get_or_init(|| reasons.into_iter().map(|reason| (reason, AtomicU64::new(0))).collect());
    }

    /// Counts one; what was not named is not counted.
    pub(crate) fn add(&self, reason: &str) {
        let found = self.0.get().and_then(|all| all.iter().find(|(known, _)| *known == reason));
        debug_assert!(found.is_some(), "{reason} was not named");
        if let Some((_, count)) = found {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EncodeMetric for Reasons {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (reason, count) in self.0.get().into_iter().flatten() {
            let count = count.load(Ordering::Relaxed);
            encoder.encode_family(&[("reason", *reason)])?.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
