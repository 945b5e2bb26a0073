//! An authority of the test's own, and the files that it writes. They go when it does.

use std::{fs, path::PathBuf, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use semel_client::Tls;
use semel_server::transport::{ClientAuth, TlsFiles};
use tempfile::TempDir;

/// How often servers under test look at their files.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who vouches for servers and callers.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// A new one, which nobody believes yet.
    pub(crate) fn new() -> Self {
        let mut params = named("authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, folder }
    }

    /// The file with its certificate.
    pub(crate) fn pem_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A caller that believes it.
    pub(super) fn believed(&self) -> Tls {
        Tls::new().ca_certificates(self.issuer.pem())
    }

    /// A fresh certificate for `localhost` with its key, both PEM.
    pub(crate) fn issue_server(&self) -> (String, String) {
        self.issue("server", vec![SanType::DnsName("localhost".try_into().expect("a name"))])
    }

    /// The same, but it ends with this year.
    pub(super) fn issue_server_until(&self, year: i32) -> (String, String) {
        let mut params = named("server", vec![SanType::DnsName("localhost".try_into().expect("a name"))]);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        self.sign(&params)
    }

    /// A certificate for a caller with these URIs among its names, and its key, both PEM.
    pub(super) fn issue_client(&self, uris: &[&str]) -> (String, String) {
        self.issue("caller", uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect())
    }

    fn issue(&self, name: &str, names: Vec<SanType>) -> (String, String) {
        self.sign(&named(name, names))
    }

    fn sign(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.clone().signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// The files of a server.
    pub(super) fn server(&self) -> Pair {
        let pair = Pair(tempfile::tempdir().expect("a folder"));
        pair.put(&self.issue_server());
        pair
    }
}

/// Each with a name of its own: a certificate whose issuer has its own name passes for one that nobody vouches for.
fn named(common_name: &str, names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A certificate and its key, where a server looks at them.
pub(super) struct Pair(TempDir);

impl Pair {
    pub(super) fn certificate(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// Replaces both, one after the other, as many tools do.
    pub(super) fn put(&self, (certificate, key): &(String, String)) {
        fs::write(self.certificate(), certificate).expect("a file");
        fs::write(self.key(), key).expect("a file");
    }

    pub(super) fn files(&self, clients: Option<(&Authority, ClientAuth)>) -> TlsFiles {
        TlsFiles {
            certificate: self.certificate(),
            key: self.key(),
            clients: clients.map(|(authority, auth)| (authority.pem_file(), auth)),
            look_every: LOOK_EVERY,
        }
    }
}
