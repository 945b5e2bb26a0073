//! Triggers: what very many of them cost while they wait, and how late they fire while others work. Most are far from
//! firing; a few thousand make a thousand fires a second, at first spread evenly, then all at one instant of each second.
//! Each time that was due must have fired, once, or there are no figures.

mod fires;
mod made;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time;

use self::fires::{Fires, Plan, Shape};
use super::{
    Error, Settings, TRIGGERS, Target,
    crew::{Hand, work_off},
    procfs::{Memory, Usage},
    sample::{Recorder, Sample},
    site::{NOOP_JOB, Site, wide},
    unary::RunJobCaller,
    watch::{anonymous, late, per_watcher as each_of, share},
    whole::SLOTS,
};

/// How many triggers there are, and how long some of them fire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Triggers {
    /// All of them.
    pub(crate) count: u64,
    /// How long they fire, each way.
    pub(crate) fires: Duration,
}

/// Fires a second.
const FIRES_PER_S: u64 = 1000;
/// Triggers that fire, at most: each of them so seldom that its runs do not meet.
const FIRING_MAX: u64 = 10_000;
/// The part of the triggers that fire, if that is less.
const FIRING_PART: u64 = 4;
/// The fewest triggers with which this can be measured.
pub(crate) const COUNT_MIN: u64 = FIRES_PER_S * FIRING_PART;
/// The other load: whole runs a second.
const RUNS_PER_S: f64 = 500.0;
const CONNECTIONS: usize = 4;
/// How long the other load runs before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long fires may be missing before they count as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures all of it, on a server of the bench's own.
///
/// # Errors
/// The first failure; and a time that was due and did not fire, or fired twice.
pub(super) async fn run(settings: &Settings, tell: &(dyn Fn(String) + Sync)) -> Result<Value, Error> {
    let Target::Own { parent } = &settings.target else {
        return Err(Error::OwnOnly { what: TRIGGERS, why: "is killed meanwhile" });
    };
    let Triggers { count, fires: span } = settings.triggers;
    let firing = (count / FIRING_PART).min(FIRING_MAX) / FIRES_PER_S * FIRES_PER_S;
    let quiet = count - 2 * firing;
    let mut site = Site::own(parent.as_deref(), wide()).await?;
    tell(format!("{count} triggers are made"));
    let mut report = waiting(&mut site, quiet).await?;
    tell("the other load alone".to_owned());
    let alone = alone(&site, span).await?;
    let mut fired = Vec::new();
    for shape in [Shape::Spread, Shape::Burst] {
        tell(format!("{FIRES_PER_S} fires a second, {}", shape.name()));
        fired.push(firing_for(&site, shape, firing, span, &alone).await?);
    }
    report["count"] = json!(count);
    report["firing"] = json!(firing);
    report["fires_per_s"] = json!(FIRES_PER_S);
    report["load_per_s"] = json!(RUNS_PER_S);
    report["seconds"] = json!(span.as_secs_f64());
    report["alone"] = json!({
        "run_job": run_job(&alone),
        "server_cpu_share": share(&alone.usage, alone.wall),
    });
    report["fires"] = json!(fired);
    Ok(report)
}

/// Makes those that are far from firing, and starts the server again on them.
async fn waiting(site: &mut Site, count: u64) -> Result<Value, Error> {
    let empty = site.memory();
    let took = made::quiet(site, count).await?;
    let made = site.memory();
    let start = site.restart().await?;
    let restarted = site.memory();
    let anonymous = |memory: Option<Memory>| memory.map(|memory| memory.anonymous);
    let each = |memory| each_of(anonymous(empty), anonymous(memory), usize::try_from(count).unwrap_or(usize::MAX));
    let json = |memory: Option<Memory>| memory.map(Memory::json);
    Ok(json!({
        "waiting": count,
        "made_per_s": count as f64 / took.as_secs_f64(),
        "memory_empty": json(empty),
        "memory": json(made),
        "memory_after_restart": json(restarted),
        "bytes_per_trigger": each(made),
        "bytes_per_trigger_after_restart": each(restarted),
        "start_seconds": start.as_secs_f64(),
        "store_bytes": site.store_bytes(),
    }))
}

/// The other load while no trigger is due.
async fn alone(site: &Site, span: Duration) -> Result<Sample, Error> {
    let recorder = Arc::new(Recorder::new());
    let window = async {
        time::sleep(WARM_UP).await;
        Ok(window(site, &recorder, span).await)
    };
    let (wall, usage) = under_load(site, &recorder, window).await?;
    recorder.sample(wall, usage)
}

/// The same load while triggers fire.
async fn firing_for(site: &Site, shape: Shape, firing: u64, span: Duration, alone: &Sample) -> Result<Value, Error> {
    let recorder = Arc::new(Recorder::new());
    let work = async {
        let (plan, watching) = begin(site, shape, firing, span).await?;
        time::sleep(plan.starts_in()).await;
        let (wall, usage) = window(site, &recorder, span).await;
        let counted = time::timeout(PATIENCE, watching)
            .await
            .map_err(|_| Error::Fires { why: format!("of {} times that were due, some did not fire", plan.count()) })?;
        let fires = counted.unwrap_or_else(|error| Err(Error::Fires { why: error.to_string() }))?;
        Ok((wall, usage, fires))
    };
    let (wall, usage, fires) = under_load(site, &recorder, work).await?;
    let sample = recorder.sample(wall, usage)?;
    Ok(json!({
        "shape": shape.name(),
        "fires": fires.count(),
        "late": late(&fires.late),
        "told": late(&fires.told),
        "server_cpu_us_per_fire": cpu_of_fire(&sample, alone, fires.count()),
        "server_cpu_share": share(&sample.usage, sample.wall),
        "memory": anonymous(site),
        "run_job": run_job(&sample),
    }))
}

type Watching = tokio::task::JoinHandle<Result<Fires, Error>>;

/// Makes those that fire, before the first of them is due, with somebody who watches them. If that took too long (the
/// machine stood still, maybe), others are made: what was due before a trigger was there does not count for it.
async fn begin(site: &Site, shape: Shape, firing: u64, span: Duration) -> Result<(Plan, Watching), Error> {
    for attempt in 0.. {
        let plan = Plan::new(shape, attempt, firing, span);
        let messages = fires::watch(site, &plan).await?;
        made::firing(site, &plan).await?;
        if !plan.starts_in().is_zero() {
            return Ok((plan.clone(), tokio::spawn(fires::collect(messages, plan))));
        }
    }
    unreachable!("attempts do not end")
}

/// What the fires took beyond the other load, for each.
fn cpu_of_fire(sample: &Sample, alone: &Sample, fires: usize) -> Option<f64> {
    let per_s = |sample: &Sample| share(&sample.usage, sample.wall);
    let more = (per_s(sample)? - per_s(alone)?) * sample.wall.as_secs_f64();
    Some(more.max(0.0) * 1e6 / fires as f64)
}

fn run_job(sample: &Sample) -> Value {
    json!({ "p50_ms": sample.micros(0.5) / 1e3, "p99_ms": sample.micros(0.99) / 1e3 })
}

/// What counts begins now and ends so much later.
async fn window(site: &Site, recorder: &Recorder, span: Duration) -> (Duration, Usage) {
    let (begun, before) = (Instant::now(), site.usage());
    recorder.begin();
    time::sleep(span).await;
    recorder.end();
    (begun.elapsed(), site.usage().since(before))
}

/// Does something while whole runs go through at a steady rate, and a worker ends them and those of the triggers.
async fn under_load<T>(
    site: &Site,
    recorder: &Arc<Recorder>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let (hand, worker) = (Hand::open(site, NOOP_JOB, SLOTS).await?, recorder.clone());
    let working = tokio::spawn(async move { work_off(hand, &worker, Instant::now(), |_| {}).await });
    let channels = site.connect(CONNECTIONS).await?;
    let callers = channels.into_iter().map(|channel| RunJobCaller::new(site, channel, NOOP_JOB)).collect();
    let sending = tokio::spawn(send(callers, recorder.clone()));
    let done = work.await;
    recorder.stop();
    _ = tokio::join!(working, sending);
    done
}

/// Sends runs when they are due, until it is over; how long they take counts from then.
async fn send(callers: Vec<RunJobCaller>, recorder: Arc<Recorder>) {
    let mut tick = time::interval(Duration::from_secs_f64(1.0 / RUNS_PER_S));
    for number in 0.. {
        let due = tick.tick().await.into_std();
        if recorder.is_over() {
            return;
        }
        let (mut caller, recorder) = (callers[number % callers.len()].clone(), recorder.clone());
        tokio::spawn(async move {
            match caller.call().await {
                Ok(()) => recorder.record(1, due.elapsed()),
                Err(status) => recorder.fail(Error::refused(status)),
            }
        });
    }
}
