//! What an operator may set: where the collector is, how it is spoken to, how much is told. Decides nothing.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};

/// How many headers there may be.
const HEADERS_MAX: usize = 32;

/// See the module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the collector is.
    pub endpoint: CollectorUrl,
    /// Sent with every call to it.
    pub headers: Headers,
    /// The authorities of its certificate, PEM; none for those of the system.
    pub ca: Option<PathBuf>,
    /// Of the traces that begin here, which part is recorded: from 0 to 1.
    pub sample_ratio: f64,
    /// How often metrics are sent, and how long spans may wait.
    pub interval: Duration,
}

/// The address of a collector that takes OTLP over gRPC: `http://host:4317`, or `https://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(Uri);

impl CollectorUrl {
    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |problem: &str| format!("{text:?} {problem}; write it like http://127.0.0.1:4317");
        let uri: Uri = text.parse().map_err(|_| wrong("is no address"))?;
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("begins with neither http:// nor https://"));
        }
        if authority.as_str().contains('@') {
            return Err("must not hold credentials: put them into otlp.headers".to_owned());
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path: OTLP over gRPC has none"));
        }
        Ok(Self(uri))
    }

    /// Whether the way there is encrypted, or leaves this machine not at all.
    pub fn is_private(&self) -> bool {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        self.is_tls() || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Headers by which the collector knows the server. Their values are secret: nothing shows them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Reads them.
    ///
    /// # Errors
    /// Says what is wrong with them, and shows no value.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut headers = Vec::new();
        for (name, value) in pairs {
            let parsed = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !is_grpcs(name.as_str()));
            let name = parsed.ok_or_else(|| format!("{name:?} is no name of a header that may be set"))?;
            let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok());
            let mut value = value.ok_or_else(|| format!("the value of {name} must be printable ASCII"))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if headers.len() > HEADERS_MAX {
            return Err(format!("must be at most {HEADERS_MAX}"));
        }
        Ok(Self(headers))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names alone.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// What gRPC itself says in headers, and names that stand for bytes.
fn is_grpcs(name: &str) -> bool {
    name.starts_with("grpc-") || name.ends_with("-bin") || matches!(name, "te" | "content-type" | "user-agent" | "host")
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_grpc() {
        for good in ["http://127.0.0.1:4317", "https://otel.example:443", "http://[::1]:4317/", "http://collector:4317"]
        {
            assert!(CollectorUrl::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "collector:4317", "grpc://collector:4317", "http://collector:4318/v1/traces", "http://a?b=c"] {
            assert!(CollectorUrl::parse(bad).is_err(), "{bad}");
        }
        let problem = CollectorUrl::parse("https://user:hunter2@otel.example").expect_err("it holds credentials");
        assert!(problem.contains("otlp.headers") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_way_is_private_on_this_machine_and_with_tls() {
        let private = |text| CollectorUrl::parse(text).expect("an address").is_private();
        assert!(private("http://127.0.0.1:4317") && private("http://[::1]:4317") && private("http://localhost:4317"));
        assert!(private("https://otel.example:4317"));
        assert!(!private("http://otel.example:4317") && !private("http://10.0.0.7:4317"));
    }

    #[test]
    fn values_of_headers_are_never_shown() {
        let headers = Headers::parse([("X-Api-Key", "hunter2"), ("authorization", "Bearer hunter2")]).expect("good");
        assert_eq!(format!("{headers:?}"), r#"["x-api-key", "authorization"]"#);
        for (name, value) in
            [("a b", "hunter2"), ("x", "hunter2\n"), ("x", "h\u{e9}nter2"), ("grpc-timeout", "hunter2")]
        {
            let problem = Headers::parse([(name, value)]).expect_err("it cannot be sent");
            assert!(!problem.contains("nter2"), "{problem}");
        }
    }
}
