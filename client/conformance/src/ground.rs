//! What a case stands on: a server with the app `pay` and the job `settle`, and what it says of itself to an operator. The
//! server's word is the truth by which clients are judged; nothing here speaks to a driver.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use semel_client::{CallOptions, Client, Credentials, Options, RetryOptions, WatchOptions, v1, watch::Told};
use semel_core::id::{Millis, Timestamp};
use semel_faults::Port;
use semel_server::{
    auth::Keyring,
    clock::{Clock, ManualClock},
    server::{self, Data, Running, Settings},
    store::Memory,
};
use serde_json::{Value, json};

use crate::answer::{Verdict, claim};

/// The app of every case.
pub const APP: &str = "pay";
/// Its job, whose processor gives the payload back.
pub const JOB: &str = "settle";
/// How long what is waited for may take.
pub const PATIENCE: Duration = Duration::from_secs(15);
const PAGE_SIZE: i32 = 1000;

/// See the module. Its server ends when it is dropped.
pub struct Ground {
    settings: Settings,
    /// So that the address is its own while it is away.
    _port: Port,
    running: Option<Running>,
    clock: Option<ManualClock>,
    /// The operator's own client.
    admin: Mutex<Client>,
    admin_secret: String,
    /// The secret of the app.
    pub secret: String,
}

impl Ground {
    /// Starts a server, its state in memory, with settings of the case's choice.
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(None, change).await
    }

    /// The same with a clock that stands still until the case moves it.
    pub async fn with_clock(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(Some(ManualClock::at(Clock::system().now().wall)), change).await
    }

    async fn with(clock: Option<ManualClock>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(Data::Memory(Memory::new()));
        let port = Port::reserve().expect("a free port of the loopback");
        settings.listen = port.address();
        settings.keyring = Some(Arc::new(Keyring::ephemeral().expect("random bits")));
        settings.drain_timeout = Duration::from_secs(1);
        if let Some(clock) = &clock {
            settings.clock = Clock::Manual(clock.clone());
        }
        change(&mut settings);
        let running = server::start(settings.clone()).await.expect("the server starts");
        let admin_secret = running.first_admin_secret().expect("a first start").reveal();
        let admin = Mutex::new(operator(running.address(), &admin_secret));
        let mut ground =
            Self { settings, _port: port, running: Some(running), clock, admin, admin_secret, secret: String::new() };
        let request = v1::CreateAppRequest { app: APP.to_owned(), ..Default::default() };
        ground.secret = ground.admin().create_app(request).await.expect("the app is made").secret;
        ground.job(JOB, v1::JobSpec { processor: "conformance.echo".to_owned(), ..Default::default() }).await;
        ground
    }

    /// The operator's client, who may everything.
    pub fn admin(&self) -> Client {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.settings.listen
    }

    /// The same for a client.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The secret as the credentials of a driver's client.
    pub fn by_secret(&self) -> Value {
        json!({"app": APP, "secret": self.secret})
    }

    /// A token of the app that holds for a day.
    pub async fn by_token(&self) -> Value {
        json!({"token": self.token(Duration::from_secs(86_400)).await.token})
    }

    /// The operator's secret as the credentials of a driver's client.
    pub fn by_admin(&self) -> Value {
        json!({"token": self.admin_secret})
    }

    /// A token of the app that holds for so long.
    pub async fn token(&self, lifetime: Duration) -> v1::IssueTokenResponse {
        let request = v1::IssueTokenRequest {
            app: APP.to_owned(),
            secret: self.secret.clone(),
            lifetime: lifetime.try_into().ok(),
            ..Default::default()
        };
        self.admin().issue_token(request).await.expect("a token is issued")
    }

    /// Somebody asks for a token of the app with this secret, which is a wrong one.
    pub async fn tries_secret(&self, wrong: &str) {
        let (app, secret) = (APP.to_owned(), wrong.to_owned());
        let request = v1::IssueTokenRequest { app, secret, ..Default::default() };
        let options = CallOptions { retry: Some(RetryOptions::none()), ..CallOptions::default() };
        self.admin().with_options(options).issue_token(request).await.expect_err("a wrong secret is refused");
    }

    /// Makes another app; gives its secret.
    pub async fn app(&self, name: &str) -> String {
        let request = v1::CreateAppRequest { app: name.to_owned(), ..Default::default() };
        self.admin().create_app(request).await.expect("the app is made").secret
    }

    /// Makes a job of the app.
    pub async fn job(&self, name: &str, spec: v1::JobSpec) {
        let (app, job) = (APP.to_owned(), name.to_owned());
        let request = v1::CreateJobRequest { app, job, spec: Some(spec), ..Default::default() };
        self.admin().create_job(request).await.expect("the job is made");
    }

    /// Makes a job whose processor is one of the drivers', and which gives up after the first attempt.
    pub async fn job_of(&self, name: &str, processor: &str) {
        let retry = Some(v1::RetryPolicy { max_attempts: 1, ..Default::default() });
        self.job(name, v1::JobSpec { processor: processor.to_owned(), retry, ..Default::default() }).await;
    }

    /// Makes a run; gives its id.
    pub async fn submit(&self, job: &str, payload: &str) -> String {
        let payload = Some(v1::Payload { data: payload.to_owned().into(), ..Default::default() });
        let (app, job) = (APP.to_owned(), job.to_owned());
        let request = v1::RunJobRequest { app, job, payload, ..Default::default() };
        self.admin().run_job(request).await.expect("the run is made").run_id
    }

    /// A run as it stands.
    pub async fn run(&self, run_id: &str) -> v1::Run {
        let request = v1::GetRunRequest { app: APP.to_owned(), run_id: run_id.to_owned(), ..Default::default() };
        self.admin().get_run(request).await.expect("the run is there").run.unwrap_or_default()
    }

    /// Asks a run to stop.
    pub async fn cancel(&self, run_id: &str) {
        let request = v1::CancelRunRequest { app: APP.to_owned(), run_id: run_id.to_owned(), ..Default::default() };
        self.admin().cancel_run(request).await.expect("the run is asked to stop");
    }

    /// The workers of the app, as a snapshot has them.
    async fn workers(&self) -> Vec<v1::Worker> {
        let options = WatchOptions::new().app(APP).snapshot(v1::SnapshotScope::Live);
        let mut watch = self.admin().watch(options);
        let mut workers = Vec::new();
        while let Some(item) = watch.next().await {
            match item.expect("the snapshot is told").told {
                Told::Worker(worker) => workers.push(*worker),
                Told::SnapshotEnd { .. } => break,
                _ => {}
            }
        }
        workers
    }

    /// How many workers take new work.
    pub async fn workers_that_take_work(&self) -> usize {
        self.workers().await.iter().filter(|worker| worker.state() == v1::WorkerState::Connected).count()
    }

    /// Lets time pass until no worker that is away counts as one any more.
    ///
    /// # Errors
    /// When the server goes on to count on one.
    pub async fn loses_workers(&self) -> Verdict {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !self.workers().await.is_empty() {
            claim(tokio::time::Instant::now() < until, || "the server does not lose its worker".to_owned())?;
            self.advance(Duration::from_secs(5));
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The log of a run.
    pub async fn log(&self, run_id: &str) -> String {
        let request = v1::GetRunLogsRequest { app: APP.to_owned(), run_id: run_id.to_owned(), ..Default::default() };
        let answer = self.admin().get_run_logs(request).await.expect("the log is read");
        String::from_utf8_lossy(&answer.chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect::<Vec<_>>()).into()
    }

    /// Every event of the app's runs up to now: revision, kind and run, by the bare stub.
    pub async fn run_events(&self) -> Vec<(i64, i32, String)> {
        let last = self.runs().await.iter().map(|run| run.revision).max().unwrap_or_default();
        let id = self.admin().mint_request_id().to_string();
        let request = v1::WatchRequest {
            header: Some(v1::RequestHeader { request_id: id, ..Default::default() }),
            app: APP.to_owned(),
            start: Some(v1::watch_request::Start::FromRevision(1)),
            ..Default::default()
        };
        let mut request = tonic::Request::new(request);
        let bearer = format!("Bearer {}", self.admin_secret).parse().expect("a secret is ASCII");
        request.metadata_mut().insert("authorization", bearer);
        let stub = v1::watch_service_client::WatchServiceClient::connect(self.endpoint()).await;
        let mut stream = stub.expect("the server is there").watch(request).await.expect("it opens").into_inner();
        let (mut events, mut seen) = (Vec::new(), 0);
        while seen < last {
            let message = stream.message().await.expect("the stream goes on").expect("it does not end");
            if let Some(v1::watch_response::Kind::Events(page)) = message.kind {
                seen = page.events.last().map_or(seen, |event| event.revision);
                events.extend(page.events.iter().filter_map(run_event));
            }
        }
        events
    }

    /// Every run of the app.
    pub async fn runs(&self) -> Vec<v1::Run> {
        let mut runs = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = Some(v1::PageRequest { page_size: PAGE_SIZE, page_token });
            let request = v1::ListRunsRequest { app: APP.to_owned(), page, ..Default::default() };
            let answer = self.admin().list_runs(request).await.expect("the runs are listed");
            runs.extend(answer.runs);
            page_token = answer.page.unwrap_or_default().next_page_token;
            if page_token.is_empty() {
                return runs;
            }
        }
    }

    /// What the server knows of a request.
    pub async fn request(&self, request_id: &str) -> v1::RequestRecord {
        let target_request_id = request_id.to_owned();
        let request = v1::GetRequestRequest { app: APP.to_owned(), target_request_id, ..Default::default() };
        let answer = self.admin().get_request(request).await.expect("the request is looked up");
        answer.request.unwrap_or_default()
    }

    /// Moves the clock on, and has the server look at it.
    pub fn advance(&self, by: Duration) {
        let clock = self.clock.as_ref().expect("this ground has a clock to be moved");
        clock.advance(Millis(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)));
        self.poke();
    }

    /// The server's time.
    pub fn now_ms(&self) -> i64 {
        let Timestamp(ms) = self.settings.clock.now().wall;
        ms
    }

    fn poke(&self) {
        if let Some(running) = &self.running {
            running.engine().poke();
        }
    }

    /// The server says that it goes, and takes nothing new.
    pub async fn drain(&self) {
        self.running.as_ref().expect("the server runs").drain().await;
    }

    /// Whether its server runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends the server.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await.expect("the server ends");
        }
    }

    /// Starts it again on the same data and address.
    pub async fn revive(&mut self) {
        self.running = Some(server::start(self.settings.clone()).await.expect("the server starts again"));
        *self.admin.lock().unwrap_or_else(PoisonError::into_inner) = operator(self.address(), &self.admin_secret);
    }

    /// The server itself.
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }
}

/// Revision, kind and run of an event, if it is one of a run.
pub fn run_event(event: &v1::Event) -> Option<(i64, i32, String)> {
    match &event.subject {
        Some(v1::event::Subject::Run(run)) => Some((event.revision, event.kind, run.run_id.clone())),
        _ => None,
    }
}

fn operator(address: SocketAddr, secret: &str) -> Client {
    let credentials = Credentials::Token(secret.to_owned());
    let options = Options::new(format!("http://{address}")).credentials(credentials);
    Client::connect_lazy(options).expect("the options are good")
}
