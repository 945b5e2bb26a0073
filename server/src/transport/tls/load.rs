//! From files to a configuration of TLS. Every fault names its file and says what would mend it.

use std::{fs, io, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};

use semel_core::id::Timestamp;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{ClientAuth, TlsFiles};

/// More than this is no certificate and no bundle of authorities.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}; check that it is there and that the server may read it")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has nothing in it that is needed.
    #[error("{path} has no {what} in PEM form")]
    Empty {
        /// Which.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// A file is no PEM, or far too long.
    #[error("{path} cannot be used: {problem}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Certificate and key do not belong together, or rustls does not take them.
    #[error("{certificate} and {key} cannot be used together; is the key that of the first certificate in the file?")]
    Pair {
        /// The certificate.
        certificate: String,
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of callers.
    #[error("{path} has no authority that callers' certificates can be held against")]
    Authorities {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
}

/// What the files hold, before anything is made of it: two of these that are equal need no second look.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// Reads all files.
///
/// # Errors
/// The first that cannot be read.
pub(super) fn read(files: &TlsFiles) -> Result<Contents, Error> {
    Ok(Contents {
        certificate: read_file(&files.certificate)?,
        key: read_file(&files.key)?,
        authorities: files.clients.as_ref().map(|(path, _)| read_file(path)).transpose()?,
    })
}

/// Looks whether TLS can be set up with these files.
///
/// # Errors
/// See [`Error`].
pub fn check(files: &TlsFiles) -> Result<(), Error> {
    config(files, &read(files)?).map(|_| ())
}

/// Makes a configuration of what the files hold.
///
/// # Errors
/// Whatever is wrong with it.
pub(super) fn config(files: &TlsFiles, contents: &Contents) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the defaults of rustls are safe");
    let builder = match (&files.clients, &contents.authorities) {
        (Some((path, auth)), Some(pem)) if *auth != ClientAuth::Off => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, pem)? {
                roots.add(authority).map_err(|error| malformed(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if *auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            let named = |source| Error::Authorities { path: path.display().to_string(), source };
            builder.with_client_cert_verifier(verifier.build().map_err(named)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.certificate, &contents.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => empty(&files.key, "private key"),
        other => malformed(&files.key, &other),
    })?;
    let mut config = builder.with_single_cert(chain, key).map_err(|source| Error::Pair {
        certificate: files.certificate.display().to_string(),
        key: files.key.display().to_string(),
        source,
    })?;
    // The latter for gRPC-Web of old proxies.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When the certificate ends, or one of its chain if that ends before; none if it does not say so.
pub(super) fn end(contents: &Contents) -> Option<Timestamp> {
    let ends = CertificateDer::pem_slice_iter(&contents.certificate).filter_map(|certificate| {
        let certificate = certificate.ok()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
        Some(Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1000)))
    });
    ends.min()
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        return Err(malformed(path, &format!("it has {length} bytes")));
    }
    fs::read(path).map_err(failed)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| malformed(path, &error))?;
    if all.is_empty() { Err(empty(path, "certificate")) } else { Ok(all) }
}

fn empty(path: &Path, what: &'static str) -> Error {
    Error::Empty { path: path.display().to_string(), what }
}

fn malformed(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::Malformed { path: path.display().to_string(), problem: problem.to_string() }
}
