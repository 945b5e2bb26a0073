//! The client as its users see it. It owns what all its clones share, and the few calls that are more than one request;
//! the way of a call stands in `call`, the list of methods in `methods`.

use std::sync::Arc;

use semel_proto::v1::{self, ClientInfo};

use crate::{
    auth::Auth,
    call::{CallOptions, Core, TIMEOUT_MAX},
    error::Error,
    id::RequestId,
    methods::Method,
    options::Options,
    submit::{Pipe, RunSubmitter, SubmitMany},
    transport::Transport,
    wait::Waits,
};

/// A client of a Semel server. Cheap to clone; all clones share connections, token and clock.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Connects to a server. Fails at once if nobody listens there; afterwards lost connections are made again by
    /// themselves. To start before the server does, use [`Client::connect_lazy`].
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let transport = Transport::connect(&options).await?;
        Self::over(transport, options)
    }

    /// Makes a client that connects with its first call. Must be called within a tokio runtime.
    pub fn connect_lazy(options: Options) -> Result<Self, Error> {
        let transport = Transport::connect_lazy(&options)?;
        Self::over(transport, options)
    }

    fn over(transport: Transport, options: Options) -> Result<Self, Error> {
        let client_info = ClientInfo {
            name: options.client_name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            language: "rust".to_owned(),
        };
        let transport = Arc::new(transport);
        let request_timeout = options.request_timeout.min(TIMEOUT_MAX);
        // Half of the time is left for a call of its own.
        let stall = request_timeout / 2;
        let core = Core {
            pipe: Pipe::new(transport.clone(), client_info.clone(), options.stream_under_load, stall),
            waits: Waits::default(),
            transport,
            auth: Auth::new(&options.credentials)?,
            client_info,
            trace: options.trace,
            app: options.app,
            retry: options.retry,
            request_timeout,
            overall_timeout: options.overall_timeout.min(TIMEOUT_MAX),
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// Makes a call with the client's own options. The methods named after the RPCs are this one, spelt out.
    pub async fn call<M: Method>(&self, request: M) -> Result<M::Response, Error> {
        self.core.call(request, &CallOptions::default()).await
    }

    /// Calls under an id that the caller keeps: one that it stored before, or is sending again. The id stays whatever
    /// happens. A call without this gets a fresh one.
    #[must_use]
    pub fn with_request_id(&self, id: RequestId) -> Call {
        self.with_options(CallOptions { request_id: Some(id), ..CallOptions::default() })
    }

    /// Calls with options of their own.
    #[must_use]
    pub fn with_options(&self, options: CallOptions) -> Call {
        Call { client: self.clone(), options }
    }

    /// For runs in volume: submits them over one stream, without waiting for one before the next.
    #[must_use]
    pub fn submit_runs(&self) -> RunSubmitter {
        RunSubmitter::new(self.clone(), CallOptions::default())
    }

    /// Submits any number of runs over one stream and gives what became of each, in their order: what `run_job` would have
    /// given, under an id of its own. One that is refused ends none of the others. The runs are taken from the iterator as
    /// there is room for them: at most 4096 have no answer at a time, and a caller that takes no results holds the
    /// iterator up. Dropping the results takes no further runs; those that were taken go on. Must be called within a
    /// tokio runtime.
    pub fn submit_many<I>(&self, runs: I) -> SubmitMany
    where
        I: IntoIterator<Item = v1::RunJobRequest>,
        I::IntoIter: Send + 'static,
    {
        SubmitMany::start(self.submit_runs(), runs.into_iter())
    }

    /// How many runs were answered over the shared stream so far, by a run or a refusal; others went by calls of their
    /// own.
    pub fn streamed_runs(&self) -> u64 {
        self.core.pipe.answered()
    }

    /// Mints an id by the server's clock, as far as that is known: to be stored before the call is made under it with
    /// [`Client::with_request_id`].
    pub fn mint_request_id(&self) -> RequestId {
        RequestId::mint(self.core.transport.clock().now())
    }

    /// By how many milliseconds the server's clock is ahead of this machine's, as of the last answer.
    pub fn clock_offset_ms(&self) -> i64 {
        self.core.transport.clock().offset_ms()
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }
}

/// A client with options for the calls that are made on it; see [`Client::with_request_id`] and
/// [`Client::with_options`].
#[derive(Clone, Debug)]
pub struct Call {
    client: Client,
    options: CallOptions,
}

impl Call {
    /// Makes a call. The methods named after the RPCs are this one, spelt out.
    pub async fn call<M: Method>(&self, request: M) -> Result<M::Response, Error> {
        self.client.core.call(request, &self.options).await
    }

    /// [`Client::submit_runs`] with these options, which must not name an id: each run has its own.
    #[must_use]
    pub fn submit_runs(&self) -> RunSubmitter {
        RunSubmitter::new(self.client.clone(), CallOptions { request_id: None, ..self.options.clone() })
    }
}
