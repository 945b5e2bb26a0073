//! Watching: many watchers who each want something of their own, and many who want all of it. In each part all events are
//! delivered, in order, or there are no figures. How late an event is counts from its own time, which the server sets
//! before the commit, to its decoding: the commit is in it, and so is what the server's milliseconds cut off.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use semel_proto::v1::{self, job_service_client::JobServiceClient};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time};

use super::{
    Error, Settings,
    crew::{Hand, work_off},
    procfs::Usage,
    sample::Recorder,
    site::{IDLE_JOB, NOOP_JOB, Site, authorized},
    stream::{self, submission},
    tally::{Crowd, Held},
    unary::{PAYLOAD, run_job},
    whole::SLOTS,
};

/// How many watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchers {
    /// Each of them a part of the runs of its own.
    pub(crate) apart: usize,
    /// All of them the same runs.
    pub(crate) together: usize,
}

/// The label by which those who watch apart tell their runs.
const LABEL: &str = "watcher";
/// Whole runs a second, while they watch.
const RUNS_PER_S: f64 = 1000.0;
/// What happens to a run that goes through: it is created, started, and ends.
const EVENTS_OF_RUN: u64 = 3;
/// Connections of those who watch apart; streams of one connection of those who watch together.
const CONNECTIONS: usize = 8;
const STREAMS_MAX: usize = 3200;
/// Deliveries of a burst, about, and of a second where it is paced.
const BURST: usize = 1_000_000;
const PACED_PER_S: f64 = 100_000.0;
/// Events of the paced part.
const PACED: u64 = 20;
/// When events count as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures all parts.
///
/// # Errors
/// The first failure.
pub(super) async fn run(settings: &Settings, tell: &(dyn Fn(String) + Sync)) -> Result<Value, Error> {
    let Watchers { apart: few, together: all } = settings.watchers;
    let mut each = Vec::new();
    for is_one_held in [false, true] {
        tell(format!("{few} watchers apart{}", if is_one_held { ", and one that does not read" } else { "" }));
        each.push(apart(settings, few, is_one_held).await?);
    }
    let mut parts = Vec::new();
    for count in [few, all] {
        tell(format!("{count} watchers together"));
        parts.push(together(settings, count).await?);
    }
    Ok(json!({ "apart": each, "together": parts }))
}

/// Whole runs go through at a steady rate, and each of them has one watcher among many. There may be one more, of all runs,
/// who does not read until it is over, and then must have every event.
async fn apart(settings: &Settings, count: usize, is_one_held: bool) -> Result<Value, Error> {
    let site = Site::open(&settings.target).await?;
    let request = |number: usize| v1::WatchRequest {
        app: site.app.clone(),
        labels: [(LABEL.to_owned(), number.to_string())].into(),
        ..Default::default()
    };
    let memory = anonymous(&site);
    let crowd = Crowd::open(&site, count, CONNECTIONS, request).await?;
    let memory = per_watcher(memory, anonymous(&site), count);
    let held = match is_one_held {
        true => {
            let request =
                v1::WatchRequest { app: site.app.clone(), jobs: vec![NOOP_JOB.to_owned()], ..Default::default() };
            Some(Held::open(&site, request).await?)
        }
        false => None,
    };
    let recorder = Arc::new(Recorder::new());
    let (hand, worker) = (Hand::open(&site, NOOP_JOB, SLOTS).await?, recorder.clone());
    let working = tokio::spawn(async move { work_off(hand, &worker, Instant::now(), |_| {}).await });
    let (begun, before) = (Instant::now(), site.usage());
    let runs = submit(&site, count, settings.seconds * 4).await;
    let reached = match runs {
        Ok(runs) => crowd.tally.reach(runs * EVENTS_OF_RUN, PATIENCE).await.map(|_| runs),
        Err(error) => Err(error),
    };
    let (wall, usage) = (begun.elapsed(), site.usage().since(before));
    recorder.stop();
    _ = working.await;
    let runs = reached?;
    let memory_at_end = anonymous(&site);
    let caught_up = match held {
        Some(held) => Some(held.catch_up(runs * EVENTS_OF_RUN, PATIENCE).await?.as_secs_f64() * 1e3),
        None => None,
    };
    Ok(json!({
        "held": is_one_held,
        "held_caught_up_ms": caught_up,
        "memory_at_end": memory_at_end,
        "watchers": count,
        "connections": CONNECTIONS,
        "runs_per_s": runs as f64 / wall.as_secs_f64(),
        "deliveries": runs * EVENTS_OF_RUN,
        "memory_per_watcher": memory,
        "server_cpu_share": share(&usage, wall),
        "late": late(&crowd.tally.take_late()),
    }))
}

/// Sends runs when they are due; gives how many.
async fn submit(site: &Site, watchers: usize, span: Duration) -> Result<u64, Error> {
    let channels = site.connect(CONNECTIONS).await?;
    let (begun, mut sent, mut calls) = (Instant::now(), 0_u64, JoinSet::new());
    let mut tick = time::interval(Duration::from_millis(1));
    while begun.elapsed() < span {
        tick.tick().await;
        while (sent as f64) < begun.elapsed().as_secs_f64() * RUNS_PER_S {
            let mut run = run_job(&site.app, NOOP_JOB, PAYLOAD.to_vec());
            run.labels.insert(LABEL.to_owned(), (sent as usize % watchers).to_string());
            let request = authorized(&site.authorization(), run);
            let mut client = JobServiceClient::new(channels[sent as usize % CONNECTIONS].clone());
            calls.spawn(async move { client.run_job(request).await.map(drop) });
            sent += 1;
            while let Some(done) = calls.try_join_next() {
                done.unwrap_or(Ok(())).map_err(Error::refused)?;
            }
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap_or(Ok(())).map_err(Error::refused)?;
    }
    Ok(sent)
}

/// Everybody wants the same: first some at a pace, then as many as there are at once.
async fn together(settings: &Settings, count: usize) -> Result<Value, Error> {
    let site = Site::open(&settings.target).await?;
    let request = |_| v1::WatchRequest { app: site.app.clone(), jobs: vec![IDLE_JOB.to_owned()], ..Default::default() };
    let connections = count.div_ceil(STREAMS_MAX).max(CONNECTIONS);
    let memory = anonymous(&site);
    let crowd = Crowd::open(&site, count, connections, request).await?;
    let memory = per_watcher(memory, anonymous(&site), count);
    let (up, mut down) = stream::open(&site).await?;
    // The first message says that the stream is open.
    down.message().await.map_err(Error::refused)?;
    let watchers = count as u64;
    let make = |runs: u64| submission((0..runs).map(|_| run_job(&site.app, IDLE_JOB, PAYLOAD.to_vec())).collect());
    // What is opened last may still be under way; one event to all settles it.
    _ = up.send(make(1));
    crowd.tally.reach(watchers, PATIENCE).await?;
    crowd.tally.take_late();
    let mut pace = time::interval(Duration::from_secs_f64(count as f64 / PACED_PER_S));
    for _ in 0..PACED {
        pace.tick().await;
        _ = up.send(make(1));
    }
    crowd.tally.reach(watchers * (1 + PACED), PATIENCE).await?;
    let paced = crowd.tally.take_late();
    let events = (BURST / count).clamp(1, 1000) as u64;
    let before = site.usage();
    _ = up.send(make(events));
    let wall = crowd.tally.reach(watchers * (1 + PACED + events), PATIENCE).await?;
    let usage = site.usage().since(before);
    let deliveries = watchers * events;
    Ok(json!({
        "watchers": count,
        "connections": connections,
        "memory_per_watcher": memory,
        "paced": late(&paced),
        "burst": {
            "deliveries": deliveries,
            "deliveries_per_s": deliveries as f64 / wall.as_secs_f64(),
            "server_cpu_us_per_delivery": usage.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries as f64),
            "late": late(&crowd.tally.take_late()),
        },
    }))
}

pub(super) fn anonymous(site: &Site) -> Option<u64> {
    site.memory().map(|memory| memory.anonymous)
}

pub(super) fn per_watcher(before: Option<u64>, after: Option<u64>, count: usize) -> Option<u64> {
    before.zip(after).map(|(before, after)| after.saturating_sub(before) / count as u64)
}

pub(super) fn share(usage: &Usage, wall: Duration) -> Option<f64> {
    usage.cpu.map(|cpu| cpu.as_secs_f64() / wall.as_secs_f64())
}

pub(super) fn late(late: &Histogram<u64>) -> Value {
    let millis = |quantile: f64| late.value_at_quantile(quantile) as f64 / 1e6;
    json!({ "p50_ms": millis(0.5), "p99_ms": millis(0.99), "max_ms": millis(1.0) })
}
