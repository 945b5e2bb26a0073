//! A server in this process on a free port, clients for it, and what most tests begin with. Holds no assertion about
//! behaviour.

use std::{future::Future, io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use semel_client::{Client, Credentials, Options, RetryOptions, v1};
use semel_server::{
    auth::{Keyring, Mode},
    clock::{Clock, ManualClock},
    server::{self, Data, Error, Running, Settings},
    store::Memory,
};

use super::binary::until;

/// What everything below waits at most. Only a bound: nothing waits for its own sake.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Bounds whatever is awaited.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// A server that can be restarted on the same data, and the secret of its admin.
pub(crate) struct TestServer {
    pub(crate) settings: Settings,
    pub(crate) running: Option<Running>,
    pub(crate) admin_secret: String,
}

impl TestServer {
    /// With its state in memory and credentials enforced.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of the test's choice.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let settings = Self::settings(change);
        let running = server::start(settings.clone()).await.expect("the server starts");
        Self::running_with(settings, running)
    }

    /// The settings under which tests run, with a change of the test's choice.
    pub(crate) fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::new(Data::Memory(Memory::new()));
        settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.keyring = Some(Arc::new(Keyring::ephemeral().expect("random bits")));
        change(&mut settings);
        settings
    }

    /// A server that was started for the first time with these settings.
    pub(crate) fn running_with(settings: Settings, running: Running) -> Self {
        let admin_secret = running.first_admin_secret().expect("a first start").reveal();
        Self { settings, running: Some(running), admin_secret }
    }

    /// With a clock that stands still until the test moves it.
    pub(crate) async fn with_manual_clock(change: impl FnOnce(&mut Settings)) -> (Self, ManualClock) {
        let clock = ManualClock::at(Clock::system().now().wall);
        let for_server = clock.clone();
        let server = Self::with(move |settings| {
            settings.clock = Clock::Manual(for_server);
            change(settings);
        });
        (server.await, clock)
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("the server runs")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.running().address())
    }

    /// Ends the server and starts it again on the same data; on another port, unless the test has chosen one.
    pub(crate) async fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await.expect("a clean end");
        }
        self.running = Some(self.start_again().await);
    }

    async fn start_again(&self) -> Running {
        // A child of another test has copies of all that is open here until it is its own program.
        let is_taken =
            |error: &Error| matches!(error, Error::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse);
        let started = until(async || {
            let started = server::start(self.settings.clone()).await;
            if started.as_ref().is_err_and(is_taken) { None } else { Some(started) }
        });
        started.await.expect("the server starts again")
    }

    /// Starts it again after its engine has failed, as an operator would after a crash.
    pub(crate) async fn revive(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await.expect_err("the engine had failed");
        }
        self.running = Some(self.start_again().await);
    }

    /// The disk of a server whose state is in memory.
    pub(crate) fn memory(&self) -> Memory {
        match &self.settings.data {
            Data::Memory(memory) => memory.reopen(),
            Data::Directory { .. } => panic!("the state of this server is not in memory"),
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.endpoint())
    }

    /// A client of the admin.
    pub(crate) async fn admin(&self) -> Client {
        let options = self.options().credentials(Credentials::Token(self.admin_secret.clone()));
        Client::connect(options).await.expect("connects")
    }

    /// Makes an app; gives its secret.
    pub(crate) async fn app(&self, name: &str) -> String {
        let request = v1::CreateAppRequest { app: name.to_owned(), ..Default::default() };
        self.admin().await.create_app(request).await.expect("the app is made").secret
    }

    /// A client of an app that proves itself by its secret.
    pub(crate) async fn client(&self, app: &str, secret: &str) -> Client {
        let credentials = Credentials::Secret { app: app.to_owned(), secret: secret.to_owned() };
        Client::connect(self.options().app(app).credentials(credentials)).await.expect("connects")
    }

    /// The same, but every refusal comes through as it is.
    pub(crate) async fn blunt_client(&self, app: &str, secret: &str) -> Client {
        let credentials = Credentials::Token(secret.to_owned());
        let options = self.options().app(app).credentials(credentials).retry(RetryOptions::none());
        Client::connect(options).await.expect("connects")
    }

    /// An app `pay` with a client of its own.
    pub(crate) async fn pay(&self) -> Client {
        let secret = self.app("pay").await;
        self.client("pay", &secret).await
    }
}

/// Modes under which a server can run.
pub(crate) const MODES: [Mode; 3] = [Mode::Enforce, Mode::Permissive, Mode::Off];

/// The smallest definition that is one.
pub(crate) fn spec(processor: &str) -> v1::JobSpec {
    v1::JobSpec { processor: processor.to_owned(), ..Default::default() }
}

/// Makes a job.
pub(crate) async fn job(client: &Client, name: &str, spec: v1::JobSpec) -> v1::Job {
    let request = v1::CreateJobRequest { job: name.to_owned(), spec: Some(spec), ..Default::default() };
    client.create_job(request).await.expect("the job is made").job.expect("a job")
}

/// Asks for a run of a job.
pub(crate) fn run_job(name: &str) -> v1::RunJobRequest {
    v1::RunJobRequest { job: name.to_owned(), ..Default::default() }
}
