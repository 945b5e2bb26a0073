//! What a user may set on a client. Plain data and its defaults; nothing here connects or decides.

use std::{fmt, time::Duration};

use semel_proto::v1::TraceContext;

use crate::{retry::RetryOptions, tls::Tls, trace::Source};

/// How a [`Client`](crate::Client) is set up. Made with [`Options::new`], refined with the methods that follow.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) endpoint: String,
    pub(crate) app: String,
    pub(crate) credentials: Credentials,
    pub(crate) request_timeout: Duration,
    pub(crate) overall_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) retry: RetryOptions,
    pub(crate) connections: usize,
    pub(crate) client_name: String,
    pub(crate) stream_under_load: bool,
    pub(crate) tls: Option<Tls>,
    pub(crate) allow_plaintext: bool,
    pub(crate) clock_offset_ms: i64,
    pub(crate) trace: Source,
}

impl Options {
    /// Options for the server at `endpoint`: `https://semel.example:7400`, `http://127.0.0.1:7400`, or
    /// `unix:/run/semel.sock`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            app: String::new(),
            credentials: Credentials::None,
            request_timeout: Duration::from_secs(10),
            overall_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            retry: RetryOptions::default(),
            connections: 1,
            client_name: "semel-client".to_owned(),
            stream_under_load: true,
            tls: None,
            allow_plaintext: false,
            clock_offset_ms: 0,
            trace: Source::default(),
        }
    }

    /// The app that is put into requests which name none. Default: none, and the server takes the app of the
    /// credentials. Requests that create, update or delete an app always have to name it.
    #[must_use]
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = app.into();
        self
    }

    /// How the client proves who it is. Default: [`Credentials::None`].
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How an `https://` endpoint is spoken to. Default: [`Tls::new`], by the system's roots.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether credentials may go over plaintext to other hosts than this one: for networks that encrypt by themselves, as a
    /// mesh does. Default false.
    #[must_use]
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.allow_plaintext = allow;
        self
    }

    /// How long one attempt may take; the server learns of it as `grpc-timeout`. Calls that ask the server to wait
    /// (`wait_run`, `get_run_logs`) get that wait on top. Default 10 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long one logical call may take over all its attempts and the waits between them. Default 60 s.
    #[must_use]
    pub fn overall_timeout(mut self, timeout: Duration) -> Self {
        self.overall_timeout = timeout;
        self
    }

    /// How long it may take to make a connection. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How calls are sent again. Default: [`RetryOptions::default`].
    #[must_use]
    pub fn retry(mut self, retry: RetryOptions) -> Self {
        self.retry = retry;
        self
    }

    /// How many connections are kept, used in turn. Default 1, at most 256.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Whether `run_job` shares one stream while more than 16 of them are under way on this client: many runs then travel
    /// in one message, at a fraction of the cost of a call each. Answers, errors, ids and retries are the same; where the
    /// stream is not to be had, runs go by calls of their own. Default true.
    #[must_use]
    pub fn stream_under_load(mut self, stream: bool) -> Self {
        self.stream_under_load = stream;
        self
    }

    /// Added, in milliseconds, to this machine's clock wherever the client reads it: to see what a program does on a
    /// machine whose clock is off. Default 0.
    #[must_use]
    pub fn clock_offset_ms(mut self, offset: i64) -> Self {
        self.clock_offset_ms = offset;
        self
    }

    /// Where to ask under which span of a trace a call stands: once for each logical call, by the task that makes it and
    /// before anything is sent; all attempts of the call say the same. With the `opentelemetry` crate that is what its
    /// `TraceContextPropagator` writes of `Context::current()`. Default: nobody is asked, and calls say nothing.
    #[must_use]
    pub fn trace_context(mut self, ask: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        self.trace = Source::new(ask);
        self
    }

    /// The name by which the program tells the server who it is, for logs and support. Default `semel-client`.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }
}

/// How a client proves who it is. The `Debug` form never shows a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// The secret of an app. The client gets short-lived tokens for it by itself and renews them; the secret itself
    /// travels only in `IssueToken`.
    Secret {
        /// The app whose secret it is.
        app: String,
        /// The secret.
        secret: String,
    },
    /// A token, sent with every call as it is. The client cannot renew it.
    Token(String),
    /// Anything else that goes behind `Bearer `, for instance the secret itself; sent as it is.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Secret { app, .. } => write!(f, "Secret {{ app: {app:?}, secret: [redacted] }}"),
            Self::Token(_) => f.write_str("Token([redacted])"),
            Self::Bearer(_) => f.write_str("Bearer([redacted])"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_never_show_a_secret() {
        for credentials in [
            Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() },
            Credentials::Token("hush".to_owned()),
            Credentials::Bearer("hush".to_owned()),
        ] {
            let shown = format!("{:?}", Options::new("http://127.0.0.1:1").credentials(credentials));
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
