//! The engine of a shard: one thread that owns the state and the store, and does everything that changes anything.
//!
//! ```text
//! Handle::submit(Envelope) ─▶ queue ─▶ thread ─▶ Engine::step: prefetch → dedup → permit → decide → evolve
//!                                                      └▶ one commit ─▶ answers, orders to workers, wake-ups
//! ```
//!
//! [`Engine::step`] is synchronous and takes the time as an argument, so a simulation can drive it. The thread around
//! it ([`thread`]) only receives, calls it, and hands out what came of it. That no mutation goes round the dedup window
//! holds by construction: the state and the store are owned by value in here, and the only thing that a caller can hand
//! in is an [`Envelope`], which cannot be made without a principal and a request id.

mod admission;
mod answer;
mod commit;
mod deeds;
mod desk;
mod directory;
mod dispatch;
mod envelope;
mod explain;
mod feed;
mod handle;
mod in_flight;
mod lane;
mod liveness;
mod message;
mod passages;
mod replies;
mod step;
mod thread;
mod upkeep;
mod waiters;
mod window;
mod worker_stream;
mod workers;

pub(crate) use self::admission::spread;
pub use self::{
    admission::{Bounds, Load, QUEUE_LIMIT},
    answer::{Answer, Disposition, Refused, Submitted},
    directory::{AppEntry, Directory},
    dispatch::{Assignment, CancelReason, Order},
    envelope::Envelope,
    explain::{Explanation, ExplanationKind, explain},
    feed::{Fed, Feed},
    handle::{Handle, Parts, Pending, PendingAll, Stopped, View},
    liveness::Progress,
    passages::{Passage, PassageKind, PassageSender, Passages},
    step::{Engine, History, Options, StepOutput},
    thread::start,
    upkeep::{Forgot, Retention},
    waiters::Waiters,
    worker_stream::WorkerStream,
    workers::{Connected, Crew, Hello, SessionId},
};
