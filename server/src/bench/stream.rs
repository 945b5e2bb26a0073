//! Streams in a closed loop: one stream, so many items outstanding, some of them in each message.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use semel_proto::v1::{self, Disposition, job_service_client::JobServiceClient, submit_result::Outcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Error,
    echo::{EchoClient, questions},
    sample::{Recorder, Sample},
    site::{EchoSite, Site, authorized},
    unary::{PAYLOAD, run_job, window},
};

/// How many items are under way, and how many travel in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) outstanding: usize,
    pub(super) per_message: usize,
}

/// Measures the stream of the echo.
///
/// # Errors
/// If it fails or ends.
pub(super) async fn echo(site: &EchoSite, flow: Flow, seconds: Duration) -> Result<Sample, Error> {
    let channel = site.connect(1).await?.remove(0);
    let (up, batches) = mpsc::unbounded_channel();
    let down = EchoClient::new(channel).stream(UnboundedReceiverStream::new(batches)).await.map_err(Error::refused)?;
    let recorder = Arc::new(Recorder::new());
    let count = |batch: super::echo::Batch| Ok(batch.items.len());
    let driver = tokio::spawn(drive(flow, recorder.clone(), up, down, questions, count));
    window(&recorder, seconds, || site.usage(), async { _ = driver.await }).await
}

/// Measures `SubmitRuns`: each item a new run of this job.
///
/// # Errors
/// If the stream ends, or an item is refused.
pub(super) async fn runs(site: &Site, job: &'static str, flow: Flow, seconds: Duration) -> Result<Sample, Error> {
    let recorder = Arc::new(Recorder::new());
    let app = site.app.clone();
    let make = move |count| submission((0..count).map(|_| run_job(&app, job, PAYLOAD.to_vec())).collect());
    let (up, down) = open(site).await?;
    let driver = tokio::spawn(drive(flow, recorder.clone(), up, down, make, |answer| executed(&answer)));
    window(&recorder, seconds, || site.usage(), async { _ = driver.await }).await
}

/// Both ends of a stream of submissions.
pub(super) type Submissions = (mpsc::UnboundedSender<v1::SubmitRunsRequest>, Streaming<v1::SubmitRunsResponse>);

/// Opens a stream of submissions.
///
/// # Errors
/// If the server refuses to.
pub(super) async fn open(site: &Site) -> Result<Submissions, Error> {
    let channel = site.connect(1).await?.remove(0);
    let (up, messages) = mpsc::unbounded_channel();
    let request = authorized(&site.authorization(), UnboundedReceiverStream::new(messages));
    let down = JobServiceClient::new(channel).submit_runs(request).await.map_err(Error::refused)?;
    Ok((up, down.into_inner()))
}

/// A message of these items.
pub(super) fn submission(runs: Vec<v1::RunJobRequest>) -> v1::SubmitRunsRequest {
    v1::SubmitRunsRequest { runs, ..Default::default() }
}

/// How many items a message answers; each of them must have taken effect now.
fn executed(answer: &v1::SubmitRunsResponse) -> Result<usize, Status> {
    for result in &answer.results {
        match &result.outcome {
            Some(Outcome::Run(run)) if run.disposition() == Disposition::Executed => {}
            Some(Outcome::Refused(refused)) => return Err(Status::new(refused.code.into(), refused.message.clone())),
            other => return Err(Status::data_loss(format!("a new item was answered with {other:?}"))),
        }
    }
    Ok(answer.results.len())
}

/// Keeps `outstanding` items under way until the recorder says that it is over. Answers come in the order of the items,
/// in messages of any size.
async fn drive<Up, Down>(
    flow: Flow,
    recorder: Arc<Recorder>,
    up: mpsc::UnboundedSender<Up>,
    mut down: Streaming<Down>,
    make: impl Fn(usize) -> Up,
    count: impl Fn(Down) -> Result<usize, Status>,
) {
    let mut sent: VecDeque<(Instant, usize)> = VecDeque::new();
    let mut outstanding = 0;
    while !recorder.is_over() {
        while outstanding + flow.per_message <= flow.outstanding {
            sent.push_back((Instant::now(), flow.per_message));
            outstanding += flow.per_message;
            // A stream that has ended says so below.
            _ = up.send(make(flow.per_message));
        }
        let answered = match down.message().await {
            Ok(Some(message)) => count(message),
            Ok(None) => Err(Status::unavailable("the stream ended")),
            Err(status) => Err(status),
        };
        match answered {
            Ok(items) => {
                outstanding -= items.min(outstanding);
                settle(&mut sent, items, &recorder);
            }
            Err(status) => recorder.fail(Error::refused(status)),
        }
    }
}

/// Writes down so many answered items, the oldest first.
fn settle(sent: &mut VecDeque<(Instant, usize)>, mut items: usize, recorder: &Recorder) {
    let now = Instant::now();
    while items > 0
        && let Some((begun, left)) = sent.front_mut()
    {
        let settled = items.min(*left);
        recorder.record(settled as u64, now.saturating_duration_since(*begun));
        items -= settled;
        *left -= settled;
        if *left == 0 {
            sent.pop_front();
        }
    }
}
