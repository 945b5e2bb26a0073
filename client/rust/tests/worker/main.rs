//! A worker against a server that each test plays by hand: reports, reconnects, cancellation, leases and the end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod draining;
mod logs;
mod reports;
mod stopping;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use semel_client::{
    Client, Code, Credentials, Error, ErrorKind, Options, RequestId,
    v1::{
        AttemptRef, AuthNotice, AuthResult, AuthStatus, GoingAway, HeartbeatAck, LogStream, Opened, Payload,
        Reauthenticate,
        cancel_attempt::Reason,
        report::{Failed, Outcome, Released, Succeeded},
        work_request::Kind as Up,
        work_response::Kind as Down,
    },
    worker::{Builder, Context, ProcessError, Summary, Worker},
};
use support::{
    refusals::Refuse,
    soon, until,
    work::{Desk, Session},
};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) struct Running {
    pub(crate) task: JoinHandle<Result<Summary, Error>>,
    shutdown: oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn stop(self) -> Summary {
        let _ = self.shutdown.send(());
        soon("the worker's end", self.task).await.unwrap().unwrap()
    }
}

pub(crate) fn payload(text: &'static str) -> Payload {
    Payload { data: text.into(), content_type: "text/plain".to_owned() }
}

pub(crate) fn builder(desk: &Desk) -> Builder {
    builder_with(desk, Credentials::None)
}

pub(crate) fn builder_with(desk: &Desk, credentials: Credentials) -> Builder {
    let options = Options::new(support::url(desk.address)).app("pay").credentials(credentials);
    Worker::builder(Client::connect_lazy(options).unwrap())
        .name("host-1")
        .slots(4)
        .processor("echo", async |cx: Context| Ok::<_, ProcessError>(cx.payload().clone()))
        .processor("until-cancelled", async |cx: Context| {
            cx.cancelled().await;
            Err::<Payload, _>(ProcessError::failed("stopped"))
        })
}

pub(crate) fn start(builder: Builder) -> Running {
    let worker = builder.build().unwrap();
    let (shutdown, asked) = oneshot::channel();
    let task = tokio::spawn(worker.run(async {
        let _ = asked.await;
    }));
    Running { task, shutdown }
}

pub(crate) fn attempt(run_id: &str, attempt: i64) -> AttemptRef {
    AttemptRef { run_id: run_id.to_owned(), attempt }
}

pub(crate) fn short_lease() -> Opened {
    Opened {
        heartbeat_interval: Duration::from_millis(20).try_into().ok(),
        lease_duration: Duration::from_millis(150).try_into().ok(),
        stale: Vec::new(),
    }
}

pub(crate) fn succeeded(text: &'static str) -> Outcome {
    Outcome::Succeeded(Succeeded { result: Some(payload(text)) })
}

/// When this is over, the worker has read all that was sent before.
pub(crate) async fn round_trip(session: &mut Session) {
    session.assign("round-trip", 1, "echo").await;
    let (id, of, _) = session.report().await;
    assert_eq!(of.run_id, "round-trip");
    session.ack(&id).await;
}

pub(crate) fn overloaded() -> Refuse {
    Refuse::new(Code::ResourceExhausted, "OVERLOADED").after(Duration::from_millis(10))
}

pub(crate) fn lease_stale() -> Refuse {
    Refuse::new(Code::FailedPrecondition, "LEASE_STALE")
}
