//! Whole runs: how long a run waits for an idle worker, and how many go through from their submission to their end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};
use tonic::Status;

use super::{
    Error,
    crew::{Hand, Heard, stamped, work_off},
    sample::{Recorder, Sample},
    site::{NOOP_JOB, START_JOB, Site},
    unary::{RunJobCaller, window},
};

/// Runs that are somewhere between their submission and their end.
pub(super) const UNDER_WAY: usize = 1024;
/// Callers that submit them, over how many connections.
const CALLERS: usize = 256;
pub(super) const CONNECTIONS: usize = 8;
/// Slots of each worker: never what a run waits for.
pub(super) const SLOTS: i32 = 2048;

/// Measures the time from the moment at which `RunJob` is sent until an idle worker has the assignment. One run at a time.
///
/// # Errors
/// The first failure.
pub(super) async fn starts(site: &Site, seconds: Duration) -> Result<Sample, Error> {
    let channel = site.connect(1).await?.remove(0);
    let mut caller = RunJobCaller::new(site, channel, START_JOB);
    let mut hand = Hand::open(site, START_JOB, 1).await?;
    let recorder = Arc::new(Recorder::new());
    let writer = recorder.clone();
    let starting = tokio::spawn(async move {
        while !writer.is_over() {
            match start(&mut caller, &mut hand).await {
                Ok(latency) => writer.record(1, latency),
                Err(status) => writer.fail(Error::refused(status)),
            }
        }
    });
    window(&recorder, seconds, || site.usage(), async { _ = starting.await }).await
}

/// One run, from its submission to its end; gives the time until its start.
async fn start(caller: &mut RunJobCaller, hand: &mut Hand) -> Result<Duration, Status> {
    let begun = Instant::now();
    let assigned = async {
        loop {
            // A run that an earlier bench left behind is ended as well.
            if let Heard::Assigned(assignment) = hand.hear().await? {
                return Ok::<_, Status>((assignment, begun.elapsed()));
            }
        }
    };
    let ((), (assignment, latency)) = tokio::try_join!(caller.call(), assigned)?;
    let id = hand.succeed(&assignment);
    // The worker is idle again when its report is acknowledged.
    while !matches!(hand.hear().await?, Heard::Acknowledged(acknowledged) if acknowledged == id) {}
    Ok(latency)
}

/// Measures runs that go through: submitted, assigned, run, reported, complete. The latency is that of the whole way.
///
/// # Errors
/// The first failure.
pub(super) async fn noops(site: &Site, workers: usize, seconds: Duration) -> Result<Sample, Error> {
    let recorder = Arc::new(Recorder::new());
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let epoch = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let hand = Hand::open(site, NOOP_JOB, SLOTS).await?;
        let (recorder, room) = (recorder.clone(), room.clone());
        tasks.spawn(async move {
            let done = |latency| {
                recorder.record(1, latency);
                room.add_permits(1);
            };
            work_off(hand, &recorder, epoch, done).await;
            // Callers that wait for room learn that it is over.
            room.close();
        });
    }
    let channels = site.connect(CONNECTIONS).await?;
    for number in 0..CALLERS {
        let caller = RunJobCaller::new(site, channels[number % channels.len()].clone(), NOOP_JOB);
        tasks.spawn(submit(caller, recorder.clone(), room.clone(), epoch));
    }
    window(&recorder, seconds, || site.usage(), async { while tasks.join_next().await.is_some() {} }).await
}

async fn submit(mut caller: RunJobCaller, recorder: Arc<Recorder>, room: Arc<Semaphore>, epoch: Instant) {
    while !recorder.is_over() {
        let Ok(permit) = room.acquire().await else { return };
        // It comes back when the run has ended.
        permit.forget();
        if let Err(status) = caller.call_with(stamped(epoch)).await {
            recorder.fail(Error::refused(status));
        }
    }
}
