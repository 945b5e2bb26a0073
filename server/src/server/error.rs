//! Why a server did not start, or ended.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    auth::KeyringError,
    logs::{access, audit},
    otlp, store,
    transport::TlsError,
};

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("cannot listen on {address}: is another server running there?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Plaintext where others could read it.
    #[error(
        "{address} is not a loopback address, and there is no TLS: anybody on the way could read the credentials. \
         Listen on 127.0.0.1, set tls.certificate and tls.key, put a TLS proxy in front, or say --allow-plaintext if the network is trusted"
    )]
    Plaintext {
        /// Which.
        address: SocketAddr,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The keys.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A file of the data directory.
    #[error("cannot write {path}: check its rights and the free space")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The access log.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// A line of the audit log was lost, and the operator wants to serve nobody without.
    #[error("the audit log cannot be written, and audit.required is set: {0}; nothing that was acknowledged is lost")]
    AuditLost(String),
    /// The store.
    #[error("cannot open the store")]
    Store(#[from] store::Error),
    /// The engine stopped by itself.
    #[error(
        "the engine has stopped: {0}; mend the store and start the server again, nothing that was acknowledged is lost"
    )]
    Engine(String),
    /// Spans and metrics.
    #[error("spans and metrics cannot be sent")]
    Otlp(#[from] otlp::Error),
}
