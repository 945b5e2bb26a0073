//! The processor `http`: it sends one request to a place that the worker's operator allowed, and reports the answer. It
//! follows no redirect and asks no proxy, so what the allow-list says is where the request goes.
//!
//! The payload is JSON: `{"method": "POST", "url": "https://pay.example/v1/settle", "headers": {"Accept": "…"},
//! "body": "…", "expect": [200, 201], "timeout_ms": 5000}`; only `url` is needed. Every request bears
//! `Idempotency-Key: <run id>`, the same over all attempts, so that a receiver can do the work once, and
//! `X-Semel-Attempt: <n>`, the fencing token; if the run is in a trace, `traceparent` and `tracestate` name the span of the
//! attempt. The body of the answer is the result, up to 1 MiB of it.

mod allow;
mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::{error::Error as StdError, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use semel_client::worker::{Context, Outcome, ProcessError, Processor};
use semel_proto::v1::LogStream;

pub use allow::{Error as AllowError, Prefix};

use answer::Answer;
use request::Accepted;

/// How much of an answer is kept: what a run may give as its result.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How many of them to one host.
const IDLE_PER_HOST_MAX: usize = 16;

/// What the operator of a worker says about requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where requests may go: to URLs that begin with one of these. Nowhere by default.
    pub allow: Vec<Prefix>,
    /// How long a request may take at most, whatever its payload says. Default 5 min.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allow: Vec::new(), timeout: Duration::from_secs(300) }
    }
}

/// Why the processor cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Requests over TLS are allowed, and nothing to judge a server's certificate by.
    #[error(
        "cannot read the certificates that this machine trusts: install them (ca-certificates), or set SSL_CERT_FILE"
    )]
    Certificates(#[source] std::io::Error),
}

/// The processor. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct Http {
    settings: Settings,
    sender: Sender,
}

/// Without TLS, if the allow-list has no use for it: then no certificates are needed either.
#[derive(Clone, Debug)]
enum Sender {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Http {
    /// A processor that follows these settings. It trusts the certificates that the machine trusts.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).pool_max_idle_per_host(IDLE_PER_HOST_MAX);
        let sender = if settings.allow.iter().any(Prefix::is_tls) {
            // The outer connector sees to it that only `https` goes over TLS.
            connector.enforce_http(false);
            let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(Error::Certificates)?;
            Sender::Tls(builder.build(tls.https_or_http().enable_http1().wrap_connector(connector)))
        } else {
            Sender::Plain(builder.build(connector))
        };
        Ok(Self { settings, sender })
    }

    /// Reads and judges what a run asks for. A refusal stays one, so it is permanent.
    fn accept(&self, content_type: &str, data: &[u8]) -> Result<Accepted, ProcessError> {
        Accepted::parse(content_type, data, &self.settings.allow)
            .map_err(|error| ProcessError::permanent(format!("http: {error}")))
    }

    /// How long the request may take.
    fn time(&self, accepted: &Accepted, left: Option<Duration>) -> Duration {
        accepted.timeout.min(self.settings.timeout).min(left.unwrap_or(Duration::MAX))
    }

    /// Sends a request and reads the answer.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ProcessError> {
        let sent = match &self.sender {
            Sender::Plain(client) => client.request(request).await,
            Sender::Tls(client) => client.request(request).await,
        };
        read(sent.map_err(|error| lost(&error))?).await.map_err(|error| lost(&error))
    }
}

impl Processor for Http {
    async fn process(&self, cx: Context) -> Outcome {
        let accepted = self.accept(&cx.payload().content_type, &cx.payload().data)?;
        let request = accepted.to_request(cx.run_id(), cx.attempt(), cx.trace_context())?;
        let time = self.time(&accepted, cx.time_left());
        let answer = tokio::select! {
            answer = self.exchange(request) => answer?,
            () = tokio::time::sleep(time) => {
                return Err(ProcessError::failed(format!("no answer within {time:?}; what became of the request is not known")));
            }
            () = cx.cancelled() => return Err(ProcessError::failed("stopped, as it was asked to")),
        };
        cx.log(LogStream::Stdout, summary(&accepted, &answer)).await;
        let expected = accepted.expects(answer.status);
        answer.into_outcome(expected)
    }
}

async fn read<B: BodyExt<Data = Bytes> + Unpin>(response: Response<B>) -> Result<Answer, B::Error> {
    let (head, mut body) = response.into_parts();
    let (mut kept, mut cut) = (BytesMut::new(), false);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = BODY_BYTES_MAX - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            // The connection is given up rather than read to an end that may never come.
            cut = true;
            break;
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: kept.freeze(), cut })
}

fn lost(error: &dyn StdError) -> ProcessError {
    let mut message = format!("cannot get an answer: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    ProcessError::failed(message)
}

/// A line for the log. Without the query, which may hold what is nobody's business.
fn summary(accepted: &Accepted, answer: &Answer) -> String {
    let Accepted { method, url, .. } = accepted;
    let place = url.authority().map_or("", |authority| authority.as_str());
    let size = if answer.cut { format!("the first {BODY_BYTES_MAX}") } else { answer.body.len().to_string() };
    format!("{method} {place}{} answered {}, {size} bytes\n", url.path(), answer.status)
}
