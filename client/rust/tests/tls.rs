//! Calls over TLS: who is believed, and who is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use semel_client::{Client, Error, ErrorKind, Options, RetryOptions, Tls, v1::RunJobRequest};
use semel_proto::v1::job_service_server::JobServiceServer;
use support::calls::{Fake, Step};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server with a certificate for `localhost`, which may ask for one of this authority.
async fn server(authority: &Authority, of_clients: Option<&Authority>) -> (Fake, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fake = Fake::at(address, [Step::Answer, Step::Answer]);
    let (chain, key) = authority.issue("localhost");
    let mut tls = ServerTlsConfig::new().identity(Identity::from_pem(chain, key));
    if let Some(authority) = of_clients {
        tls = tls.client_ca_root(Certificate::from_pem(authority.pem()));
    }
    let server = Server::builder().tls_config(tls).unwrap().add_service(JobServiceServer::new(fake.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (fake, format!("https://localhost:{}", address.port()))
}

async fn run(endpoint: &str, tls: Tls) -> Result<(), Error> {
    let retry = RetryOptions { attempts_max: 2, backoff_first: Duration::from_millis(1), ..RetryOptions::default() };
    let options = Options::new(endpoint).app("pay").tls(tls).retry(retry).overall_timeout(support::PATIENCE);
    let request = RunJobRequest { job: "settle".to_owned(), ..Default::default() };
    Client::connect_lazy(options)?.run_job(request).await.map(|_| ())
}

#[tokio::test]
async fn a_server_is_believed_by_the_authority_that_was_given() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (fake, endpoint) = server(&authority, None).await;
    run(&endpoint, Tls::new().ca_certificates(authority.pem())).await.unwrap();
    assert_eq!(fake.ids().len(), 1);

    for wrong in [Tls::new(), Tls::new().ca_certificates(stranger.pem())] {
        let error = run(&endpoint, wrong).await.expect_err("nobody vouches for it");
        assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
    }
    let named = Tls::new().ca_certificates(authority.pem()).server_name("semel.example");
    assert_eq!(run(&endpoint, named).await.expect_err("another name").kind(), ErrorKind::Transport);
    let plain = run(&endpoint.replace("https", "http"), Tls::new()).await.expect_err("it speaks TLS");
    assert_eq!(plain.kind(), ErrorKind::Transport, "{plain}");
    assert_eq!(fake.ids().len(), 1, "no other call came through");
}

#[tokio::test]
async fn a_certificate_is_shown_to_a_server_that_asks_for_one() {
    let (authority, of_clients) = (Authority::new(), Authority::new());
    let (fake, endpoint) = server(&authority, Some(&of_clients)).await;
    let tls = Tls::new().ca_certificates(authority.pem());
    let without = run(&endpoint, tls.clone()).await.expect_err("it has none");
    assert_eq!(without.kind(), ErrorKind::Transport, "{without}");
    let (chain, key) = of_clients.issue("worker");
    run(&endpoint, tls.client_certificate(chain, key)).await.unwrap();
    assert_eq!(fake.ids().len(), 1);
}
