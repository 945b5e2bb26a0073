//! Where credentials may travel: over TLS, or where nobody else can read them. It owns that rule and what TLS is set up
//! with; it connects nothing.

use std::{fmt, net::IpAddr};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{
    error::Error,
    options::{Credentials, Options},
};

/// How an `https://` endpoint is spoken to. The default holds the server's certificate against the system's roots.
#[derive(Clone, Default)]
pub struct Tls {
    roots: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

impl Tls {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds the server's certificate against these CA certificates (PEM, one or more) instead of the system's.
    #[must_use]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Shows this certificate, with the chain to its CA, to a server that asks for one (both PEM).
    #[must_use]
    pub fn client_certificate(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// The name that the server's certificate must bear. Default: the endpoint's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    fn config(&self) -> ClientTlsConfig {
        let mut config = match &self.roots {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((chain, key)) = &self.identity {
            config = config.identity(Identity::from_pem(chain, key));
        }
        match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("own_roots", &self.roots.is_some())
            .field("client_certificate", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// Sets TLS up where the endpoint wants it, and refuses to send credentials where anybody could read them.
///
/// # Errors
/// A mistake of usage: a scheme that is not known, plaintext off loopback, TLS options that cannot be used.
pub(crate) fn secured(endpoint: Endpoint, options: &Options) -> Result<Endpoint, Error> {
    let unusable = |why: &str| Error::usage(format!("cannot use the endpoint {:?}: {why}", options.endpoint));
    let uri = endpoint.uri();
    match uri.scheme_str() {
        _ if options.endpoint.starts_with("unix:") => Ok(endpoint),
        Some("https") => {
            let config = options.tls.clone().unwrap_or_default().config();
            endpoint.tls_config(config).map_err(|error| unusable(&format!("{error}; check the certificates")))
        }
        Some("http") => {
            let is_open = options.credentials != Credentials::None && !options.allow_plaintext;
            if is_open && !uri.host().is_some_and(is_loopback) {
                return Err(unusable(
                    "it is not on this machine, and anybody on the way could read the credentials; use https://, or allow \
                     plaintext if the network is trusted, as behind a mesh that encrypts",
                ));
            }
            Ok(endpoint)
        }
        _ => Err(unusable("it must begin with https://, http:// or unix:")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(endpoint: &str, change: impl FnOnce(Options) -> Options) -> Result<(), String> {
        let secret = Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() };
        let options = change(Options::new(endpoint).credentials(secret));
        let parsed = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string())?;
        secured(parsed, &options).map(|_| ()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn credentials_do_not_travel_where_others_could_read_them() {
        for fine in
            ["http://127.0.0.1:1", "http://127.3.2.1:1", "http://[::1]:1", "http://localhost:1", "https://semel:1"]
        {
            assert_eq!(judged(fine, |options| options), Ok(()), "{fine}");
        }
        for open in ["http://semel:1", "http://10.0.0.1:1", "http://[fe80::1]:1", "http://localhost.evil:1"] {
            let message = judged(open, |options| options).expect_err(open);
            assert!(message.contains("https://") && !message.contains("hush"), "{message}");
            assert_eq!(judged(open, |options| options.allow_plaintext(true)), Ok(()), "{open}, allowed");
            assert_eq!(
                judged(open, |options| options.credentials(Credentials::None)),
                Ok(()),
                "{open}, nothing to lose"
            );
        }
        assert!(judged("ftp://127.0.0.1:1", |options| options).is_err());
    }

    #[test]
    fn a_key_never_shows() {
        let tls = Tls::new().client_certificate("chain", "hush").ca_certificates("roots").server_name("semel");
        let shown = format!("{:?}", Options::new("https://semel:1").tls(tls));
        assert!(shown.contains("client_certificate: true") && !shown.contains("hush"), "{shown}");
    }
}
