//! Metrics as OTLP has them, made of the page that scrapers see: whatever stands there goes out, and nothing is counted twice.
//! Cumulative, from the start of the server on.
//!
//! Names: `semel_runs_created` goes as `semel.runs_created`, and a collector that turns it back has the name of the page. What
//! OpenTelemetry has a name for goes by that.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric,
        number_data_point,
    },
};

use super::span::attribute;

/// A family of series, as the page declares it.
#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    unit: &'a str,
    samples: Vec<Sample<'a>>,
}

/// A line with a value.
#[derive(Debug)]
struct Sample<'a> {
    /// What stands behind the name of the family.
    suffix: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

/// All metrics of a page.
pub(super) fn of(page: &str, begun: u64, now: u64) -> Vec<Metric> {
    let span = Span { begun, now };
    families(page).iter().filter_map(|family| metric(family, span)).collect()
}

/// Over which time was counted.
#[derive(Clone, Copy)]
struct Span {
    begun: u64,
    now: u64,
}

fn families(page: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in page.lines() {
        if let Some((what, name, rest)) = declared(line) {
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name, ..Family::default() });
            }
            let family = families.last_mut().expect("there is one");
            match what {
                "TYPE" => family.kind = rest,
                "HELP" => family.help = rest.strip_suffix('.').unwrap_or(rest),
                "UNIT" => family.unit = rest,
                _ => {}
            }
        } else if let Some(family) = families.last_mut()
            && let Some(sample) = sample(line, family.name)
        {
            family.samples.push(sample);
        }
    }
    families
}

fn declared(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.strip_prefix("# ")?.splitn(3, ' ');
    Some((words.next()?, words.next()?, words.next().unwrap_or_default()))
}

fn sample<'a>(line: &'a str, family: &str) -> Option<Sample<'a>> {
    let rest = line.strip_prefix(family)?;
    let (suffix, rest) = rest.split_at(rest.find(['{', ' '])?);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    Some(Sample { suffix, labels, value: rest.split_whitespace().next()? })
}

/// The labels behind an opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        labels.push((name, value));
        rest = behind;
    }
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn metric(family: &Family<'_>, span: Span) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        "counter" => metric::Data::Sum(Sum {
            data_points: numbers(family, "_total", span),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        "gauge" => metric::Data::Gauge(Gauge { data_points: numbers(family, "", span) }),
        "info" => metric::Data::Gauge(Gauge { data_points: numbers(family, "_info", span) }),
        "histogram" => metric::Data::Histogram(Histogram {
            data_points: histograms(family, span),
            aggregation_temporality: cumulative,
        }),
        _ => return None,
    };
    let (name, unit) = (named(family), unit(family.unit).to_owned());
    Some(Metric { name, description: family.help.to_owned(), unit, data: Some(data), ..Default::default() })
}

fn named(family: &Family<'_>) -> String {
    let unit = format!("_{}", family.unit);
    let name = family.name.strip_suffix(&unit).filter(|_| !family.unit.is_empty()).unwrap_or(family.name);
    if is_convention(name) { name.replace('_', ".") } else { name.replacen('_', ".", 1) }
}

/// Whether OpenTelemetry has named it.
fn is_convention(name: &str) -> bool {
    name.starts_with("rpc_")
}

fn unit(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "bytes" => "By",
        "ratios" => "1",
        other => other,
    }
}

fn attributes(family: &Family<'_>, labels: &[(&str, String)]) -> Vec<KeyValue> {
    let key = |name: &str| match name {
        "rpc_method" => "rpc.method".to_owned(),
        "rpc_response_status_code" => "rpc.response.status_code".to_owned(),
        other => other.to_owned(),
    };
    let system = is_convention(family.name).then(|| attribute("rpc.system.name", "grpc"));
    let labels = labels.iter().map(|(name, value)| attribute(key(name), value.clone()));
    system.into_iter().chain(labels).collect()
}

fn numbers(family: &Family<'_>, suffix: &str, span: Span) -> Vec<NumberDataPoint> {
    let samples = family.samples.iter().filter(|sample| sample.suffix == suffix);
    let point = |sample: &Sample<'_>| {
        let whole = sample.value.parse().ok().map(number_data_point::Value::AsInt);
        let value = whole.or_else(|| sample.value.parse().ok().map(number_data_point::Value::AsDouble))?;
        Some(NumberDataPoint {
            attributes: attributes(family, &sample.labels),
            start_time_unix_nano: span.begun,
            time_unix_nano: span.now,
            value: Some(value),
            ..Default::default()
        })
    };
    samples.filter_map(point).collect()
}

/// What the lines of one histogram say.
#[derive(Default)]
struct Lines {
    count: u64,
    sum: f64,
    /// Up to which bound there were how many in all.
    buckets: Vec<(f64, u64)>,
}

fn histograms(family: &Family<'_>, span: Span) -> Vec<HistogramDataPoint> {
    let mut all: BTreeMap<Vec<(&str, String)>, Lines> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.iter().position(|(name, _)| *name == "le").map(|at| labels.remove(at).1);
        let lines = all.entry(labels).or_default();
        let count = || sample.value.parse().unwrap_or(0);
        match (sample.suffix, bound) {
            ("_count", _) => lines.count = count(),
            ("_sum", _) => lines.sum = sample.value.parse().unwrap_or(0.0),
            ("_bucket", Some(bound)) => lines.buckets.extend(bound.parse().ok().map(|bound| (bound, count()))),
            _ => {}
        }
    }
    all.into_iter().map(|(labels, lines)| histogram(attributes(family, &labels), lines, span)).collect()
}

fn histogram(attributes: Vec<KeyValue>, mut lines: Lines, span: Span) -> HistogramDataPoint {
    lines.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let before = std::iter::once(0).chain(lines.buckets.iter().map(|(_, count)| *count));
    let bucket_counts = lines.buckets.iter().zip(before).map(|((_, count), before)| count.saturating_sub(before));
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: span.begun,
        time_unix_nano: span.now,
        count: lines.count,
        sum: Some(lines.sum),
        bucket_counts: bucket_counts.collect(),
        explicit_bounds: lines.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use prometheus_client::{
        encoding::text,
        metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
        registry::{Registry, Unit},
    };

    use super::*;

    /// A page as it is really written.
    fn page(fill: impl FnOnce(&mut Registry)) -> String {
        let (mut registry, mut page) = (Registry::default(), String::new());
        fill(&mut registry);
        text::encode(&mut page, &registry).expect("a string takes all");
        page
    }

    fn only(fill: impl FnOnce(&mut Registry)) -> Metric {
        let mut metrics = of(&page(fill), 1, 2);
        assert_eq!(metrics.len(), 1, "{metrics:?}");
        metrics.remove(0)
    }

    fn labels(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
        let text = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text.leak() as &str,
            other => panic!("{other:?}"),
        };
        attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
    }

    #[test]
    fn a_counter_is_a_sum_that_grows() {
        let metric = only(|registry| {
            let family = Family::<[(&str, &str); 1], Counter>::default();
            registry.register("semel_trigger_fires", "Runs that triggers made", family.clone());
            family.get_or_create(&[("source", "a \"b\"\\,}\n= c")]).inc_by(3);
        });
        assert_eq!(
            (metric.name.as_str(), metric.description.as_str()),
            ("semel.trigger_fires", "Runs that triggers made")
        );
        let Some(metric::Data::Sum(sum)) = metric.data else { panic!("a sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == i32::from(AggregationTemporality::Cumulative));
        let [point] = sum.data_points.as_slice() else { panic!("one point") };
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(3)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
        assert_eq!(labels(&point.attributes), [("source", "a \"b\"\\,}\n= c")]);
    }

    #[test]
    fn a_gauge_and_what_is_known_of_a_build_are_gauges() {
        let metric = only(|registry| {
            let gauge: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
            gauge.set(1.5);
            registry.register_with_unit("semel_store_size", "How large", Unit::Bytes, gauge);
        });
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("semel.store_size", "By"));
        let Some(metric::Data::Gauge(gauge)) = metric.data else { panic!("a gauge") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(1.5)));
        let metric = only(|registry| registry.register("semel_build", "What", Info::new(vec![("version", "1")])));
        let Some(metric::Data::Gauge(gauge)) = metric.data else { panic!("a gauge") };
        assert_eq!(labels(&gauge.data_points[0].attributes), [("version", "1")]);
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsInt(1)));
    }

    #[test]
    fn a_histogram_has_the_counts_of_its_buckets_and_the_names_of_the_conventions() {
        let metric = only(|registry| {
            let family =
                Family::<[(&str, &str); 2], Histogram>::new_with_constructor(|| Histogram::new([0.1, 0.5, 1.0]));
            let unit = Unit::Seconds;
            registry.register_with_unit("rpc_server_call_duration", "How long", unit, family.clone());
            for (code, seconds) in [("OK", 0.05), ("OK", 0.3), ("OK", 0.4), ("OK", 9.0), ("INTERNAL", 0.7)] {
                family.get_or_create(&[("rpc_method", "a.B/C"), ("rpc_response_status_code", code)]).observe(seconds);
            }
        });
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("rpc.server.call.duration", "s"));
        let Some(metric::Data::Histogram(histogram)) = metric.data else { panic!("a histogram") };
        let [failed, good] = histogram.data_points.as_slice() else { panic!("two") };
        let expected = [("rpc.system.name", "grpc"), ("rpc.method", "a.B/C"), ("rpc.response.status_code", "OK")];
        assert_eq!(labels(&good.attributes), expected);
        assert_eq!((good.count, good.bucket_counts.as_slice()), (4, [1, 2, 0, 1].as_slice()));
        assert_eq!(good.explicit_bounds, [0.1, 0.5, 1.0]);
        assert!((good.sum.expect("a sum") - 9.75).abs() < 1e-9);
        assert_eq!(failed.bucket_counts, [0, 0, 1, 0]);
    }

    #[test]
    fn what_is_no_page_is_nothing() {
        for text in ["", "garbage", "# TYPE", "# TYPE a counter\na_total{x=\"", "# TYPE a counter\na_total{x} 1", "a 1"]
        {
            let points: usize = of(text, 1, 2)
                .iter()
                .filter_map(|metric| metric.data.clone())
                .map(|data| match data {
                    metric::Data::Sum(sum) => sum.data_points.len(),
                    _ => 1,
                })
                .sum();
            assert_eq!(points, 0, "{text:?}");
        }
    }
}
