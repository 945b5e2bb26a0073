//! The one watcher of these tests that does only what a test tells it: no resume, no refresh. It checks the form of every
//! message: which have a header, which have a token, and that revisions never go back.

use std::collections::VecDeque;

use semel_client::v1::{
    self, AuthStatus, WatchRequest, WatchResponse, watch_request::Start, watch_response::Kind,
    watch_service_client::WatchServiceClient,
};
use tonic::{Status, Streaming};

use super::{
    harness::in_time,
    wire::{Wire, auth_status},
};

/// See the module. Dropping it ends its stream.
pub(crate) struct RawWatcher {
    pub(crate) opened: v1::WatchOpened,
    /// Where to go on, as of the last message that said so.
    pub(crate) token: String,
    messages: Streaming<WatchResponse>,
    events: VecDeque<v1::Event>,
    last_revision: i64,
}

/// What a stream came to.
#[derive(Debug)]
pub(crate) struct End {
    /// The last message, if it was no event.
    pub(crate) last: Option<Kind>,
    pub(crate) status: Result<(), Status>,
}

impl RawWatcher {
    /// Opens the stream.
    pub(crate) async fn open(wire: &Wire, request: WatchRequest) -> Result<Self, Status> {
        let mut client = WatchServiceClient::new(wire.channel.clone()).max_decoding_message_size(8 << 20);
        let mut messages = in_time(client.watch(wire.request(request))).await?.into_inner();
        let first = in_time(messages.message()).await?.expect("a first message");
        let Some(Kind::Opened(opened)) = first.kind else { panic!("the first message is `opened`, not {first:?}") };
        let last_revision = opened.revision;
        let header = first.header.expect("a header");
        assert_eq!((auth_status(Some(&header)), header.disposition()), (AuthStatus::Passed, v1::Disposition::ReadOnly));
        let token = first.resume_token;
        Ok(Self { opened, token, messages, events: VecDeque::new(), last_revision })
    }

    /// The same, where it must be served.
    pub(crate) async fn watch(wire: &Wire, request: WatchRequest) -> Self {
        Self::open(wire, request).await.expect("it is served")
    }

    /// The next message, and whether the stream goes on.
    pub(crate) async fn message(&mut self) -> Result<Option<Kind>, Status> {
        let Some(message) = in_time(self.messages.message()).await? else { return Ok(None) };
        let kind = message.kind.expect("every message says something");
        let is_bare = matches!(kind, Kind::Snapshot(_) | Kind::Events(_));
        assert_eq!(message.header.is_none(), is_bare, "{kind:?}");
        if let Some(header) = &message.header {
            assert_ne!(auth_status(Some(header)), AuthStatus::Unspecified);
            assert_eq!(header.disposition(), v1::Disposition::ReadOnly);
        }
        match &kind {
            Kind::Snapshot(_) => assert!(message.resume_token.is_empty(), "there is no going on in a snapshot"),
            Kind::Events(events) => {
                assert_eq!(message.resume_token.is_empty(), events.more);
                assert!(!events.events.is_empty());
                for event in &events.events {
                    assert!(event.revision >= self.last_revision, "revisions never go back");
                    self.last_revision = event.revision;
                }
            }
            _ => {}
        }
        if !message.resume_token.is_empty() {
            self.token = message.resume_token;
        }
        Ok(Some(kind))
    }

    /// The next event; progress before it is passed over.
    pub(crate) async fn event(&mut self) -> v1::Event {
        while self.events.is_empty() {
            match self.message().await.expect("the stream goes on").expect("the stream goes on") {
                Kind::Events(events) => self.events.extend(events.events),
                Kind::Progress(_) => {}
                other => panic!("not an event: {other:?}"),
            }
        }
        self.events.pop_front().expect("there is one")
    }

    /// The next events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<v1::Event> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event().await);
        }
        events
    }

    /// The snapshot, to its end.
    pub(crate) async fn snapshot(&mut self) -> (v1::WatchSnapshot, i64) {
        let mut whole = v1::WatchSnapshot::default();
        loop {
            match self.message().await.expect("the stream goes on").expect("the stream goes on") {
                Kind::Snapshot(rows) => {
                    whole.runs.extend(rows.runs);
                    whole.jobs.extend(rows.jobs);
                    whole.workers.extend(rows.workers);
                }
                Kind::SnapshotEnd(end) => return (whole, end.revision),
                other => panic!("not a part of a snapshot: {other:?}"),
            }
        }
    }

    /// The next verdict on the credentials.
    pub(crate) async fn notice(&mut self) -> v1::AuthResult {
        loop {
            match self.message().await.expect("the stream goes on").expect("the stream goes on") {
                Kind::AuthNotice(notice) => return notice.auth.expect("a verdict"),
                Kind::Progress(_) | Kind::Events(_) => {}
                other => panic!("not a notice: {other:?}"),
            }
        }
    }

    /// The end of the stream; events before it are kept.
    pub(crate) async fn end(&mut self) -> End {
        let mut last = None;
        loop {
            match self.message().await {
                Ok(Some(Kind::Events(events))) => self.events.extend(events.events),
                Ok(Some(kind)) => last = Some(kind),
                Ok(None) => return End { last, status: Ok(()) },
                Err(status) => return End { last, status: Err(status) },
            }
        }
    }

    /// Events that came while something else was waited for.
    pub(crate) fn kept(&mut self) -> Vec<v1::Event> {
        self.events.drain(..).collect()
    }
}

/// A watch of this app and nothing else.
pub(crate) fn of(app: &str) -> WatchRequest {
    WatchRequest { app: app.to_owned(), ..Default::default() }
}

/// The same request, from a token on.
pub(crate) fn resumed(request: &WatchRequest, token: &str) -> WatchRequest {
    let start = Some(Start::ResumeToken(token.to_owned()));
    WatchRequest { start, snapshot: v1::SnapshotScope::Unspecified.into(), ..request.clone() }
}

/// The same request, from a revision on.
pub(crate) fn from(request: &WatchRequest, revision: i64) -> WatchRequest {
    WatchRequest { start: Some(Start::FromRevision(revision)), ..request.clone() }
}

/// The run that an event is about.
pub(crate) fn run_of(event: &v1::Event) -> &v1::RunEvent {
    match &event.subject {
        Some(v1::event::Subject::Run(run)) => run,
        other => panic!("not about a run: {other:?}"),
    }
}
