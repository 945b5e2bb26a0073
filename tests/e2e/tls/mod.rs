//! TLS on the callers' listener, through real sockets: who comes in, who the server says they are, and certificates that are
//! renewed under load.

mod authority;
mod counted;
mod identities;
mod restarts;
mod rotation;

use std::net::SocketAddr;

use authority::Pair;
use semel_client::{Client, Code, Credentials, Options, RetryOptions, Tls, v1};
use semel_server::transport::{ClientAuth, ConnectionLimits};

pub(crate) use self::{authority::Authority, counted::certificates_are_counted};
use super::harness::{TestServer, in_time, run_job, spec};

/// A server with TLS, and the files that it looks at.
struct Secured {
    server: TestServer,
    pair: Pair,
}

impl Secured {
    /// With a certificate of this authority; callers are asked for one of `clients`.
    async fn start(
        authority: &Authority,
        clients: Option<(&Authority, ClientAuth)>,
        change: impl FnOnce(&mut semel_server::server::Settings),
    ) -> Self {
        let pair = authority.server();
        let files = pair.files(clients);
        let server = TestServer::with(|settings| {
            settings.tls = Some(files);
            change(settings);
        });
        Self { server: server.await, pair }
    }

    fn address(&self) -> SocketAddr {
        self.server.running().address()
    }

    fn options(&self, tls: Tls) -> Options {
        Options::new(format!("https://localhost:{}", self.address().port())).tls(tls)
    }

    /// A client of the admin.
    async fn admin(&self, tls: Tls) -> Client {
        let credentials = Credentials::Token(self.server.admin_secret.clone());
        Client::connect(self.options(tls).credentials(credentials)).await.expect("connects")
    }

    /// Makes the app `pay` with its job; gives a client of the app.
    async fn pay(&self, tls: &Tls) -> Client {
        let admin = self.admin(tls.clone()).await;
        let app = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
        let secret = admin.create_app(app).await.expect("the app is made").secret;
        let credentials = Credentials::Secret { app: "pay".to_owned(), secret };
        let options = self.options(tls.clone()).app("pay").credentials(credentials);
        let pay = Client::connect(options).await.expect("connects");
        let job = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("echo")), ..Default::default() };
        pay.create_job(job).await.expect("the job is made");
        pay
    }
}

/// How many runs the app of this client has.
async fn run_count(client: &Client) -> usize {
    let (mut runs, mut token) = (0, String::new());
    loop {
        let page = Some(v1::PageRequest { page_size: 1000, page_token: token });
        let listed = client.list_runs(v1::ListRunsRequest { page, ..Default::default() }).await.expect("a list");
        runs += listed.runs.len();
        token = listed.page.map(|page| page.next_page_token).unwrap_or_default();
        if token.is_empty() {
            return runs;
        }
    }
}

#[tokio::test]
async fn calls_go_over_tls_and_plaintext_does_not_come_in() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, None, |_| {}).await;
    let pay = secured.pay(&authority.believed()).await;
    pay.run_job(run_job("settle")).await.expect("a run");
    let plain = Options::new(format!("http://{}", secured.address())).retry(RetryOptions::none());
    let answered = match in_time(Client::connect(plain)).await {
        Ok(client) => in_time(client.check_auth(v1::CheckAuthRequest::default())).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = answered.expect_err("plaintext is not spoken here");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_sent_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let secured = Secured::start(&authority, None, |_| {}).await;
    let options = secured.options(other.believed()).retry(RetryOptions::none());
    in_time(Client::connect(options)).await.map(|_| ()).expect_err("the certificate is another authority's");
}

#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, None, |_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(secured.address()).await.expect("connects"));
    }
    let pay = in_time(secured.pay(&authority.believed())).await;
    in_time(pay.run_job(run_job("settle"))).await.expect("a run");
    drop(silent);
}

#[tokio::test]
async fn silent_connections_give_way_to_those_that_shake_hands() {
    let authority = Authority::new();
    let limits = ConnectionLimits { total: 8, per_address: 8 };
    let secured = Secured::start(&authority, None, |settings| settings.connections = limits).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(secured.address()).await.expect("connects"));
    }
    let pay = in_time(secured.pay(&authority.believed())).await;
    in_time(pay.run_job(run_job("settle"))).await.expect("a run");
    let connections = secured.server.running().connections();
    assert!(connections.open <= 8 && connections.evicted >= 42, "{connections:?}");
    drop(silent);
}

#[tokio::test]
async fn a_server_does_not_start_on_files_that_do_not_fit() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (pair, stranger) = (authority.server(), other.server());
    let broken = |change: &dyn Fn(&mut semel_server::transport::TlsFiles)| {
        let mut files = pair.files(None);
        change(&mut files);
        let error = semel_server::transport::check_tls(&files).expect_err("it cannot be used");
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    };
    let mixed = broken(&|files| files.key = stranger.key());
    assert!(mixed.contains("key.pem") && mixed.contains("first certificate"), "{mixed}");
    let missing = broken(&|files| files.certificate = "nowhere.pem".into());
    assert!(missing.contains("nowhere.pem") && missing.contains("check that it is there"), "{missing}");
    let swapped = broken(&|files| std::mem::swap(&mut files.certificate, &mut files.key));
    assert!(swapped.contains("no certificate"), "{swapped}");
    let keyless = broken(&|files| files.key = files.certificate.clone());
    assert!(keyless.contains("no private key"), "{keyless}");
}
