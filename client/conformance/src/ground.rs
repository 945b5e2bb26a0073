//! What a case stands on: a server with the app `pay` and the job `settle`, and what it says of itself to an operator. The
//! server's word is the truth by which clients are judged; nothing here speaks to a driver.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use semel_client::{Client, Credentials, Options, v1};
use semel_core::id::{Millis, Timestamp};
use semel_server::{
    auth::Keyring,
    clock::{Clock, ManualClock},
    server::{self, Data, Running, Settings},
    store::Memory,
};
use serde_json::{Value, json};

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
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.keyring = Some(Arc::new(Keyring::ephemeral().expect("random bits")));
        settings.drain_timeout = Duration::from_secs(1);
        if let Some(clock) = &clock {
            settings.clock = Clock::Manual(clock.clone());
        }
        change(&mut settings);
        let running = server::start(settings.clone()).await.expect("the server starts");
        settings.listen = running.address();
        let admin_secret = running.first_admin_secret().expect("a first start").reveal();
        let admin = Mutex::new(operator(running.address(), &admin_secret));
        let mut ground = Self { settings, running: Some(running), clock, admin, admin_secret, secret: String::new() };
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

fn operator(address: SocketAddr, secret: &str) -> Client {
    let credentials = Credentials::Token(secret.to_owned());
    let options = Options::new(format!("http://{address}")).credentials(credentials);
    Client::connect_lazy(options).expect("the options are good")
}
