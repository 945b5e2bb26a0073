//! What the engine counts: runs, times of triggers, batches. Told only what is durable, so a replay counts nothing again. The
//! series are held from the start, so nothing is looked up for an event.

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
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

/// One series for each value of a closed list. They are all there from the start, so a rate over one that has not come yet is
/// zero, and not nothing.
#[derive(Debug)]
struct Series<T, const N: usize>([(T, Counter); N]);

impl<T: Copy + PartialEq, const N: usize> Series<T, N> {
    fn register(registry: &mut Registry, name: &str, help: &str, values: [T; N], label: fn(T) -> Label) -> Self {
        let family = Family::<Label, Counter>::default();
        registry.register(name, help, family.clone());
        Self(values.map(|value| (value, family.get_or_create_owned(&label(value)))))
    }

    fn add(&self, value: T, count: u64) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == value) {
            counter.inc_by(count);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct EngineMetrics {
    fires: Series<FireSource, 3>,
    skipped: Series<SkipReason, 6>,
    lateness: Histogram,
    runs_created: Counter,
    runs_ended: Series<Outcome, 4>,
    batches: Counter,
    batch_requests: Histogram,
    revision: Gauge,
}

impl EngineMetrics {
    /// All of them at zero, in a registry whose prefix is the server's.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let fires = Series::register(registry, "trigger_fires", "Runs that triggers made", SOURCES, by_source);
        let help = "Times of triggers that came to no run";
        let skipped = Series::register(registry, "trigger_skipped", help, REASONS, by_reason);
        // From a millisecond to above an hour.
        let lateness = Histogram::new(exponential_buckets(0.001, 4.0, 12));
        let help = "By how much runs of schedules were made after their time";
        registry.register_with_unit("trigger_lateness", help, Unit::Seconds, lateness.clone());
        let runs_created = Counter::default();
        registry.register("runs_created", "Runs that were made", runs_created.clone());
        let runs_ended = Series::register(registry, "runs_ended", "Runs that ended", OUTCOMES, by_outcome);
        let batches = Counter::default();
        registry.register("engine_batches", "Batches of requests that were decided", batches.clone());
        let batch_requests = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        registry.register("engine_batch_requests", "Requests of one batch", batch_requests.clone());
        let revision = Gauge::default();
        registry.register("log_revision", "The position of the last commit", revision.clone());
        Self { fires, skipped, lateness, runs_created, runs_ended, batches, batch_requests, revision }
    }

    /// Counts a batch that is durable: how many requests it answered, and what happened.
    pub(super) fn count(&self, requests: usize, records: &[Record], revision: Revision) {
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
                Event::RunEnded { outcome, .. } => self.runs_ended.add(*outcome, 1),
                // One that waits is told again when it makes its run, or does not.
                Event::TriggerFired { source, late, run_id: Some(_), .. } => {
                    self.fires.add(*source, 1);
                    if *source == FireSource::Schedule {
                        self.lateness
                            .observe(std::time::Duration::from_millis(late.0.max(0).unsigned_abs()).as_secs_f64());
                    }
                }
                Event::TriggerSkipped { reason, count, .. } => self.skipped.add(*reason, *count),
                _ => {}
            }
        }
        self.runs_created.inc_by(created);
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
