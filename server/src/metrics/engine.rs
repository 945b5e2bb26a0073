//! What the engine counts: what became of requests, batches, commits, runs, times of triggers. Told only what is durable. The
//! series are held from the start, so nothing is looked up for an event.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use semel_core::{
    event::{Event, Record},
    id::{Millis, Revision},
    run::Outcome,
    trigger::{FireSource, SkipReason},
};

use super::{
    series::{Label, Reasons, Series},
    shown::number,
};
use crate::durations::SECONDS;

const SOURCES: [FireSource; 3] = [FireSource::Schedule, FireSource::Hand, FireSource::Backfill];
const SKIPPED: [SkipReason; 6] = [
    SkipReason::Overlap,
    SkipReason::Buffer,
    SkipReason::Misfire,
    SkipReason::Paused,
    SkipReason::Quota,
    SkipReason::Replaced,
];
const OUTCOMES: [Outcome; 4] = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled, Outcome::Expired];
const DISPOSITIONS: [&str; 3] = ["executed", "replayed", "refused"];
const FORGOTTEN: [&str; 3] = ["requests", "runs", "records"];

/// What became of a request in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It took effect now.
    Executed,
    /// It had taken effect earlier.
    Replayed,
    /// It took none, for this reason.
    Refused(&'static str),
}

/// A batch that is durable.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    /// What happened.
    pub(crate) records: &'a [Record],
    /// The position of the last of it.
    pub(crate) revision: Revision,
    /// How long each run that was handed to a worker had waited for one.
    pub(crate) waits: &'a [Millis],
    /// How long it took to become durable; none if nothing was written.
    pub(crate) took: Option<Duration>,
    /// How many requests, runs and records went with it because their time was over.
    pub(crate) forgot: [u64; 3],
    /// More was past its time than went.
    pub(crate) is_more: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct EngineMetrics {
    requests: Series<&'static str>,
    refused: Reasons,
    batches: Counter,
    batch_requests: Histogram,
    queue_waits: Histogram,
    commits: Histogram,
    forgotten: Series<&'static str>,
    behind: Counter,
    revision: Gauge,
    runs_created: Counter,
    runs_ended: Series<Outcome>,
    run_waits: Histogram,
    fires: Series<FireSource>,
    skipped: Series<SkipReason>,
    lateness: Histogram,
}

impl EngineMetrics {
    /// All of them at zero, in a registry whose prefix is the server's.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let runs_created = counter("runs_created", "Runs that were made");
        let batches = counter("engine_batches", "Batches of requests that were decided");
        let help = "Commits that forgot less than was past its time";
        let behind = counter("retention_behind", help);
        let mut histogram = |name: &str, help: &str, unit: Option<Unit>, histogram: Histogram| {
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, histogram.clone()),
                None => registry.register(name, help, histogram.clone()),
            }
            histogram
        };
        let requests_of_batch = Histogram::new(exponential_buckets(1.0, 2.0, 11));
        let batch_requests = histogram("engine_batch_requests", "Requests of one batch", None, requests_of_batch);
        let help = "How long requests waited before the engine took them, one of each turn";
        let queue_waits = histogram("engine_queue_wait", help, Some(Unit::Seconds), Histogram::new(SECONDS));
        let help = "How long commits took until they were durable";
        let commits = histogram("engine_commit_duration", help, Some(Unit::Seconds), Histogram::new(SECONDS));
        // From a millisecond to above an hour.
        let waits = || Histogram::new(exponential_buckets(0.001, 4.0, 12));
        let help = "How long runs waited for a worker before they were handed to one";
        let run_waits = histogram("run_queue_wait", help, Some(Unit::Seconds), waits());
        let help = "By how much runs of schedules were made after their time";
        let lateness = histogram("trigger_lateness", help, Some(Unit::Seconds), waits());
        let revision = Gauge::default();
        registry.register("log_revision", "The position of the last commit", revision.clone());

        let help = "What became of requests in the engine";
        let by_disposition = |value| [("disposition", value)];
        let requests = Series::register(registry, "requests", help, DISPOSITIONS, by_disposition);
        let help = "Requests that the engine refused";
        let refused = Reasons::default();
        registry.register("requests_refused", help, refused.clone());
        let help = "What was forgotten because its time was over";
        let forgotten = Series::register(registry, "forgotten", help, FORGOTTEN, |value| [("what", value)]);
        let runs_ended = Series::register(registry, "runs_ended", "Runs that ended", OUTCOMES, by_outcome);
        let fires = Series::register(registry, "trigger_fires", "Runs that triggers made", SOURCES, by_source);
        let help = "Times of triggers that came to no run";
        let skipped = Series::register(registry, "trigger_skipped", help, SKIPPED, by_reason);
        Self {
            requests,
            refused,
            batches,
            batch_requests,
            queue_waits,
            commits,
            forgotten,
            behind,
            revision,
            runs_created,
            runs_ended,
            run_waits,
            fires,
            skipped,
            lateness,
        }
    }

    /// Why requests are refused.
    pub(super) fn refused(&self) -> &Reasons {
        &self.refused
    }

    /// The log ends there.
    pub(super) fn stands_at(&self, revision: Revision) {
        self.revision.set(i64::try_from(revision.0).unwrap_or(i64::MAX));
    }

    /// Counts what became of the requests of a batch.
    pub(super) fn answered(&self, answers: impl Iterator<Item = Answered>) {
        let mut counts = [0; DISPOSITIONS.len()];
        for answer in answers {
            let at = match answer {
                Answered::Executed => 0,
                Answered::Replayed => 1,
                Answered::Refused(reason) => {
                    self.refused.add(reason);
                    2
                }
            };
            counts[at] += 1;
        }
        let total = counts.iter().sum();
        if total > 0 {
            self.batches.inc();
            self.batch_requests.observe(number(total));
            DISPOSITIONS.into_iter().zip(counts).for_each(|(disposition, count)| self.requests.add(disposition, count));
        }
    }

    /// A request waited so long.
    pub(super) fn waited(&self, waited: Duration) {
        self.queue_waits.observe(waited.as_secs_f64());
    }

    /// Counts what happened.
    pub(super) fn committed(&self, commit: &Commit<'_>) {
        self.stands_at(commit.revision);
        if let Some(took) = commit.took {
            self.commits.observe(took.as_secs_f64());
        }
        commit.waits.iter().for_each(|wait| self.run_waits.observe(seconds(*wait)));
        FORGOTTEN.into_iter().zip(commit.forgot).for_each(|(what, count)| self.forgotten.add(what, count));
        self.behind.inc_by(commit.is_more.into());
        let mut created = 0;
        for event in commit.records.iter().flat_map(|record| &record.events) {
            match event {
                Event::RunCreated { .. } => created += 1,
                Event::RunEnded { outcome, .. } => self.runs_ended.add(*outcome, 1),
                // One that waits is told again when it makes its run, or does not.
                Event::TriggerFired { source, late, run_id: Some(_), .. } => {
                    self.fires.add(*source, 1);
                    if *source == FireSource::Schedule {
                        self.lateness.observe(seconds(*late));
                    }
                }
                Event::TriggerSkipped { reason, count, .. } => self.skipped.add(*reason, *count),
                _ => {}
            }
        }
        self.runs_created.inc_by(created);
    }
}

fn seconds(millis: Millis) -> f64 {
    Duration::from_millis(millis.0.max(0).unsigned_abs()).as_secs_f64()
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
