//! Submitting runs in volume by hand: one after the other without waiting, each with its own answer.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use semel_proto::v1::{RunJobRequest, RunJobResponse};
use tokio::{sync::Semaphore, task::JoinHandle};
use tonic::Code;

use crate::{
    call::{CallOptions, Way},
    client::Client,
    error::Error,
    refusal::{Origin, Refusal},
};

/// Runs without an answer, beyond which submitting waits.
const OUTSTANDING_MAX: usize = 4096;

/// Submits runs over the client's stream; made by [`Client::submit_runs`]. Clones share its bound.
#[derive(Clone, Debug)]
pub struct RunSubmitter {
    client: Client,
    options: CallOptions,
    room: Arc<Semaphore>,
}

/// A run that was submitted: a future that gives what `run_job` would have given. It goes on when it is dropped.
#[derive(Debug)]
pub struct Submission {
    request_id: String,
    task: JoinHandle<Result<RunJobResponse, Error>>,
}

impl RunSubmitter {
    pub(crate) fn new(client: Client, options: CallOptions) -> Self {
        Self { client, options, room: Arc::new(Semaphore::new(OUTSTANDING_MAX)) }
    }

    /// Submits a run. Comes back as soon as it is in line, behind all that was submitted before; waits only while 4096
    /// have no answer yet. Runs are made in the order in which they were submitted, but for those that have to be sent
    /// again. Everything else is as with `run_job`: ids, retries, time-outs, errors. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// Where the request cannot be sent as it stands, or there is no token to be had.
    pub async fn submit(&self, request: RunJobRequest) -> Result<Submission, Error> {
        let place = self.room.clone().acquire_owned().await.expect("it is never closed");
        let core = self.client.core();
        let logical = core.prepare(request, &self.options)?;
        let signature = core.sign_for(&logical).await?;
        let ticket = core.pipe.offer(&logical.request, &signature);
        let request_id = logical.request_id.clone();
        let client = self.client.clone();
        let task = tokio::spawn(async move {
            let answer = client.core().make(logical, Way::Stream(Some((ticket, signature)))).await;
            drop(place);
            answer
        });
        Ok(Submission { request_id, task })
    }
}

impl Submission {
    /// The id under which it was submitted.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl Future for Submission {
    type Output = Result<RunJobResponse, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| {
            let message = "the runtime ended before the answer came";
            let refusal = Refusal::local(Code::Cancelled, message, Origin::NoAnswer);
            Err(Error::new(refusal.into(), self.request_id.clone(), 0))
        }))
    }
}
