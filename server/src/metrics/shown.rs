//! Metrics whose values are asked for at the moment at which they are shown. What is not known then has no series, and so is
//! told apart from zero.

use std::{borrow::Cow, fmt};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::durations::Distribution;

/// One value, with its label if it has one.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    label: Option<(&'static str, Cow<'static, str>)>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Distribution(Distribution),
}

impl Sample {
    /// A number without a label.
    pub(super) fn new(value: f64) -> Self {
        Self { label: None, value: Value::Number(value) }
    }

    /// A number with a label.
    pub(super) fn labelled(name: &'static str, label: impl Into<Cow<'static, str>>, value: f64) -> Self {
        Self { label: Some((name, label.into())), value: Value::Number(value) }
    }

    /// What a histogram shows.
    pub(super) fn of(distribution: Distribution) -> Self {
        Self { label: None, value: Value::Distribution(distribution) }
    }
}

/// See the module.
pub(super) struct Shown {
    kind: MetricType,
    ask: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl Shown {
    /// Something that goes up and down.
    pub(super) fn gauge(ask: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self { kind: MetricType::Gauge, ask: Box::new(ask) }
    }

    /// Something that only grows.
    pub(super) fn counter(ask: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self { kind: MetricType::Counter, ask: Box::new(ask) }
    }

    /// Something that was measured many times.
    pub(super) fn histogram(ask: impl Fn() -> Vec<Sample> + Send + Sync + 'static) -> Self {
        Self { kind: MetricType::Histogram, ask: Box::new(ask) }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Shown").field(&self.kind).finish()
    }
}

impl EncodeMetric for Shown {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for Sample { label, value } in (self.ask)() {
            match label {
                None => encode(&mut encoder, self.kind, &value)?,
                Some((name, label)) => encode(&mut encoder.encode_family(&[(name, label)])?, self.kind, &value)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Number(number)) => encoder.encode_counter::<NoLabelSet, f64, f64>(number, None),
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Distribution(Distribution { buckets, count, seconds })) => {
            encoder.encode_histogram::<NoLabelSet>(*seconds, *count, buckets, None)
        }
    }
}

/// A count as a metric has it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats, and what is larger than 2^53 is no count of ours")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
