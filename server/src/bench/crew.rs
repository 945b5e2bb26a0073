//! Workers of the bench: the raw `Work` stream, which ends every attempt at once. Between an assignment and its report
//! they do nothing, so that what is measured is the scheduler.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use semel_proto::v1::{
    self, WorkRequest, WorkResponse, report::Outcome, work_request, work_response,
    worker_service_client::WorkerServiceClient,
};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Error,
    sample::Recorder,
    site::{Site, authorized},
    unary::fresh_id,
};

/// How often a worker says that it is there; well below any lease that a server may have.
const HEARTBEAT: Duration = Duration::from_millis(300);

/// A worker whose stream is open.
#[derive(Debug)]
pub(super) struct Hand {
    up: mpsc::UnboundedSender<WorkRequest>,
    down: Streaming<WorkResponse>,
    beat: time::Interval,
}

/// What a hand hears of its work.
#[derive(Debug)]
pub(super) enum Heard {
    Assigned(Box<v1::Assignment>),
    /// What it said under this id has taken effect, and is durable.
    Acknowledged(String),
}

impl Hand {
    /// Opens a stream for the runs of one job, whose processor has its name.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) async fn open(site: &Site, job: &str, slots: i32) -> Result<Self, Error> {
        let channel = site.connect(1).await?.remove(0);
        let (up, messages) = mpsc::unbounded_channel();
        let hello = v1::Hello {
            app: site.app.clone(),
            worker_id: uuid::Uuid::new_v4().to_string(),
            worker_name: "semel-bench".to_owned(),
            processors: vec![job.to_owned()],
            slots,
            held: Vec::new(),
        };
        _ = up.send(message(String::new(), work_request::Kind::Hello(hello)));
        let request = authorized(&site.authorization(), UnboundedReceiverStream::new(messages));
        let down = WorkerServiceClient::new(channel).work(request).await.map_err(Error::refused)?.into_inner();
        let mut hand = Self { up, down, beat: time::interval(HEARTBEAT) };
        match hand.next().await.map_err(Error::refused)?.kind {
            Some(work_response::Kind::Opened(_)) => Ok(hand),
            other => Err(Error::refused(Status::data_loss(format!("the stream did not open, but said {other:?}")))),
        }
    }

    /// Waits for word of its work.
    ///
    /// # Errors
    /// What ended the stream, and a refusal of what was said.
    pub(super) async fn hear(&mut self) -> Result<Heard, Status> {
        loop {
            let message = self.next().await?;
            match message.kind {
                Some(work_response::Kind::Assignment(assignment)) => return Ok(Heard::Assigned(Box::new(assignment))),
                Some(work_response::Kind::Ack(v1::Ack { refused: None })) => {
                    return Ok(Heard::Acknowledged(message.header.unwrap_or_default().request_id));
                }
                Some(work_response::Kind::Ack(v1::Ack { refused: Some(refused) })) => {
                    return Err(Status::new(refused.code.into(), refused.message));
                }
                _ => {}
            }
        }
    }

    /// Says that an attempt has ended well; gives the id that will be acknowledged.
    pub(super) fn succeed(&self, assignment: &v1::Assignment) -> String {
        let outcome = Outcome::Succeeded(v1::report::Succeeded { result: None });
        let report =
            v1::Report { run_id: assignment.run_id.clone(), attempt: assignment.attempt, outcome: Some(outcome) };
        let id = fresh_id();
        // A stream that has ended says so to whoever listens next.
        _ = self.up.send(message(id.clone(), work_request::Kind::Report(report)));
        id
    }

    async fn next(&mut self) -> Result<WorkResponse, Status> {
        loop {
            tokio::select! {
                message = self.down.message() => {
                    return message?.ok_or_else(|| Status::unavailable("the server ended the stream of a worker"));
                }
                _ = self.beat.tick() => {
                    let beat = work_request::Kind::Heartbeat(v1::Heartbeat {});
                    _ = self.up.send(message(String::new(), beat));
                }
            }
        }
    }
}

fn message(request_id: String, kind: work_request::Kind) -> WorkRequest {
    let header = v1::RequestHeader { request_id, ..Default::default() };
    WorkRequest { header: Some(header), kind: Some(kind) }
}

/// Ends runs at once until the recorder says that it is over. Each run's payload is the moment at which it was submitted;
/// `done` is told how long it took from there until its end was durable.
pub(super) async fn work_off(mut hand: Hand, recorder: &Recorder, epoch: Instant, done: impl Fn(Duration)) {
    let mut reported: HashMap<String, Duration> = HashMap::new();
    while !recorder.is_over() {
        match time::timeout(HEARTBEAT, hand.hear()).await {
            // Nothing to do just now.
            Err(_) => {}
            Ok(Err(status)) => recorder.fail(Error::refused(status)),
            Ok(Ok(Heard::Assigned(assignment))) => {
                let submitted = moment(assignment.payload.as_ref());
                reported.insert(hand.succeed(&assignment), submitted.unwrap_or_else(|| epoch.elapsed()));
            }
            Ok(Ok(Heard::Acknowledged(id))) => {
                if let Some(submitted) = reported.remove(&id) {
                    done(epoch.elapsed().saturating_sub(submitted));
                }
            }
        }
    }
}

/// A payload that says when, as nanoseconds since the epoch of a bench.
pub(super) fn stamped(epoch: Instant) -> Vec<u8> {
    epoch.elapsed().as_nanos().to_string().into_bytes()
}

fn moment(payload: Option<&v1::Payload>) -> Option<Duration> {
    let text = std::str::from_utf8(&payload?.data).ok()?;
    text.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_bears_its_moment() {
        let epoch = Instant::now();
        let payload = v1::Payload { data: stamped(epoch).into(), content_type: String::new() };
        assert!(moment(Some(&payload)).is_some_and(|moment| moment <= epoch.elapsed()));
        assert_eq!(moment(None), None);
    }
}
