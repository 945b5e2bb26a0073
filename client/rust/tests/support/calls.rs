//! The fake for calls: `RunJob`, alone or in a stream, and `WaitRun` follow a script, `IssueToken` issues numbered tokens.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use semel_client::{Client, Code, Options, RetryOptions};
use semel_proto::v1::{
    auth_service_server::{AuthService, AuthServiceServer},
    job_service_server::{JobService, JobServiceServer},
    run_service_server::{RunService, RunServiceServer},
    *,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    header, header_with, now_ms,
    refusals::Refuse,
    streams::{Outgoing, Stream},
    timestamp,
};

/// What the fake does with the next call.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Answer,
    Refuse(Refuse),
    /// A status without any details, as a proxy sends it.
    Proxy(Code),
    /// An OK without a header, as no Semel server sends it.
    NoHeader,
    /// An OK whose header has the zero verdict.
    Unspecified,
    /// An answer to another request.
    Stranger,
    /// No answer at all.
    Hang,
}

/// A call that arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) request_id: String,
    pub(crate) app: String,
    pub(crate) client: Option<ClientInfo>,
    pub(crate) bearer: Option<String>,
    pub(crate) timeout: Option<String>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<Step>,
    seen: Vec<Seen>,
    tokens: Vec<IssueTokenRequest>,
    token_script: VecDeque<Step>,
    token_lifetime: Duration,
    /// Tokens up to this number count as expired.
    expired_tokens: usize,
    clock_offset_ms: i64,
    /// Whether ids are held against the fake's clock.
    judges_ids: bool,
    waits_until_finished: usize,
    /// What becomes of the next streams of runs; those beyond are not known to this server.
    streams: VecDeque<Stream>,
    streams_opened: usize,
}

/// The fake.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
}

/// Of a client that tries again soon.
pub(crate) fn options(fake: &Fake) -> Options {
    let retry = RetryOptions {
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(10),
        ..RetryOptions::default()
    };
    Options::new(fake.url()).app("pay").retry(retry).overall_timeout(super::PATIENCE)
}

/// A client without credentials.
pub(crate) async fn client(fake: &Fake) -> Client {
    Client::connect(options(fake)).await.unwrap()
}

impl Fake {
    pub(crate) async fn start(script: impl IntoIterator<Item = Step>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self::at(listener.local_addr().unwrap(), script);
        let server = tonic::transport::Server::builder()
            .add_service(AuthServiceServer::new(fake.clone()))
            .add_service(JobServiceServer::new(fake.clone()))
            .add_service(RunServiceServer::new(fake.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        fake
    }

    /// The fake without a server, to be put into another one.
    pub(crate) fn at(address: SocketAddr, script: impl IntoIterator<Item = Step>) -> Self {
        let state = State {
            script: script.into_iter().collect(),
            seen: Vec::new(),
            tokens: Vec::new(),
            token_script: VecDeque::new(),
            token_lifetime: Duration::from_secs(3600),
            expired_tokens: 0,
            clock_offset_ms: 0,
            judges_ids: false,
            waits_until_finished: 0,
            streams: VecDeque::new(),
            streams_opened: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), address }
    }

    pub(crate) fn url(&self) -> String {
        super::url(self.address)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.with(|state| state.seen.clone())
    }

    /// The ids that arrived, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.request_id).collect()
    }

    pub(crate) fn tokens(&self) -> Vec<IssueTokenRequest> {
        self.with(|state| state.tokens.clone())
    }

    pub(crate) fn expire_tokens(&self) {
        self.with(|state| state.expired_tokens = state.tokens.len());
    }

    pub(crate) fn token_lifetime(&self, lifetime: Duration) {
        self.with(|state| state.token_lifetime = lifetime);
    }

    pub(crate) fn token_script(&self, script: impl IntoIterator<Item = Step>) {
        self.with(|state| state.token_script = script.into_iter().collect());
    }

    pub(crate) fn clock_offset_ms(&self, offset_ms: i64) {
        self.with(|state| {
            state.clock_offset_ms = offset_ms;
            state.judges_ids = true;
        });
    }

    pub(crate) fn finish_after(&self, waits: usize) {
        self.with(|state| state.waits_until_finished = waits);
    }

    pub(crate) fn streams(&self, streams: impl IntoIterator<Item = Stream>) {
        self.with(|state| state.streams = streams.into_iter().collect());
    }

    /// How often a stream of runs was asked for.
    pub(crate) fn streams_opened(&self) -> usize {
        self.with(|state| state.streams_opened)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        now_ms() + self.with(|state| state.clock_offset_ms)
    }

    /// Takes note of a call and does what the script says. Gives back the header of a good answer, or nothing where the
    /// script wants none.
    pub(crate) async fn act(
        &self,
        metadata: &MetadataMap,
        head: Option<&RequestHeader>,
        app: &str,
    ) -> Result<Option<ResponseHeader>, Status> {
        let head = head.cloned().unwrap_or_default();
        let text = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap().to_owned());
        let bearer = text("authorization");
        let seen = Seen {
            request_id: head.request_id.clone(),
            app: app.to_owned(),
            client: head.client.clone(),
            bearer: bearer.clone(),
            timeout: text("grpc-timeout"),
        };
        let step = self.with(|state| {
            state.seen.push(seen);
            state.script.pop_front().unwrap_or(Step::Answer)
        });
        let now = self.now_ms();
        if let Some(refusal) = self.judge_token(bearer.as_deref()).or_else(|| self.judge_id(&head.request_id, now)) {
            return Err(refusal.to_grpc(&header_with(refusal.auth, &head.request_id, now)));
        }
        run(step, &head.request_id, now).await
    }

    fn judge_token(&self, bearer: Option<&str>) -> Option<Refuse> {
        let number: usize = bearer?.strip_prefix("Bearer token-")?.parse().ok()?;
        let expired = number <= self.with(|state| state.expired_tokens);
        expired.then(|| Refuse::new(Code::Unauthenticated, "CREDENTIALS_EXPIRED").auth(AuthStatus::Expired))
    }

    fn judge_id(&self, id: &str, now: i64) -> Option<Refuse> {
        let id: semel_client::RequestId = id.parse().ok().filter(|_| self.with(|state| state.judges_ids))?;
        let minted = id.time()?.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let minted = i64::try_from(minted).unwrap();
        if minted > now + 5 * 60_000 {
            return Some(Refuse::new(Code::InvalidArgument, "REQUEST_ID_IN_FUTURE"));
        }
        (minted < now - 24 * 3_600_000).then(|| Refuse::new(Code::FailedPrecondition, "REQUEST_ID_EXPIRED"))
    }
}

async fn run(step: Step, request_id: &str, now: i64) -> Result<Option<ResponseHeader>, Status> {
    match step {
        Step::Answer => Ok(Some(header(request_id, now))),
        Step::Refuse(refuse) => Err(refuse.to_grpc(&header_with(refuse.auth, request_id, now))),
        Step::Proxy(code) => Err(Status::new(code, "upstream connect error")),
        Step::NoHeader => Ok(None),
        Step::Unspecified => Ok(Some(header_with(AuthStatus::Unspecified, request_id, now))),
        Step::Stranger => Ok(Some(header("01980000-0000-7000-8000-000000000000", now))),
        Step::Hang => std::future::pending().await,
    }
}

#[tonic::async_trait]
impl AuthService for Fake {
    async fn issue_token(&self, request: Request<IssueTokenRequest>) -> Result<Response<IssueTokenResponse>, Status> {
        assert!(request.metadata().get("authorization").is_none(), "a token is asked for without another token");
        let request = request.into_inner();
        let id = request.header.as_ref().unwrap().request_id.clone();
        let (number, step, lifetime) = self.with(|state| {
            state.tokens.push(request);
            let step = state.token_script.pop_front().unwrap_or(Step::Answer);
            (state.tokens.len(), step, state.token_lifetime)
        });
        let now = self.now_ms();
        let header = run(step, &id, now).await?;
        let ends = now + i64::try_from(lifetime.as_millis()).unwrap();
        Ok(Response::new(IssueTokenResponse {
            header,
            token: format!("token-{number}"),
            expire_time: Some(timestamp(ends)),
            token_id: number.to_string(),
        }))
    }

    async fn check_auth(&self, request: Request<CheckAuthRequest>) -> Result<Response<CheckAuthResponse>, Status> {
        let header = self.act(request.metadata(), request.get_ref().header.as_ref(), "").await?;
        Ok(Response::new(CheckAuthResponse { header, ..Default::default() }))
    }

    async fn revoke_token(&self, _: Request<RevokeTokenRequest>) -> Result<Response<RevokeTokenResponse>, Status> {
        Err(Status::unimplemented("not in this fake"))
    }
}

macro_rules! not_in_this_fake {
    ($($name:ident($request:ident) -> $response:ident;)*) => {$(
        fn $name<'a, 'b>(
            &'a self,
            _: Request<$request>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not in this fake")) })
        }
    )*};
}

#[tonic::async_trait]
impl JobService for Fake {
    async fn run_job(&self, request: Request<RunJobRequest>) -> Result<Response<RunJobResponse>, Status> {
        let body = request.get_ref();
        let header = self.act(request.metadata(), body.header.as_ref(), &body.app).await?;
        Ok(Response::new(RunJobResponse { header, run_id: "run-1".to_owned(), ..Default::default() }))
    }

    type SubmitRunsStream = Outgoing;

    async fn submit_runs(
        &self,
        request: Request<Streaming<SubmitRunsRequest>>,
    ) -> Result<Response<Self::SubmitRunsStream>, Status> {
        let stream = self.with(|state| {
            state.streams_opened += 1;
            state.streams.pop_front()
        });
        stream.unwrap_or(Stream::Unknown).open(self.clone(), request).await.map(Response::new)
    }

    not_in_this_fake! {
        create_job(CreateJobRequest) -> CreateJobResponse;
        get_job(GetJobRequest) -> GetJobResponse;
        list_jobs(ListJobsRequest) -> ListJobsResponse;
        update_job(UpdateJobRequest) -> UpdateJobResponse;
        delete_job(DeleteJobRequest) -> DeleteJobResponse;
        pause_job(PauseJobRequest) -> PauseJobResponse;
        resume_job(ResumeJobRequest) -> ResumeJobResponse;
    }
}

#[tonic::async_trait]
impl RunService for Fake {
    async fn wait_run(&self, request: Request<WaitRunRequest>) -> Result<Response<WaitRunResponse>, Status> {
        let body = request.get_ref();
        let header = self.act(request.metadata(), body.header.as_ref(), &body.app).await?;
        let left = self.with(|state| {
            let left = state.waits_until_finished;
            state.waits_until_finished = left.saturating_sub(1);
            left
        });
        let state = if left == 0 { RunState::Succeeded } else { RunState::Running };
        let run = Run { run_id: body.run_id.clone(), state: state.into(), ..Default::default() };
        Ok(Response::new(WaitRunResponse { header, run: Some(run), finished: left == 0 }))
    }

    not_in_this_fake! {
        get_run(GetRunRequest) -> GetRunResponse;
        list_runs(ListRunsRequest) -> ListRunsResponse;
        cancel_run(CancelRunRequest) -> CancelRunResponse;
        retry_run(RetryRunRequest) -> RetryRunResponse;
        explain_run(ExplainRunRequest) -> ExplainRunResponse;
        get_run_logs(GetRunLogsRequest) -> GetRunLogsResponse;
    }
}
