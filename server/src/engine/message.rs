//! What is said to the engine's thread.

use semel_core::id::{AttemptNumber, Revision, RunId};
use tokio::sync::{mpsc, oneshot};

use super::{
    answer::Submitted,
    dispatch::Order,
    envelope::Envelope,
    feed::FeedSender,
    handle::View,
    in_flight::{Guard, GuardOfAll},
    liveness::{Progress, Pulse},
    workers::{Hello, SessionId},
};

/// A look at the state from outside.
pub(super) type Look = Box<dyn FnOnce(&View<'_>) + Send>;

/// See the module.
pub(super) enum Message {
    Call(Handed),
    /// What a worker reports.
    Report(Box<Envelope>, oneshot::Sender<Submitted>, Guard),
    /// A caller's look.
    Read(Look),
    /// A worker's.
    ReadFor(Look),
    Worker(SessionId, WorkerMessage),
    Feed(FeedSender, oneshot::Sender<Revision>),
    Poke,
    Stop,
}

/// Wishes of callers that are in the queue, with where their answers go and that they are under way.
pub(super) enum Handed {
    One { envelope: Box<Envelope>, reply: oneshot::Sender<Submitted>, guard: Guard },
    Many { envelopes: Vec<Envelope>, reply: oneshot::Sender<Vec<Submitted>>, guard: GuardOfAll },
}

/// What is said of the stream of a worker.
pub(super) enum WorkerMessage {
    Open {
        hello: Hello,
        pulse: Pulse,
        orders: mpsc::Sender<Order>,
        reply: oneshot::Sender<Vec<(RunId, AttemptNumber)>>,
    },
    Close,
    Heard,
    Credit(u32),
    Drain,
    Progress(RunId, Progress),
}
