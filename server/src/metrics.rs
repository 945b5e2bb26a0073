//! What the server counts, for whoever scrapes it. Owns the list of metrics and how what is committed becomes one; knows no HTTP,
//! and is told only what is durable. Counters begin at zero with the process.
//!
//! No label names an app, a job, a run or a request: there may be millions of them. What became of one trigger's times says
//! `semel trigger get`.

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use semel_core::{
    event::{Event, Record},
    id::Revision,
    run::Outcome,
    trigger::{FireSource, SkipReason},
};

/// A single label and its value.
type Label = [(&'static str, &'static str); 1];

const SOURCES: [FireSource; 3] = [FireSource::Schedule, FireSource::Hand, FireSource::Backfill];
const REASONS: [SkipReason; 6] = [
    SkipReason::Overlap,
    SkipReason::Buffer,
    SkipReason::Misfire,
    SkipReason::Paused,
    SkipReason::Quota,
    SkipReason::Replaced,
];
const OUTCOMES: [Outcome; 4] = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled, Outcome::Expired];

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    fires: Family<Label, Counter>,
    skipped: Family<Label, Counter>,
    lateness: Histogram,
    runs_created: Counter,
    runs_ended: Family<Label, Counter>,
    batches: Counter,
    batch_requests: Histogram,
    revision: Gauge,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        // From a millisecond to above an hour.
        let lateness = Histogram::new(exponential_buckets(0.001, 4.0, 12));
        let batch_requests = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        let mut metrics = Self {
            registry: Registry::with_prefix("semel"),
            fires: Family::default(),
            skipped: Family::default(),
            lateness,
            runs_created: Counter::default(),
            runs_ended: Family::default(),
            batches: Counter::default(),
            batch_requests,
            revision: Gauge::default(),
        };
        metrics.register();
        // A label that has not come yet is shown all the same: a rate over it is zero, and not nothing.
        for source in SOURCES {
            drop(metrics.fires.get_or_create(&by_source(source)));
        }
        for reason in REASONS {
            drop(metrics.skipped.get_or_create(&by_reason(reason)));
        }
        for outcome in OUTCOMES {
            drop(metrics.runs_ended.get_or_create(&by_outcome(outcome)));
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version of the server", Info::new(version));
        registry.register("trigger_fires", "Runs that triggers made", self.fires.clone());
        registry.register("trigger_skipped", "Times of triggers that came to no run", self.skipped.clone());
        registry.register_with_unit(
            "trigger_lateness",
            "By how much runs of schedules were made after their time",
            Unit::Seconds,
            self.lateness.clone(),
        );
        registry.register("runs_created", "Runs that were made", self.runs_created.clone());
        registry.register("runs_ended", "Runs that ended", self.runs_ended.clone());
        registry.register("engine_batches", "Batches of requests that were decided", self.batches.clone());
        registry.register("engine_batch_requests", "Requests of one batch", self.batch_requests.clone());
        registry.register("log_revision", "The position of the last commit", self.revision.clone());
    }

    /// Counts a batch that is durable: how many requests it answered, and what happened.
    pub(crate) fn count(&self, requests: usize, records: &[Record], revision: Revision) {
        self.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
        if requests > 0 {
            self.batches.inc();
            // So many fit into a float exactly.
            #[expect(clippy::cast_precision_loss, reason = "a batch is a few thousand requests at most")]
            self.batch_requests.observe(requests as f64);
        }
        let mut created = 0;
        for event in records.iter().flat_map(|record| &record.events) {
            match event {
                Event::RunCreated { .. } => created += 1,
                Event::RunEnded { outcome, .. } => drop(self.runs_ended.get_or_create(&by_outcome(*outcome)).inc()),
                // One that waits is told again when it makes its run, or does not.
                Event::TriggerFired { source, late, run_id: Some(_), .. } => {
                    self.fires.get_or_create(&by_source(*source)).inc();
                    if *source == FireSource::Schedule {
                        self.lateness
                            .observe(std::time::Duration::from_millis(late.0.max(0).unsigned_abs()).as_secs_f64());
                    }
                }
                Event::TriggerSkipped { reason, count, .. } => {
                    self.skipped.get_or_create(&by_reason(*reason)).inc_by(*count);
                }
                _ => {}
            }
        }
        self.runs_created.inc_by(created);
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

fn by_source(source: FireSource) -> Label {
    let name = match source {
        FireSource::Schedule => "schedule",
        FireSource::Hand => "hand",
        FireSource::Backfill => "backfill",
    };
    [("source", name)]
}

fn by_reason(reason: SkipReason) -> Label {
    let name = match reason {
        SkipReason::Overlap => "overlap",
        SkipReason::Buffer => "buffer",
        SkipReason::Misfire => "misfire",
        SkipReason::Paused => "paused",
        SkipReason::Quota => "quota",
        SkipReason::Replaced => "replaced",
    };
    [("reason", name)]
}

fn by_outcome(outcome: Outcome) -> Label {
    let name = match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Expired => "expired",
    };
    [("state", name)]
}

#[cfg(test)]
mod tests {
    use semel_core::id::{AppName, JobKey, JobName, Millis, RunId, Timestamp, TriggerKey, TriggerName};

    use super::*;

    fn key() -> TriggerKey {
        let job =
            JobKey { app: AppName::parse("pay").expect("a name"), job: JobName::parse("settle").expect("a name") };
        TriggerKey { job, name: TriggerName::parse("t").expect("a name") }
    }

    fn fired(source: FireSource, late: i64, run_id: Option<RunId>) -> Event {
        let scheduled_time = Timestamp(0);
        Event::TriggerFired { key: key(), source, scheduled_time, waited: false, late: Millis(late), run_id }
    }

    fn skipped(reason: SkipReason, count: u64) -> Event {
        let (source, waited, from, to) = (FireSource::Schedule, false, Timestamp(0), Timestamp(0));
        Event::TriggerSkipped { key: key(), source, waited, reason, count, from, to }
    }

    fn ended(outcome: Outcome) -> Event {
        Event::RunEnded { run_id: RunId([1; 16]), outcome, reason: String::new() }
    }

    fn record(events: Vec<Event>) -> Record {
        Record {
            revision: Revision(7),
            time: Timestamp(0),
            request_id: None,
            principal: "".into(),
            events,
            facts: Vec::new(),
        }
    }

    fn value(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    #[test]
    fn everything_is_there_from_the_start() {
        let text = Metrics::new().text();
        for series in
            ["semel_trigger_fires_total{source=\"backfill\"}", "semel_trigger_skipped_total{reason=\"quota\"}"]
        {
            assert_eq!(value(&text, series), Some(0.0), "{series} in {text}");
        }
        assert_eq!(value(&text, "semel_runs_ended_total{state=\"expired\"}"), Some(0.0), "{text}");
        assert!(text.contains("semel_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn what_happened_is_counted_once() {
        let metrics = Metrics::new();
        let run = Some(RunId([1; 16]));
        let events = vec![
            fired(FireSource::Schedule, 3_000, run),
            fired(FireSource::Schedule, 9_000, None),
            fired(FireSource::Hand, 0, run),
            skipped(SkipReason::Misfire, 40),
            skipped(SkipReason::Misfire, 2),
            ended(Outcome::Failed),
        ];
        metrics.count(5, &[record(events), record(vec![ended(Outcome::Failed)])], Revision(8));
        metrics.count(0, &[], Revision(8));
        let text = metrics.text();
        for (series, expected) in [
            ("semel_trigger_fires_total{source=\"schedule\"}", 1.0),
            ("semel_trigger_fires_total{source=\"hand\"}", 1.0),
            ("semel_trigger_skipped_total{reason=\"misfire\"}", 42.0),
            ("semel_trigger_lateness_seconds_sum", 3.0),
            ("semel_trigger_lateness_seconds_count", 1.0),
            ("semel_runs_ended_total{state=\"failed\"}", 2.0),
            ("semel_engine_batches_total", 1.0),
            ("semel_engine_batch_requests_sum", 5.0),
            ("semel_log_revision", 8.0),
        ] {
            assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
        }
    }
}
