//! What one measurement found, and what several of them say together. Counts and arithmetic only.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{Error, procfs::Usage};

/// Latencies are kept in nanoseconds, to three digits, from 1 us to 5 min; what is outside counts as the bound.
const NANOS_MIN: u64 = 1_000;
const NANOS_MAX: u64 = 300_000_000_000;
const DIGITS: u8 = 3;

/// An empty histogram of latencies.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(NANOS_MIN, NANOS_MAX, DIGITS).expect("the bounds are right")
}

/// The nanoseconds of a latency.
pub(super) fn nanos(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// Where the callers of one measurement write down what they see. Calls before and after its window do not count, but
/// what goes wrong there does.
#[derive(Debug)]
pub(super) struct Recorder {
    stage: AtomicU8,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    operations: u64,
    latency: Histogram<u64>,
    failed: Option<Error>,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const COOLING: u8 = 2;
const OVER: u8 = 3;

impl Recorder {
    pub(super) fn new() -> Self {
        let seen = Seen { operations: 0, latency: histogram(), failed: None };
        Self { stage: AtomicU8::new(WARMING), seen: Mutex::new(seen) }
    }

    pub(super) fn begin(&self) {
        self.stage.store(MEASURING, Ordering::Relaxed);
    }

    /// Ends the window; callers go on, so that the last calls of it met the same load as the first.
    pub(super) fn end(&self) {
        self.stage.store(COOLING, Ordering::Relaxed);
    }

    /// Sends the callers home.
    pub(super) fn stop(&self) {
        self.stage.store(OVER, Ordering::Relaxed);
    }

    /// Whether callers are to end.
    pub(super) fn is_over(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == OVER
    }

    /// Whether nothing has come back yet, and callers still try.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_over() && self.lock().operations == 0
    }

    /// So many operations came back, each after this time.
    pub(super) fn record(&self, operations: u64, latency: Duration) {
        if self.stage.load(Ordering::Relaxed) == MEASURING {
            let mut seen = self.lock();
            seen.operations += operations;
            seen.latency.saturating_record_n(nanos(latency), operations);
        }
    }

    /// An operation failed: the measurement is void. The first failure is kept, and everybody ends.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failed.get_or_insert(error);
        self.stop();
    }

    /// What was seen in the window, which took `wall`.
    ///
    /// # Errors
    /// What failed.
    pub(super) fn sample(&self, wall: Duration, usage: Usage) -> Result<Sample, Error> {
        let mut seen = self.lock();
        match seen.failed.take() {
            Some(error) => Err(error),
            None if seen.operations == 0 => Err(Error::Nothing),
            None => Ok(Sample { operations: seen.operations, wall, latency: seen.latency.clone(), usage }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One point in one round.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) operations: u64,
    pub(super) wall: Duration,
    pub(super) latency: Histogram<u64>,
    /// What the server used meanwhile.
    pub(super) usage: Usage,
}

impl Sample {
    /// Operations a second.
    pub(super) fn rate(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    /// A quantile of the latency, in microseconds.
    pub(super) fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    fn max_micros(&self) -> f64 {
        self.latency.max() as f64 / 1e3
    }

    fn cpu_micros(&self) -> Option<f64> {
        self.usage.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.operations as f64)
    }

    fn written(&self) -> Option<f64> {
        self.usage.written.map(|bytes| bytes as f64 / self.operations as f64)
    }
}

/// The median of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one figure; of none there is no spread.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    pub(super) fn json(self) -> Value {
        json!({ "median": round(self.median), "min": round(self.min), "max": round(self.max) })
    }
}

/// Four digits are more than the measurement is good for.
fn round(figure: f64) -> f64 {
    if figure == 0.0 || !figure.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powf(3.0 - figure.abs().log10().floor());
    (figure * scale).round() / scale
}

/// What the rounds of one point say, by the names of the report.
pub(super) fn figures(samples: &[Sample]) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, figures: Vec<Option<f64>>| {
        let spread = Spread::of(figures.into_iter().flatten());
        out.insert(name.to_owned(), spread.map_or(Value::Null, Spread::json));
    };
    let each = |figure: &dyn Fn(&Sample) -> Option<f64>| samples.iter().map(figure).collect::<Vec<_>>();
    put("rate_per_s", each(&|sample| Some(sample.rate())));
    put("p50_us", each(&|sample| Some(sample.micros(0.5))));
    put("p99_us", each(&|sample| Some(sample.micros(0.99))));
    put("p999_us", each(&|sample| Some(sample.micros(0.999))));
    put("max_us", each(&|sample| Some(sample.max_micros())));
    put("server_cpu_us_per_op", each(&Sample::cpu_micros));
    put("device_bytes_per_op", each(&Sample::written));
    let rates = samples.iter().map(|sample| round(sample.rate()));
    out.insert("rates_of_rounds".to_owned(), rates.collect());
    out.insert("operations".to_owned(), json!(samples.iter().map(|sample| sample.operations).sum::<u64>()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        let spread = Spread::of([3.0, 1.0, 2.0]).expect("figures");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0, 4.0, 8.0]).expect("figures").median, 3.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn figures_have_four_digits() {
        assert_eq!((round(123_456.0), round(0.012_345_6), round(0.0)), (123_500.0, 0.012_35, 0.0));
    }

    #[test]
    fn only_the_window_counts_but_failures_always_do() {
        let recorder = Recorder::new();
        recorder.record(1, Duration::from_millis(9));
        recorder.begin();
        recorder.record(100, Duration::from_millis(1));
        recorder.end();
        recorder.record(1, Duration::from_millis(9));
        let sample = recorder.sample(Duration::from_secs(2), Usage::default()).expect("a sample");
        assert_eq!((sample.operations, sample.rate(), sample.latency.len()), (100, 50.0, 100));
        assert!((sample.micros(0.999) - 1000.0).abs() < 2.0, "{}", sample.micros(0.999));
        assert!(!recorder.is_over());
        recorder.fail(Error::Nothing);
        assert!(recorder.is_over() && recorder.sample(Duration::from_secs(2), Usage::default()).is_err());
    }

    #[test]
    fn a_window_in_which_nothing_came_back_is_no_sample() {
        assert!(matches!(Recorder::new().sample(Duration::from_secs(1), Usage::default()), Err(Error::Nothing)));
    }
}
