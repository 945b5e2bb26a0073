//! TLS in front of a server: an authority of the case's own, and an end that unwraps the bytes and passes them on. It knows no
//! gRPC.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

/// Who vouches for servers and clients. Its files go when it does.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one, which nobody believes yet.
    ///
    /// # Panics
    /// When the system gives no random bits or no folder.
    pub fn new() -> Self {
        let mut params = named("authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        Self { issuer, folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, pem: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, pem).expect("a file");
        path
    }

    /// What a driver is told to believe it.
    pub fn believed(&self) -> Value {
        json!({"ca": self.write("ca.pem", &self.issuer.pem())})
    }

    /// The file of a certificate for a client, and that of its key.
    ///
    /// # Panics
    /// As [`Authority::new`].
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = named("worker", vec!["worker".to_owned()]);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (self.write("client.pem", &certificate.pem()), self.write("client.key", &key.serialize_pem()))
    }

    fn config(&self, of_clients: Option<&Self>) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = named("server", vec!["localhost".to_owned()]);
        let chain = vec![params.signed_by(&key, &self.issuer).expect("a certificate").der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the defaults are safe");
        let builder = match of_clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).expect("a root");
                let provider = Arc::new(ring::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("one root suffices"))
            }
        };
        let mut config = builder.with_single_cert(chain, key).expect("the key is that of the certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// Each with a name of its own: a certificate whose issuer has its own name passes for one that nobody vouches for.
fn named(common_name: &str, names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("the names are good ones");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Stands as `localhost` before a server, with a certificate of this authority; asks for one of the other's if there is one.
/// Gives the endpoint.
///
/// # Panics
/// When no port is free.
pub async fn before(server: SocketAddr, authority: &Authority, of_clients: Option<&Authority>) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(authority.config(of_clients)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((plain, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (Ok(mut near), Ok(mut far)) = (acceptor.accept(plain).await, TcpStream::connect(server).await)
                else {
                    return;
                };
                // Whichever side ends it, there is nobody to tell.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    format!("https://localhost:{port}")
}
