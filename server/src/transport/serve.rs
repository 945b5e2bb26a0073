//! Serves HTTP on the connections that come in, each in a task of its own, from its first byte to its end.
//!
//! Context: tonic's server gives every connection the same age, so all that came after a restart go at one moment; it tells the
//! streams on them nothing, so a connection with a watch on it goes on for ever; and it leaves connections behind when it is
//! told to end at once. Choice: its loop is written here, on the same hyper, with the same limits. Each connection has an age of
//! its own, its streams are told when it goes, and nothing outlives the loop. It also saves each call tonic's own deadline, which
//! would answer CANCELLED (and a mesh sends that again), and three wrappings.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::body::Incoming as Received;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{sync::watch, task::JoinSet, time};
use tokio_stream::StreamExt as _;

use super::{
    gate::Stage,
    lines::{Lines, Place},
    listen::{Connection, Incoming, Peer},
    open::OpenCalls,
    router::{HEADERS_BYTES_MAX, LOCAL_RESETS_MAX, PENDING_RESETS_MAX, PING_EVERY, PONG_WITHIN, STREAMS_MAX},
    tasks::Tasks,
    web::Web,
    windows::{Window, Windows},
};
use crate::clock;

/// How long a connection that has reached its age may still take to end what is under way on it.
const GRACE: Duration = Duration::from_secs(300);

/// What is kept of a request of HTTP/1.1 before its head is whole, or before its body is read.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// See the module.
pub(super) struct Serve {
    pub(super) service: Arc<Web>,
    /// Where calls are counted.
    pub(super) open: Arc<OpenCalls>,
    /// Where strangers wait for each other.
    pub(super) lines: Lines,
    /// What callers may send before it is read.
    pub(super) windows: Arc<Windows>,
    /// How old connections become, give or take a tenth; none for as old as they like.
    pub(super) age: Option<Duration>,
    /// How far the server is on its way out.
    pub(super) stage: watch::Receiver<Stage>,
}

impl Serve {
    /// Serves until `stop` comes, then until all connections have ended: none of them takes a new call, and the listener is
    /// closed. Dropping it cuts what is left.
    pub(super) async fn run(self, mut incoming: Incoming, stop: impl Future<Output = ()>) {
        let (closing, closed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let connection = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = tasks.join_next() => continue,
                connection = incoming.next() => connection,
            };
            let Some(Ok(connection)) = connection else { break };
            let (stage, closed) = (self.stage.clone(), closed.clone());
            let (age, window) = (self.age.map(clock::around), self.windows.deal());
            let lines = self.lines.of(connection.peer().standing().clone());
            let line = lines.place();
            let calls = Tasks::new(self.open.clone(), lines);
            let life = Life { service: self.service.clone(), stage, closed, line, age, window };
            tasks.spawn(life.live(connection, builder(calls)));
        }
        closing.send_replace(true);
        incoming.close().await;
        while tasks.join_next().await.is_some() {}
    }
}

/// With our limits: the same that the bare echo of the bench has.
fn builder(calls: Tasks) -> Builder<Tasks> {
    let mut builder = Builder::new(calls);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    // Without a timer hyper waits for the head of a request for ever, and by itself it would keep 400 KiB of one.
    builder.http1().timer(TokioTimer::new()).max_buf_size(HEAD_BYTES_MAX);
    builder
}

/// How far a connection is on its way out, for the streams on it. However it ends, nothing that lives for it outlives it.
struct Leaving(Arc<Peer>);

impl Leaving {
    /// It is so far now, if it was not further before.
    fn reach(&self, reached: Stage) {
        self.0.leaving().send_if_modified(|stage| {
            let is_news = *stage < reached;
            *stage = reached.max(*stage);
            is_news
        });
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.reach(Stage::Cut);
    }
}

/// The life of one connection.
struct Life {
    service: Arc<Web>,
    stage: watch::Receiver<Stage>,
    closed: watch::Receiver<bool>,
    line: Place,
    age: Option<Duration>,
    window: Window,
}

impl Life {
    async fn live(mut self, connection: Connection, mut builder: Builder<Tasks>) {
        builder
            .http2()
            .initial_stream_window_size(self.window.stream())
            .initial_connection_window_size(self.window.connection());
        let peer = connection.peer().clone();
        let leaving = Leaving(peer.clone());
        let service = hyper::service::service_fn(move |request: Request<Received>| self.service.serve(request, &peer));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(connection), service));
        let mut end_of_age = pin!(time::sleep(self.age.unwrap_or_default()));
        let (ages, mut is_open, mut is_old) = (self.age.is_some(), true, false);
        loop {
            tokio::select! {
                ended = poll_fn(|context| self.line.poll(context, |context| connection.as_mut().poll(context))) => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended badly");
                    }
                    return;
                }
                Ok(()) = self.stage.changed() => {
                    leaving.reach(*self.stage.borrow_and_update());
                }
                closed = self.closed.changed(), if is_open => {
                    is_open = closed.is_ok() && !*self.closed.borrow_and_update();
                    connection.as_mut().graceful_shutdown();
                }
                () = end_of_age.as_mut(), if ages => {
                    if is_old {
                        tracing::debug!("a connection that is too old is cut");
                        return;
                    }
                    // No new call from here on; what is under way goes on, and streams go elsewhere.
                    is_old = true;
                    connection.as_mut().graceful_shutdown();
                    leaving.reach(Stage::Going);
                    end_of_age.as_mut().reset(clock::timer_now() + GRACE);
                }
            }
        }
    }
}
