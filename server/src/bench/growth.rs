//! The store as it grows: memory, start and speed with many pending runs, and with many remembered requests. Grown through
//! the protocol and nothing else, so that what lies there is what callers would leave there.
//!
//! A remembered request need not leave a run behind: a call whose unique key is held already is answered with the run that
//! holds it, and remembered as any other. That is the cheapest way to many records without as many runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use semel_proto::v1::{self, submit_result::Outcome};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    Error, Settings,
    procfs::{self, Memory},
    sample::{Sample, Spread, figures},
    site::{IDLE_JOB, Site, wide},
    stream::{self, Flow, Submissions, submission},
    unary::{self, PAYLOAD, Shape, run_job},
};

/// How far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// Requests that are remembered, without runs of their own.
    pub(crate) records: u64,
    /// Runs that are pending.
    pub(crate) pending: u64,
}

/// What a record and a pending run take on disk at most, with free pages; and what is to stay free.
const RECORD_BYTES: u64 = 900;
const PENDING_BYTES: u64 = 2500;
const SPARE_BYTES: u64 = 1 << 30;
/// Into how many parts the growth is cut, each with its rate.
const BUCKETS: u64 = 10;
/// Items in a message, and outstanding.
const PER_MESSAGE: u64 = 100;
const OUTSTANDING: u64 = 1024;
/// The load that compares a grown store with an empty one.
const ALONE: Shape = Shape { in_flight: 1, connections: 1 };
const UNARY: Shape = Shape { in_flight: 512, connections: 8 };
const STREAM: Flow = Flow { outstanding: 1024, per_message: 100 };

/// Grows two stores, one with pending runs and one with records.
///
/// # Errors
/// The first failure.
pub(super) async fn run(settings: &Settings, growth: &Growth, tell: &(dyn Fn(String) + Sync)) -> Result<Value, Error> {
    let parent = settings.target.parent();
    let pending = {
        let mut grown = Grown::new(parent, None).await?;
        grown.grow(growth.pending, "pending runs", tell).await?;
        let mut report = grown.report(growth.pending).await?;
        report["compared_with_empty"] = compare(settings, parent, &grown.site, tell).await?;
        report
    };
    let mut grown = Grown::new(parent, Some("held")).await?;
    // A tenth of it first, so that memory can be told from its growth.
    let first = growth.records / 10;
    grown.grow(first, "remembered requests", tell).await?;
    let small = grown.report(first).await?;
    grown.grow(growth.records - first, "remembered requests", tell).await?;
    let mut large = grown.report(growth.records).await?;
    large["compared_with_empty"] = compare(settings, parent, &grown.site, tell).await?;
    Ok(json!({ "pending_runs": pending, "records_first": small, "records": large }))
}

/// Whether the disk has room for it, to be asked before anything is written.
///
/// # Errors
/// [`Error::Space`].
pub(super) fn check_space(parent: Option<&Path>, growth: &Growth) -> Result<(), Error> {
    let folder = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    fits(procfs::free_bytes(&folder), growth)
}

/// What is not known is no reason to refuse.
fn fits(free: Option<u64>, growth: &Growth) -> Result<(), Error> {
    // The two stores are not there at the same time.
    let needed = (growth.records * RECORD_BYTES).max(growth.pending * PENDING_BYTES) + SPARE_BYTES;
    match free {
        Some(free) if free < needed => Err(Error::Space { needed_gb: needed as f64 / 1e9, free_gb: free as f64 / 1e9 }),
        _ => Ok(()),
    }
}

/// A server of its own, and what was put into it.
struct Grown {
    site: Site,
    /// The key that all calls bear, if they are to leave no run.
    key: Option<&'static str>,
    /// Memory before anything was put in.
    empty: Option<Memory>,
    buckets: Vec<Value>,
    items: u64,
}

impl Grown {
    async fn new(parent: Option<&Path>, key: Option<&'static str>) -> Result<Self, Error> {
        let site = Site::own(parent, wide()).await?;
        let empty = site.memory();
        Ok(Self { site, key, empty, buckets: Vec::new(), items: 0 })
    }

    async fn grow(&mut self, items: u64, what: &str, tell: &(dyn Fn(String) + Sync)) -> Result<(), Error> {
        let mut left = items;
        let bucket = (items / BUCKETS).max(1);
        while left > 0 {
            let now = bucket.min(left);
            tell(format!("{} {what}", self.items + now));
            let (app, key, submissions) = (self.site.app.clone(), self.key, stream::open(&self.site).await?);
            // On a thread of the runtime, where the connection is served.
            let filling = tokio::spawn(fill(submissions, app, key, now));
            let took = filling.await.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
            let took = took.map_err(Error::refused)?;
            self.items += now;
            left -= now;
            self.buckets.push(json!({ "items": self.items, "rate_per_s": (now as f64 / took.as_secs_f64()).round() }));
        }
        Ok(())
    }

    /// Memory as it is, then the server is killed and started again on what it has.
    async fn report(&mut self, items: u64) -> Result<Value, Error> {
        let grown = self.site.memory();
        let start = self.site.restart().await?;
        let restarted = self.site.memory();
        let json = |memory: Option<Memory>| memory.map(Memory::json);
        Ok(json!({
            "items": items,
            "memory_empty": json(self.empty),
            "memory": json(grown),
            "memory_after_restart": json(restarted),
            "start_seconds": start.as_secs_f64(),
            "store_bytes": self.site.store_bytes(),
            "buckets": self.buckets,
        }))
    }
}

/// Sends so many items over one stream, and waits for each to be durable; gives how long it took.
async fn fill(submissions: Submissions, app: String, key: Option<&str>, items: u64) -> Result<Duration, Status> {
    let (up, mut down) = submissions;
    let begun = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < items {
        while sent < items && sent - answered + PER_MESSAGE <= OUTSTANDING {
            let count = PER_MESSAGE.min(items - sent);
            _ = up.send(submission((0..count).map(|_| item(&app, key)).collect()));
            sent += count;
        }
        let answer = down.message().await?.ok_or_else(|| Status::unavailable("the stream ended"))?;
        for result in &answer.results {
            if let Some(Outcome::Refused(refused)) = &result.outcome {
                return Err(Status::new(refused.code.into(), refused.message.clone()));
            }
        }
        answered += answer.results.len() as u64;
    }
    Ok(begun.elapsed())
}

fn item(app: &str, key: Option<&str>) -> v1::RunJobRequest {
    let unique_key = key.map(|key| v1::UniqueKey { key: key.to_owned(), hold: None });
    v1::RunJobRequest { unique_key, ..run_job(app, IDLE_JOB, PAYLOAD.to_vec()) }
}

/// The same loads on the grown store and on an empty one, in turns.
async fn compare(
    settings: &Settings,
    parent: Option<&Path>,
    grown: &Site,
    tell: &(dyn Fn(String) + Sync),
) -> Result<Value, Error> {
    let empty = Site::own(parent, wide()).await?;
    let (mut alone, mut unary, mut streamed) = <([Vec<Sample>; 2], [Vec<Sample>; 2], [Vec<Sample>; 2])>::default();
    for round in 0..settings.rounds {
        tell(format!("round {}: against an empty store", round + 1));
        for (at, site) in [&empty, grown].into_iter().enumerate() {
            alone[at].push(unary::runs(site, ALONE, settings.seconds).await?);
        }
        for (at, site) in [&empty, grown].into_iter().enumerate() {
            unary[at].push(unary::runs(site, UNARY, settings.seconds).await?);
        }
        for (at, site) in [&empty, grown].into_iter().enumerate() {
            streamed[at].push(stream::runs(site, IDLE_JOB, STREAM, settings.seconds).await?);
        }
    }
    let of = |[empty, grown]: &[Vec<Sample>; 2]| {
        let ratios = grown.iter().zip(empty).map(|(grown, empty)| grown.rate() / empty.rate());
        json!({ "empty": figures(empty), "grown": figures(grown), "ratio": Spread::of(ratios).map(Spread::json) })
    };
    Ok(json!({ "job_1": of(&alone), "job_512": of(&unary), "submit_100": of(&streamed) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_told_with_both_figures() {
        let growth = Growth { records: 10_000_000, pending: 1_000_000 };
        let said = fits(Some(3_000_000_000), &growth).expect_err("too small").to_string();
        assert!(said.contains("needs about 10 GB and 3 GB are free"), "{said}");
        assert!(fits(Some(11_000_000_000), &growth).is_ok() && fits(None, &growth).is_ok());
    }
}
