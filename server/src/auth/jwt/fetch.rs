//! Reads a key set from where it is, within bounds of time and size. It follows no redirect and asks no proxy.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{fs, io::AsyncReadExt as _, time};

use super::{
    jwks::KeySet,
    settings::{JwksUrl, KeySource},
};
use crate::causes::with_causes;

/// The largest key set, in bytes.
const SET_BYTES_MAX: usize = 1 << 20;
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why keys did not come.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the key set {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is nothing to judge the certificate of a server by.
    #[error(
        "cannot read the certificates that this machine trusts ({0}): install them (ca-certificates), or set SSL_CERT_FILE"
    )]
    Certificates(std::io::Error),
    /// No answer came.
    #[error("the issuer does not answer: {0}")]
    Unreachable(String),
    /// Another answer than a key set.
    #[error("the issuer answers {0}, where a key set should be")]
    Answer(StatusCode),
    /// It took too long.
    #[error("the key set did not come within {FETCH_TIMEOUT:?}")]
    TooLate,
    /// It is larger than anything that is taken.
    #[error("the key set is larger than {SET_BYTES_MAX} bytes")]
    TooLarge,
    /// It is none.
    #[error("the key set {0}")]
    Malformed(String),
}

/// Looks whether a file holds a key set.
///
/// # Errors
/// See [`Error`].
pub fn check_file(path: &Path) -> Result<(), Error> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(SET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|source| Error::File { path: path.to_owned(), source })?;
    parse(&bytes).map(|_| ())
}

/// Reads a key set.
pub(super) async fn fetch(source: &KeySource) -> Result<KeySet, Error> {
    let read = async {
        match source {
            KeySource::File(path) => read_file(path).await,
            KeySource::Url(url) => get(url).await,
        }
    };
    parse(&time::timeout(FETCH_TIMEOUT, read).await.map_err(|_| Error::TooLate)??)
}

fn parse(bytes: &[u8]) -> Result<KeySet, Error> {
    if bytes.len() > SET_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    KeySet::parse(bytes).map_err(Error::Malformed)
}

async fn read_file(path: &Path) -> Result<Bytes, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let file = fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(SET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes.into())
}

/// A connection for each fetch: they are minutes apart.
async fn get(url: &JwksUrl) -> Result<Bytes, Error> {
    let request = Request::get(url.uri())
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Error::Unreachable(error.to_string()))?;
    let mut connector = HttpConnector::new();
    let builder = Client::builder(TokioExecutor::new());
    let sent = if url.is_tls() {
        connector.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots().map_err(Error::Certificates)?;
        builder.build(tls.https_only().enable_http1().wrap_connector(connector)).request(request).await
    } else {
        builder.build(connector).request(request).await
    };
    let response = sent.map_err(|error| Error::Unreachable(with_causes(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(Error::Answer(response.status()));
    }
    match Limited::new(response.into_body(), SET_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge),
        Err(error) => Err(Error::Unreachable(error.to_string())),
    }
}
