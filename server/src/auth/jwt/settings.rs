//! What an operator says of an issuer: who it is, where its keys are, and who its subjects are here.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use http::Uri;
use semel_core::{
    app::Grant,
    id::{AppName, Millis},
};

/// One outside issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// The claim `iss`, letter by letter. Without `#`.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// By how much its clock may differ from ours. Default 30 s.
    pub leeway: Millis,
    /// How often its keys are read anew. Default 5 min.
    pub refresh: Duration,
    /// How long keys stay good when they cannot be read anew. Default 24 h.
    pub max_stale: Millis,
    /// The claim that says who the bearer is. Default `sub`.
    pub principal_claim: String,
    /// What its subjects may do; the first row that matches counts.
    pub identities: Vec<Identity>,
}

impl IssuerSettings {
    /// With the defaults, and without anybody who may do anything.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: KeySource) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            keys,
            leeway: Millis::from_secs(30),
            refresh: Duration::from_secs(300),
            max_stale: Millis::from_secs(24 * 3600),
            principal_claim: "sub".to_owned(),
            identities: Vec::new(),
        }
    }
}

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(JwksUrl),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.0.fmt(f),
        }
    }
}

/// A URL from which keys may be read: over TLS, or from this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Uri);

impl JwksUrl {
    /// Reads one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url: Uri = text.parse().map_err(|_| format!("{text:?} is no URL, such as https://id.example.com/jwks"))?;
        let authority = url.authority().ok_or_else(|| format!("{text:?} must begin with https:// and name a host"))?;
        if authority.as_str().contains('@') {
            return Err("the URL of a key set may hold no user or password".to_owned());
        }
        match url.scheme_str() {
            Some("https") => Ok(Self(url)),
            Some("http") if is_loopback(authority.host()) => Ok(Self(url)),
            _ => Err(format!("{text:?} must begin with https://: plain http is for loopback alone")),
        }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the subjects of one pattern may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whom it speaks of.
    pub subject: SubjectPattern,
    /// The app that calls mean which name none.
    pub app: Option<AppName>,
    /// All that they may do.
    pub grants: Vec<Grant>,
}

/// A subject, or the beginning of one and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(String);

impl SubjectPattern {
    /// Reads one.
    ///
    /// # Errors
    /// If it is empty, or has a `*` anywhere but at its end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || stem.contains('*') {
            return Err(format!("{text:?} is no subject; write it whole, or its beginning and *"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it speaks of this subject.
    pub fn matches(&self, subject: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => subject.starts_with(beginning),
            None => subject == self.0,
        }
    }
}
