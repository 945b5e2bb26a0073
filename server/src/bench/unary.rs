//! Unary calls in a closed loop: so many callers, each with one call under way, spread over connections.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use semel_client::RequestId;
use semel_proto::v1::{self, Disposition, job_service_client::JobServiceClient};
use tokio::task::JoinSet;
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::{
    Error,
    cores::Apart,
    echo::EchoClient,
    procfs::Usage,
    sample::{Recorder, Sample},
    site::{EchoSite, IDLE_JOB, Site, authorized},
};

/// The payload of every run here: small, as most are.
pub(super) const PAYLOAD: &[u8] = b"{\"n\":1}";

/// How many calls are under way, over how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) in_flight: usize,
    pub(super) connections: usize,
}

/// Somebody who calls.
#[derive(Clone)]
enum Caller {
    Echo(EchoClient),
    RunJob(RunJobCaller),
}

impl Caller {
    async fn call(&mut self) -> Result<(), Status> {
        match self {
            Self::Echo(echo) => echo.unary().await,
            Self::RunJob(caller) => caller.call().await,
        }
    }
}

/// The generated stub and nothing around it: each call is a new one, under an id of its own.
#[derive(Clone)]
pub(super) struct RunJobCaller {
    stub: JobServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    app: String,
    job: &'static str,
}

impl RunJobCaller {
    pub(super) fn new(site: &Site, channel: Channel, job: &'static str) -> Self {
        let stub = JobServiceClient::new(channel);
        Self { stub, authorization: site.authorization(), app: site.app.clone(), job }
    }

    /// Makes one run.
    pub(super) async fn call(&mut self) -> Result<(), Status> {
        self.call_with(PAYLOAD.to_vec()).await
    }

    /// Makes one run with this payload.
    pub(super) async fn call_with(&mut self, payload: Vec<u8>) -> Result<(), Status> {
        let request = run_job(&self.app, self.job, payload);
        let answer = self.stub.run_job(authorized(&self.authorization, request)).await?;
        match answer.get_ref().header.as_ref().map(v1::ResponseHeader::disposition) {
            Some(Disposition::Executed) => Ok(()),
            other => Err(Status::data_loss(format!("a new call was answered with {other:?}"))),
        }
    }
}

/// A new call.
pub(super) fn run_job(app: &str, job: &str, payload: Vec<u8>) -> v1::RunJobRequest {
    v1::RunJobRequest {
        header: Some(v1::RequestHeader { request_id: fresh_id(), ..Default::default() }),
        app: app.to_owned(),
        job: job.to_owned(),
        payload: Some(v1::Payload { data: payload.into(), content_type: String::new() }),
        ..Default::default()
    }
}

/// A UUIDv7 of now.
pub(super) fn fresh_id() -> String {
    RequestId::mint(SystemTime::now()).to_string()
}

/// Measures the echo.
///
/// # Errors
/// The first call that fails.
pub(super) async fn echo(site: &EchoSite, shape: Shape, seconds: Duration) -> Result<Sample, Error> {
    let channels = site.connect(shape.connections).await?;
    let callers = channels.into_iter().map(|channel| Caller::Echo(EchoClient::new(channel))).collect();
    measure(callers, shape, seconds, site.process(), || site.usage()).await
}

/// Measures `RunJob`.
///
/// # Errors
/// The first call that fails.
pub(super) async fn runs(site: &Site, shape: Shape, seconds: Duration) -> Result<Sample, Error> {
    let channels = site.connect(shape.connections).await?;
    let callers = channels.into_iter().map(|channel| Caller::RunJob(RunJobCaller::new(site, channel, IDLE_JOB)));
    measure(callers.collect(), shape, seconds, site.process(), || site.usage()).await
}

async fn measure(
    callers: Vec<Caller>,
    shape: Shape,
    seconds: Duration,
    server: Option<u32>,
    usage: impl Fn() -> Usage,
) -> Result<Sample, Error> {
    let apart = if shape.in_flight > 1 { Apart::begin(server).await } else { None };
    let recorder = Arc::new(Recorder::new());
    let mut tasks = JoinSet::new();
    for number in 0..shape.in_flight {
        let caller = callers[number % callers.len()].clone();
        tasks.spawn(call_on(caller, recorder.clone()));
    }
    let sample = window(&recorder, seconds, usage, async { while tasks.join_next().await.is_some() {} }).await;
    if let Some(apart) = apart {
        apart.end().await;
    }
    sample
}

async fn call_on(mut caller: Caller, recorder: Arc<Recorder>) {
    while !recorder.is_over() {
        let begun = Instant::now();
        match caller.call().await {
            Ok(()) => recorder.record(1, begun.elapsed()),
            Err(status) => recorder.fail(Error::refused(status)),
        }
    }
}

/// How much longer than it was to be a window stays open in which nothing came back, and how often that is looked at.
const FIRST_MAX: Duration = Duration::from_secs(10);
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// How long callers go on before the window opens: connections, caches and the store's free pages settle meanwhile.
fn warm_up(seconds: Duration) -> Duration {
    (seconds / 4).min(Duration::from_millis(500))
}

/// Opens the window of a load that is under way, closes it, and waits for `ended`.
///
/// # Errors
/// What the load wrote down as failed.
pub(super) async fn window(
    recorder: &Recorder,
    seconds: Duration,
    usage: impl Fn() -> Usage,
    ended: impl Future<Output = ()>,
) -> Result<Sample, Error> {
    let load = async {
        tokio::time::sleep(warm_up(seconds)).await;
        let (before, begun) = (usage(), Instant::now());
        recorder.begin();
        tokio::time::sleep(seconds).await;
        // A machine that is too slow for the window gets a longer one, up to a bound.
        while recorder.is_waiting() && begun.elapsed() < seconds + FIRST_MAX {
            tokio::time::sleep(FIRST_LOOK).await;
        }
        recorder.end();
        let (wall, used) = (begun.elapsed(), usage().since(before));
        recorder.stop();
        (wall, used)
    };
    let ((wall, used), ()) = tokio::join!(load, ended);
    recorder.sample(wall, used)
}
