//! What does the work. This file owns the trait that users implement and the error they give back; it knows nothing of
//! streams and leases.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use semel_proto::v1::Payload;

use super::context::Context;

/// How a processor ends.
pub type Outcome = Result<Payload, ProcessError>;

/// What a worker can do, under a name. Any `Fn(Context) -> impl Future<Output = Outcome>` is one.
pub trait Processor: Send + Sync + 'static {
    /// Works on one attempt. It should stop soon after [`Context::cancelled`], with whatever outcome: an attempt that was
    /// cancelled counts as cancelled unless it succeeded. A panic counts as a failure.
    fn process(&self, cx: Context) -> impl Future<Output = Outcome> + Send;
}

impl<F, Fut> Processor for F
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    fn process(&self, cx: Context) -> impl Future<Output = Outcome> + Send {
        self(cx)
    }
}

/// Why an attempt failed. Every `std::error::Error` becomes one by `?`, as a failure that may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessError {
    pub(crate) message: String,
    pub(crate) permanent: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl ProcessError {
    /// Failed; the retry policy of the job says whether and when there is another attempt.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), permanent: false, retry_after: None }
    }

    /// Failed, and trying again is of no use: the run fails now.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { permanent: true, ..Self::failed(message) }
    }

    /// Failed; if there is another attempt, it starts after `wait`.
    pub fn retry_after(message: impl Into<String>, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..Self::failed(message) }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// `ProcessError` is no `std::error::Error` itself: that is what makes room for this conversion.
impl<E: std::error::Error> From<E> for ProcessError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::failed(message)
    }
}

/// A processor whose type is forgotten, so that many stand in one map.
pub(crate) trait Erased: Send + Sync + 'static {
    fn start(self: Arc<Self>, cx: Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;
}

impl<P: Processor> Erased for P {
    fn start(self: Arc<Self>, cx: Context) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move { self.process(cx).await })
    }
}

impl fmt::Debug for dyn Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Processor")
    }
}
