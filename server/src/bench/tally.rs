//! Watchers of the bench: many streams of `Watch`, read by a stub that decodes only what is counted, and the count itself.
//! Every one of them looks that its events come in order.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use prost::Message;
use semel_proto::v1;
use tokio::{sync::Notify, task::JoinSet};
use tonic::{Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use super::{
    Error,
    sample::{histogram, nanos},
    site::{Site, authorized},
};

const PATH: &str = "/semel.v1.WatchService/Watch";
/// Streams that are opened at a time.
const OPENING_MAX: usize = 64;

/// A `WatchResponse`, as far as it is counted.
#[derive(Clone, PartialEq, Message)]
struct Heard {
    #[prost(message, optional, tag = "3")]
    opened: Option<Nothing>,
    #[prost(message, optional, tag = "6")]
    events: Option<HeardEvents>,
}

#[derive(Clone, PartialEq, Message)]
struct HeardEvents {
    #[prost(message, repeated, tag = "1")]
    events: Vec<HeardEvent>,
}

/// An `Event`, as far as it is counted.
#[derive(Clone, PartialEq, Message)]
struct HeardEvent {
    #[prost(int64, tag = "1")]
    revision: i64,
    #[prost(message, optional, tag = "2")]
    time: Option<prost_types::Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// What all watchers together have heard.
#[derive(Debug, Default)]
pub(super) struct Tally {
    delivered: AtomicU64,
    /// How late, by connection: each is written by the few watchers of one.
    late: Vec<Mutex<Histogram<u64>>>,
    failed: Mutex<Option<Error>>,
    news: Notify,
}

/// The watchers, as long as they are held.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) tally: Arc<Tally>,
    // Aborted when they are dropped.
    _watching: JoinSet<()>,
}

impl Crowd {
    /// Opens so many watchers over so many connections, each with its own request.
    ///
    /// # Errors
    /// The first that is refused.
    pub(super) async fn open(
        site: &Site,
        count: usize,
        connections: usize,
        request: impl Fn(usize) -> v1::WatchRequest,
    ) -> Result<Self, Error> {
        let channels = site.connect(connections).await?;
        let late = channels.iter().map(|_| Mutex::new(histogram())).collect();
        let tally = Arc::new(Tally { late, ..Tally::default() });
        let mut watching = JoinSet::new();
        let mut opening = JoinSet::new();
        for number in 0..count {
            if opening.len() >= OPENING_MAX {
                settle(&mut opening, &mut watching).await?;
            }
            let at = number % channels.len();
            let (channel, tally) = (channels[at].clone(), tally.clone());
            let request = authorized(&site.authorization(), request(number));
            opening.spawn(async move { Ok((open(channel, request).await?, tally, at)) });
        }
        while !opening.is_empty() {
            settle(&mut opening, &mut watching).await?;
        }
        Ok(Self { tally, _watching: watching })
    }
}

/// A watcher who has opened and does not read, as a process does that was stopped.
pub(super) struct Held(tonic::Streaming<Heard>);

impl Held {
    /// Opens it, over a connection of its own.
    ///
    /// # Errors
    /// If it is refused.
    pub(super) async fn open(site: &Site, request: v1::WatchRequest) -> Result<Self, Error> {
        let channel = site.connect(1).await?.remove(0);
        open(channel, authorized(&site.authorization(), request)).await.map(Self).map_err(Error::refused)
    }

    /// Reads on; gives how long it took until so many events had come, all in order.
    ///
    /// # Errors
    /// What it met, or that events are missing.
    pub(super) async fn catch_up(self, count: u64, patience: Duration) -> Result<Duration, Error> {
        let tally = Arc::new(Tally { late: vec![Mutex::new(histogram())], ..Tally::default() });
        let mut watching = JoinSet::new();
        let for_task = tally.clone();
        watching.spawn(async move { for_task.watch(self.0, 0).await });
        tally.reach(count, patience).await
    }
}

type Opened = (tonic::Streaming<Heard>, Arc<Tally>, usize);

/// Waits for one to be open, and lets it watch.
async fn settle(opening: &mut JoinSet<Result<Opened, Status>>, watching: &mut JoinSet<()>) -> Result<(), Error> {
    let Some(opened) = opening.join_next().await else { return Ok(()) };
    let opened = opened.unwrap_or_else(|_| Err(Status::internal("a watcher died while it opened")));
    let (messages, tally, at) = opened.map_err(Error::refused)?;
    watching.spawn(async move { tally.watch(messages, at).await });
    Ok(())
}

async fn open(channel: Channel, request: tonic::Request<v1::WatchRequest>) -> Result<tonic::Streaming<Heard>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<v1::WatchRequest, Heard>::default();
    let mut messages = grpc.server_streaming(request, PathAndQuery::from_static(PATH), codec).await?.into_inner();
    match messages.message().await? {
        Some(Heard { opened: Some(_), .. }) => Ok(messages),
        other => Err(Status::data_loss(format!("a watch did not open, but said {other:?}"))),
    }
}

impl Tally {
    async fn watch(&self, mut messages: tonic::Streaming<Heard>, at: usize) {
        let mut last = 0;
        loop {
            let events = match messages.message().await {
                Ok(Some(Heard { events: Some(heard), .. })) => heard.events,
                Ok(Some(_)) => continue,
                Ok(None) => return self.fail(Status::unavailable("the stream of a watcher ended")),
                Err(status) => return self.fail(status),
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            for event in &events {
                if event.revision <= last {
                    return self.fail(Status::data_loss("an event came twice, or out of order"));
                }
                last = event.revision;
                let mut late = self.late[at].lock().unwrap_or_else(PoisonError::into_inner);
                late.saturating_record(nanos(now.saturating_sub(since_epoch(event.time.as_ref()))));
            }
            self.delivered.fetch_add(events.len() as u64, Ordering::Release);
            self.news.notify_one();
        }
    }

    fn fail(&self, status: Status) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Error::refused(status));
        self.news.notify_one();
    }

    /// How many events were delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Waits until so many were delivered; gives how long that took. More than that is a failure, as is less for long.
    ///
    /// # Errors
    /// What a watcher met, or that events are missing.
    pub(super) async fn reach(&self, count: u64, patience: Duration) -> Result<Duration, Error> {
        let begun = Instant::now();
        while self.delivered() < count {
            if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(error);
            }
            if tokio::time::timeout(patience, self.news.notified()).await.is_err() {
                let missing = count - self.delivered();
                return Err(Error::refused(Status::data_loss(format!("{missing} events were not delivered"))));
            }
        }
        if self.delivered() > count {
            return Err(Error::refused(Status::data_loss("more events came than happened")));
        }
        Ok(begun.elapsed())
    }

    /// How late events were since the last call.
    pub(super) fn take_late(&self) -> Histogram<u64> {
        let mut all = histogram();
        for late in &self.late {
            let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
            // They have the same bounds, so they add up.
            let _ = all.add(&*late);
            late.reset();
        }
        all
    }
}

fn since_epoch(time: Option<&prost_types::Timestamp>) -> Duration {
    let time = time.cloned().unwrap_or_default();
    Duration::new(time.seconds.unsigned_abs(), time.nanos.unsigned_abs())
}
