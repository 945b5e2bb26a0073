//! Waiting for runs to end. A call that waits holds its answer back for some seconds, which is the cheapest way to the
//! result of a short run; many that wait for longer share one watch of their app instead of asking again and again.
//!
//! The watch only says when to ask: whatever becomes of it, each waiting call then asks for itself, by a call of its own
//! with its own retries and errors. So it cannot be wrong, only late, and a server without it costs nothing.

mod hub;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use semel_proto::v1::{Run, WaitRunRequest, WaitRunResponse};
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use self::hub::{Hub, Join};
use crate::{
    client::Client,
    error::Error,
    refusal::{Origin, Refusal},
};

/// How long one `WaitRun` asks the server to wait: shorter than the 15 s after which common proxies end a call.
const WAIT_STEP: Duration = Duration::from_secs(10);
/// So many waits at a time make a watch worth it: it tells of every end in the app, and not of these alone.
const LOAD: usize = 8;
/// How many apps are watched at a time.
const HUBS_MAX: usize = 16;
/// Waits that may stand in line for a hub to take them.
const JOINS_MAX: usize = 8192;

/// The waits of a client.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    under_way: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By app.
    hubs: BTreeMap<String, mpsc::Sender<Join>>,
    off_until: Option<Instant>,
}

/// Counts a wait as under way for as long as it is held.
struct UnderWay<'a>(&'a Waits);

/// The place of a wait in a hub.
struct Ticket {
    ready: oneshot::Receiver<()>,
    ended: oneshot::Receiver<()>,
}

impl Client {
    /// Waits until a run has ended, however long that takes, and gives it back with its result. An empty app means the
    /// client's own. Fails only where a single `wait_run` fails for good. Many of these at a time share one watch of
    /// their app, where the server has that and the credentials allow it.
    pub async fn wait_until_finished(&self, app: impl Into<String>, run_id: impl Into<String>) -> Result<Run, Error> {
        let request = WaitRunRequest {
            app: app.into(),
            run_id: run_id.into(),
            timeout: prost_types::Duration::try_from(WAIT_STEP).ok(),
            ..Default::default()
        };
        let waits = &self.core().waits;
        let _under_way = waits.enter();
        loop {
            if let Some(run) = finished(self.wait_run(request.clone()).await?)? {
                return Ok(run);
            }
            let Some(mut ticket) = waits.join(self, &request) else { continue };
            if !ticket.is_ready().await {
                continue;
            }
            // It may have ended before the watch began.
            let at_once = WaitRunRequest { timeout: Some(prost_types::Duration::default()), ..request.clone() };
            if let Some(run) = finished(self.wait_run(at_once).await?)? {
                return Ok(run);
            }
            // Whether it has ended or the watch has: the next call says it.
            let _ = ticket.ended.await;
        }
    }
}

fn finished(answer: WaitRunResponse) -> Result<Option<Run>, Error> {
    if !answer.finished {
        return Ok(None);
    }
    answer.run.map(Some).ok_or_else(|| {
        let id = answer.header.map(|header| header.request_id).unwrap_or_default();
        let message = "the answer says finished but holds no run";
        Error::new(Refusal::local(Code::Ok, message, Origin::Other).into(), id, 1)
    })
}

impl Waits {
    fn enter(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// A place in the hub of the run's app; none where a watch is not worth it, or not to be had.
    fn join(&self, client: &Client, request: &WaitRunRequest) -> Option<Ticket> {
        if self.under_way.load(Ordering::Relaxed) <= LOAD {
            return None;
        }
        let app = if request.app.is_empty() { client.core().app.clone() } else { request.app.clone() };
        let (ready, is_ready) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let join = Join { run_id: request.run_id.to_ascii_lowercase(), ready, ended };
        self.hub(client, app)?.try_send(join).ok()?;
        Some(Ticket { ready: is_ready, ended: has_ended })
    }

    fn hub(&self, client: &Client, app: String) -> Option<mpsc::Sender<Join>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.off_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        state.hubs.retain(|_, hub| !hub.is_closed());
        if let Some(hub) = state.hubs.get(&app) {
            return Some(hub.clone());
        }
        if state.hubs.len() >= HUBS_MAX {
            return None;
        }
        let (hub, joins) = mpsc::channel(JOINS_MAX);
        tokio::spawn(Hub::new(client.clone(), &app, joins).run());
        state.hubs.insert(app, hub.clone());
        Some(hub)
    }

    /// For so long, waits do without a watch.
    fn switch_off(&self, span: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.off_until = Some(Instant::now() + span);
    }
}

impl Ticket {
    /// Whether the watch tells of all ends from now on; not, if it does not come about in the time of one step.
    async fn is_ready(&mut self) -> bool {
        matches!(tokio::time::timeout(WAIT_STEP, &mut self.ready).await, Ok(Ok(())))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
