//! A steady load in an open loop: calls are sent when they are due, whether or not earlier ones have come back, and their
//! latency counts from when they were due. So a stall shows in every call that it held up. Beside it a probe asks the
//! disk alone, so that a stall of the disk can be told from one of the server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet, time};

use super::{
    Error, Settings, Target,
    crew::{Hand, work_off},
    probe::Probe,
    sample::{Recorder, Sample, Spread, figures},
    site::{NOOP_JOB, Site, wide},
    unary::RunJobCaller,
    whole::{self, SLOTS},
};

/// How often it is looked for calls that are due: the most by which the bench itself delays one.
const TICK: Duration = Duration::from_millis(1);
/// Calls that may be under way: beyond it the server does not keep up, and there is no steady load to speak of.
const UNDER_WAY_MAX: usize = 100_000;
const CONNECTIONS: usize = 8;
/// After what a server of the bench's own forgets requests, finished runs and events: the shortest that it takes.
const KEPT: Duration = Duration::from_secs(60);
/// The part of the peak that is sent.
const PART_OF_PEAK: f64 = 0.5;

/// Measures it: the peak of whole runs first, then half of that for the time that the settings say. A server of the
/// bench's own forgets requests, finished runs and events meanwhile: it is loaded for longer than it keeps them before
/// anything counts.
///
/// # Errors
/// The first failure, or that the server does not keep up.
pub(super) async fn run(settings: &Settings) -> Result<Value, Error> {
    let (site, lead) = match &settings.target {
        Target::Own { parent } => {
            let mut short = wide();
            // How far ahead an id may lie has to be less than the window.
            short.push(("SEMEL_WINDOW_FUTURE_MAX", "10s".to_owned()));
            for kept in ["SEMEL_WINDOW_LENGTH", "SEMEL_RETENTION_RUNS", "SEMEL_RETENTION_EVENTS"] {
                short.push((kept, format!("{}s", KEPT.as_secs())));
            }
            let lead = if settings.steady >= KEPT { KEPT + Duration::from_secs(10) } else { Duration::ZERO };
            (Site::own(parent.as_deref(), short).await?, lead)
        }
        Target::Given { .. } => (Site::open(&settings.target).await?, Duration::ZERO),
    };
    let peak = whole::noops(&site, 1, settings.seconds).await?.rate();
    let rate = (peak * PART_OF_PEAK).max(1.0);
    let recorder = Arc::new(Recorder::new());
    let epoch = Instant::now();
    let hand = Hand::open(&site, NOOP_JOB, SLOTS).await?;
    let worker = recorder.clone();
    // What the worker sees is not what is measured here.
    let working = tokio::spawn(async move { work_off(hand, &worker, epoch, |_| {}).await });
    let loaded = load(&site, &recorder, rate, lead, settings).await;
    recorder.stop();
    _ = working.await;
    let (sample, disk) = loaded?;
    Ok(report(&sample, disk.as_ref(), peak, rate, lead, settings))
}

async fn load(
    site: &Site,
    recorder: &Arc<Recorder>,
    rate: f64,
    lead: Duration,
    settings: &Settings,
) -> Result<(Sample, Option<Histogram<u64>>), Error> {
    let channels = site.connect(CONNECTIONS).await?;
    let callers: Vec<RunJobCaller> =
        channels.into_iter().map(|channel| RunJobCaller::new(site, channel, NOOP_JOB)).collect();
    let room = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let (begun, mut sent, mut tasks) = (Instant::now(), 0_u64, JoinSet::new());
    let mut opened = None;
    let mut tick = time::interval(TICK);
    while begun.elapsed() < lead + settings.steady && !recorder.is_over() {
        tick.tick().await;
        if opened.is_none() && begun.elapsed() >= lead {
            recorder.begin();
            opened = Some((Instant::now(), site.usage(), Probe::start(&settings.target)?));
        }
        while due(begun, rate, sent) <= Instant::now() {
            let Ok(permit) = room.clone().try_acquire_owned() else { return Err(Error::Overrun { rate }) };
            let (mut caller, recorder, due) =
                (callers[sent as usize % callers.len()].clone(), recorder.clone(), due(begun, rate, sent));
            sent += 1;
            tasks.spawn(async move {
                match caller.call().await {
                    Ok(()) => recorder.record(1, due.elapsed()),
                    Err(status) => recorder.fail(Error::refused(status)),
                }
                drop(permit);
            });
            while tasks.try_join_next().is_some() {}
        }
    }
    // What was due in the window counts, however late it comes.
    while tasks.join_next().await.is_some() {}
    recorder.end();
    let Some((opened, before, probe)) = opened else { return Err(Error::Nothing) };
    let sample = recorder.sample(opened.elapsed(), site.usage().since(before))?;
    Ok((sample, probe.map(Probe::stop)))
}

/// When the call with this number is to be sent.
fn due(begun: Instant, rate: f64, number: u64) -> Instant {
    begun + Duration::from_secs_f64(number as f64 / rate)
}

fn report(
    sample: &Sample,
    disk: Option<&Histogram<u64>>,
    peak: f64,
    rate: f64,
    lead: Duration,
    settings: &Settings,
) -> Value {
    let mut row = figures(std::slice::from_ref(sample));
    let mut put = |name: &str, value| _ = row.insert(name.to_owned(), value);
    put("peak_per_s", json!(Spread::of([peak]).map(Spread::json)));
    put("sent_per_s", json!(Spread::of([rate]).map(Spread::json)));
    put("seconds", json!(settings.steady.as_secs_f64()));
    put("lead_seconds", json!(lead.as_secs_f64()));
    put("forgets_meanwhile", json!(lead > KEPT));
    let micros = |disk: &Histogram<u64>, quantile| disk.value_at_quantile(quantile) as f64 / 1e3;
    let disk = disk.map(|disk| {
        json!({
            "writes": disk.len(),
            "p50_us": micros(disk, 0.5),
            "p99_us": micros(disk, 0.99),
            "p999_us": micros(disk, 0.999),
            "max_us": micros(disk, 1.0),
        })
    });
    put("disk_probe", json!(disk));
    Value::Object(row)
}
