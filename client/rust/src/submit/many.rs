//! Many runs from an iterator, and their results in the same order. It owns how far the iterator is taken ahead of the
//! results; submitting itself is the submitter's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use semel_proto::v1::{RunJobRequest, RunJobResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;

use super::submitter::{RunSubmitter, Submission};
use crate::error::Error;

/// Results that may lie ready, or be awaited, before the iterator is held up.
const AHEAD_MAX: usize = 4096;

/// What becomes of many runs, in their order: a stream, made by [`Client::submit_many`](crate::Client::submit_many).
#[derive(Debug)]
pub struct SubmitMany {
    submitted: mpsc::Receiver<Result<Submission, Error>>,
    /// The one whose result is next.
    awaited: Option<Submission>,
}

impl SubmitMany {
    pub(crate) fn start(submitter: RunSubmitter, runs: impl Iterator<Item = RunJobRequest> + Send + 'static) -> Self {
        let (sender, submitted) = mpsc::channel(AHEAD_MAX);
        tokio::spawn(async move {
            for run in runs {
                let Ok(place) = sender.reserve().await else { return };
                place.send(submitter.submit(run).await);
            }
        });
        Self { submitted, awaited: None }
    }

    /// The next result; nothing after the last one. May be dropped without losing anything.
    pub async fn next(&mut self) -> Option<Result<RunJobResponse, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RunJobResponse, Error>>> {
        loop {
            if let Some(submission) = &mut self.awaited {
                let result = ready!(Pin::new(submission).poll(context));
                self.awaited = None;
                return Poll::Ready(Some(result));
            }
            match ready!(self.submitted.poll_recv(context)) {
                Some(Ok(submission)) => self.awaited = Some(submission),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for SubmitMany {
    type Item = Result<RunJobResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}
