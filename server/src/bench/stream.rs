//! Streams in a closed loop: one stream, so many items outstanding, some of them in each message.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Error,
    echo::{EchoClient, questions},
    sample::{Recorder, Sample},
    site::EchoSite,
    unary::window,
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
