//! Keeps a watch going over as many streams as it takes, and hands on what they tell. What a message means stands in
//! `course`, what follows from a failure in `reconnect`.
//!
//! A program may be slower than what happens. Then the stream is not held: what nobody reads would fill the connection's
//! window, which other calls share, and many small frames that lie there make HTTP/2 close the connection for all of
//! them. The stream is let go of instead, and another one goes on from the last token once half of the buffer is free; it
//! costs the server one call for each half buffer, and nothing in between. Only in the middle of a snapshot, where there
//! is no such token, the stream is held: its messages are few and large.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message as _;
use semel_proto::v1::{AuthNotice, AuthStatus, GoingAway, WatchResponse, watch_response::Kind};
use tonic::Code;

use super::{
    buffer::Outlet,
    course::Course,
    item::{Item, Told},
    reconnect::{self, Next, Troubles},
    session::{NoStream, Renewal, Session},
};
use crate::{
    client::Client,
    error::{Error, ErrorKind},
    refusal::{Origin, Refusal},
    retry::{self, Class, RetryOptions},
};

/// The longest that a server may ask to wait, so that moments can be added up without care.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// See the module.
pub(super) struct Reader {
    client: Client,
    course: Course,
    out: Arc<Outlet>,
    pace: RetryOptions,
    troubles: Troubles,
    /// Until when the first stream has to be open; nothing once it was.
    patience: Option<Instant>,
    /// The credentials that were refused last.
    refused: Option<u64>,
}

/// How a stream ended.
enum Ended {
    /// Another one is to be opened, after this wait.
    Reopen(Duration),
    /// There was no room for what the last message told.
    LetGo(Vec<Item>, usize),
    /// The other side ended it, or it was lost.
    Failed(NoStream),
}

impl Reader {
    pub(super) fn new(client: Client, course: Course, out: Outlet) -> Self {
        let core = client.core();
        let (can_refresh, bridges) = (core.auth.can_refresh(), course.bridges());
        let troubles = Troubles { can_refresh, bridges, ..Troubles::default() };
        let patience = Some(Instant::now() + core.overall_timeout);
        let pace = reconnect::pace(&core.retry);
        Self { pace, troubles, patience, refused: None, client, course, out: Arc::new(out) }
    }

    /// Reads until the program wants no more, or the watch has ended.
    pub(super) async fn run(mut self) {
        let out = self.out.clone();
        tokio::select! {
            error = self.read() => out.end(error),
            () = out.closed() => {}
        }
    }

    async fn read(&mut self) -> Error {
        loop {
            let ended = match Session::open(&self.client, self.course.request(), self.refused).await {
                Ok(session) => self.live(session).await,
                Err(no_stream) => Ended::Failed(no_stream),
            };
            match ended {
                Ended::Reopen(wait) => tokio::time::sleep(wait).await,
                Ended::LetGo(items, bytes) => {
                    tracing::debug!("the program is slower than the watch, letting go of the stream for a while");
                    self.out.put_late(items, bytes).await;
                }
                Ended::Failed(no_stream) => {
                    if let Err(error) = self.recover(no_stream).await {
                        return error;
                    }
                }
            }
        }
    }

    /// Reads one stream to its end.
    async fn live(&mut self, session: Session) -> Ended {
        let Session { opened, resume_token, mut stream, mut renewal } = session;
        self.patience = None;
        self.refused = None;
        self.troubles.refreshed = false;
        match self.course.open(&opened, resume_token) {
            Ok(items) if items.is_empty() => {}
            Ok(items) => self.out.put(items, 0).await,
            Err(why) => {
                let refusal = Refusal::local(Code::Ok, why, Origin::Other);
                return Ended::Failed(renewal.ended(refusal.into()));
            }
        }
        let mut has_fresh = false;
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Ok(message) => {
                        if let ControlFlow::Break(ended) = self.on_message(message, &mut renewal).await {
                            return ended;
                        }
                    }
                    Err(refusal) => return Ended::Failed(renewal.ended(refusal)),
                },
                () = renewal.fresh() => has_fresh = true,
            }
            if has_fresh && self.course.is_at_token() {
                tracing::debug!("going on with fresh credentials over another stream");
                return Ended::Reopen(Duration::ZERO);
            }
        }
    }

    async fn on_message(&mut self, message: WatchResponse, renewal: &mut Renewal) -> ControlFlow<Ended> {
        let bytes = message.encoded_len();
        let (mut notice, mut farewell) = (None, None);
        match &message.kind {
            Some(Kind::AuthNotice(told)) => notice = on_notice(told, renewal),
            Some(Kind::GoingAway(going)) => farewell = Some(self.farewell(going)),
            Some(Kind::Snapshot(_) | Kind::SnapshotEnd(_) | Kind::Events(_) | Kind::Progress(_)) => {
                self.troubles.failures = 0;
                self.troubles.faults = 0;
            }
            Some(Kind::Opened(_)) | None => tracing::debug!("a message that is not known here, passing over it"),
        }
        let mut items = self.course.take(message);
        items.extend(notice.map(|notice| self.course.behind_all(notice)));
        if let Some(wait) = farewell {
            return ControlFlow::Break(Ended::Reopen(wait));
        }
        if items.is_empty() {
            return ControlFlow::Continue(());
        }
        match self.out.try_put(items, bytes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(items) if self.course.is_at_token() => ControlFlow::Break(Ended::LetGo(items, bytes)),
            Err(items) => {
                self.out.put(items, bytes).await;
                ControlFlow::Continue(())
            }
        }
    }

    /// The server is about to stop: how long to wait before going on elsewhere. All its watchers come at once.
    fn farewell(&mut self, going: &GoingAway) -> Duration {
        self.troubles.failures = self.troubles.failures.saturating_add(1);
        let after = going.reconnect_after.and_then(|after| Duration::try_from(after).ok()).unwrap_or_default();
        tracing::info!(?after, "the server is going away, going on over another stream");
        after.min(WAIT_MAX) + self.pace.backoff(self.troubles.failures, fastrand::f64())
    }

    /// Prepares the next stream, or gives the error by which the watch ends.
    async fn recover(&mut self, no_stream: NoStream) -> Result<(), Error> {
        self.troubles.failures = self.troubles.failures.saturating_add(1);
        let (error, next) = self.judge(no_stream);
        tracing::debug!(%error, ?next, "a watch has no stream");
        let wait = match next {
            Next::Again(wait) | Next::Refresh(wait) | Next::Bridge(wait, _) => wait.min(WAIT_MAX),
            Next::End => return Err(error),
        };
        if self.patience.is_some_and(|until| Instant::now() + wait >= until) {
            return Err(error);
        }
        match next {
            Next::Bridge(_, oldest_revision) => self.course.bridge(oldest_revision),
            Next::Again(_) => {
                if let Some(item) = self.course.lose(error) {
                    self.out.put(vec![item], 0).await;
                }
            }
            // What is mended at once is no news.
            Next::Refresh(_) | Next::End => {}
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn judge(&mut self, no_stream: NoStream) -> (Error, Next) {
        let unit = fastrand::f64();
        match no_stream {
            NoStream::Unsigned(error) => {
                let lasting = !error.may_retry() && error.kind() != ErrorKind::Transport;
                let wait = self.pace.backoff(self.troubles.failures, unit);
                let wait = error.retry_after().unwrap_or_default().saturating_add(wait);
                let next = if lasting || self.pace.attempts_max <= 1 { Next::End } else { Next::Again(wait) };
                (error, next)
            }
            NoStream::Refused { refusal, request_id, generation } => {
                if retry::classify(&refusal) == Class::Fault {
                    self.troubles.faults += 1;
                }
                self.troubles.own_token = self.course.has_own_token();
                let next = reconnect::decide(&refusal, &self.troubles, &self.pace, unit);
                if matches!(next, Next::Refresh(_)) {
                    self.refused = Some(generation);
                    self.troubles.refreshed = true;
                }
                (Error::new(refusal, request_id, self.troubles.failures), next)
            }
        }
    }
}

/// What the server says of the credentials. Those that can be renewed are, and nobody has to know; that they have ended,
/// the status says that follows.
fn on_notice(notice: &AuthNotice, renewal: &mut Renewal) -> Option<Told> {
    let auth = notice.auth.as_ref();
    let status = auth.map_or(AuthStatus::Unspecified, |auth| auth.status());
    if status != AuthStatus::Expiring {
        tracing::warn!(status = status.as_str_name(), "the credentials of a watch are refused");
        return None;
    }
    if renewal.hurry() {
        return None;
    }
    Some(Told::CredentialsExpiring { expire_time: auth.and_then(|auth| auth.expire_time) })
}
