//! Where a worker's operator lets submitters send requests. This file owns the comparison of a URL with the allow-list:
//! it compares parsed parts, and refuses what two readers could take for two different paths. It resolves no names.
//!
//! # Why `http::Uri` and no URL library
//! What is compared must be what is sent. `http::Uri` is the type that the client connects by, so there is no second
//! parser that could see another host or another path. It does not normalize; so whatever would need it (dot segments,
//! plain or encoded) is refused instead.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};
use serde::{Deserialize, Deserializer, de::Error as _};

/// The beginning of a URL: scheme, host, port and the first segments of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    origin: Origin,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

/// Why a prefix or a URL is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It is no URL at all.
    #[error("cannot read the URL {url:?}: {reason}")]
    Unreadable {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It begins with something else.
    #[error("the URL {0:?} must begin with http:// or https:// and name a host")]
    Scheme(String),
    /// It holds a name or a password.
    #[error("the URL {0:?} holds a user; send credentials in a header instead")]
    User(String),
    /// Its path could be read in two ways.
    #[error("the path of the URL {0:?} holds a `.` or `..` segment; write it out")]
    Dots(String),
    /// A prefix with a query.
    #[error("the prefix {0:?} holds a query; only scheme, host, port and path are compared")]
    Query(String),
    /// A URL that begins with no prefix.
    #[error("{url:?} is not allowed on this worker; it allows what begins with {allowed}")]
    NotAllowed {
        /// What was asked for.
        url: String,
        /// All prefixes.
        allowed: String,
    },
}

impl Prefix {
    /// Whether requests to what begins with this go over TLS.
    pub fn is_tls(&self) -> bool {
        self.origin.tls
    }

    /// Path segments are compared whole: `/pay` allows `/pay` and `/pay/7`, and not `/payroll`.
    fn allows(&self, origin: &Origin, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.path) else { return false };
        *origin == self.origin && (rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (uri, origin) = parse(text)?;
        if uri.query().is_some() {
            return Err(Error::Query(text.to_owned()));
        }
        Ok(Self { origin, path: uri.path().to_owned() })
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { tls, host, port } = &self.origin;
        write!(f, "{}://{host}:{port}{}", if *tls { "https" } else { "http" }, self.path)
    }
}

/// The URL as it will be sent, if it begins with one of the prefixes.
pub(super) fn check(allowed: &[Prefix], url: &str) -> Result<Uri, Error> {
    let (uri, origin) = parse(url)?;
    if allowed.iter().any(|prefix| prefix.allows(&origin, uri.path())) {
        return Ok(uri);
    }
    let allowed: Vec<String> = allowed.iter().map(Prefix::to_string).collect();
    Err(Error::NotAllowed { url: url.to_owned(), allowed: allowed.join(", ") })
}

fn parse(url: &str) -> Result<(Uri, Origin), Error> {
    let uri: Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| Error::Unreadable { url: url.to_owned(), reason: error.to_string() })?;
    let tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(Error::Scheme(url.to_owned())),
    };
    let authority = uri.authority().ok_or_else(|| Error::Scheme(url.to_owned()))?;
    if authority.as_str().contains('@') {
        // The URL is shown without what stands before the host: that may be a password.
        return Err(Error::User(format!("{}://…@{}", if tls { "https" } else { "http" }, authority.host())));
    }
    if authority.host().is_empty() {
        return Err(Error::Scheme(url.to_owned()));
    }
    if has_dots(uri.path()) {
        return Err(Error::Dots(url.to_owned()));
    }
    let port = authority.port_u16();
    if port.is_none() && authority.as_str().len() != authority.host().len() {
        return Err(Error::Unreadable { url: url.to_owned(), reason: "its port is no number".to_owned() });
    }
    let origin =
        Origin { tls, host: authority.host().to_ascii_lowercase(), port: port.unwrap_or(if tls { 443 } else { 80 }) };
    Ok((uri, origin))
}

/// Whether some server on the way could read a step upwards out of a path: plain, encoded once or more, behind an
/// encoded or a backward slash, or with parameters.
fn has_dots(path: &str) -> bool {
    let mut path = path.to_ascii_lowercase();
    while path.contains("%25") {
        path = path.replace("%25", "%");
    }
    let path = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/").replace("%3b", ";");
    path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(prefix: &str, url: &str) -> bool {
        check(&[prefix.parse().unwrap()], url).is_ok()
    }

    #[test]
    fn what_begins_with_an_entry_is_allowed() {
        let prefix = "https://Pay.example/v1/settle";
        for url in [
            "https://pay.example/v1/settle",
            "https://PAY.example/v1/settle/7",
            "https://pay.example:443/v1/settle?at=3",
            "HTTPS://pay.example/v1/settle/a/b%20c",
        ] {
            assert!(allowed(prefix, url), "{url}");
        }
        assert!(allowed("http://h.example", "http://h.example/anything"));
        assert!(allowed("http://h.example/a/", "http://h.example/a/b"));
        assert!(allowed("http://[::1]:8080/", "http://[::1]:8080/x"));
        assert!(allowed("http://h.example", "http://h.example/group%2Fproject"));
    }

    #[test]
    fn what_only_looks_like_an_entry_is_refused() {
        let prefix = "https://pay.example/v1/settle";
        for url in [
            "https://pay.example/v1/settlements",
            "https://pay.example/v1",
            "https://pay.example/V1/settle",
            "https://pay.example/v2?x=/v1/settle",
            "http://pay.example/v1/settle",
            "https://pay.example:8443/v1/settle",
            "https://pay.example.evil.example/v1/settle",
            "https://evil.example/https://pay.example/v1/settle",
            "https://pay.example./v1/settle",
            "https://pay.example@evil.example/v1/settle",
            "https://user:pay.example@evil.example/v1/settle",
            "https://user@pay.example/v1/settle",
            "https://evil.example\\@pay.example/v1/settle",
            "https://pay.example\\.evil.example/v1/settle",
            "https://pay.example:x/v1/settle",
            "https://pay.example:/v1/settle",
            "https://pay.example:99999/v1/settle",
            "https://pay.example/v1/settle/../admin",
            "https://pay.example/v1/settle/%2e%2e/admin",
            "https://pay.example/v1/settle/.%2E/admin",
            "https://pay.example/v1/settle/..%2fadmin",
            "https://pay.example/v1/settle/%252e%252e/admin",
            "https://pay.example/v1/settle/..;/admin",
            "https://pay.example/v1/settle/..%5cadmin",
            "https://pay.example/v1/settle/./x",
            "//pay.example/v1/settle",
            "/v1/settle",
            "pay.example/v1/settle",
            "file:///etc/passwd",
            "https:///v1/settle",
            "https://pay.example/v1/settle\r\nx: y",
            "",
        ] {
            assert!(!allowed(prefix, url), "{url}");
        }
        assert!(!allowed("http://h.example/a/", "http://h.example/a"));
        assert!(check(&[], "http://h.example/").is_err());
    }

    #[test]
    fn a_refusal_names_what_is_allowed_and_never_a_password() {
        let prefix: Prefix = "https://pay.example/v1".parse().unwrap();
        let message = check(&[prefix], "https://evil.example/").unwrap_err().to_string();
        let expected = "\"https://evil.example/\" is not allowed on this worker; it allows what begins with https://pay.example:443/v1";
        assert_eq!(message, expected);
        let message = check(&[], "https://user:hush@pay.example/").unwrap_err().to_string();
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn an_entry_is_a_plain_beginning() {
        assert!(matches!("https://h.example/a?b".parse::<Prefix>(), Err(Error::Query(_))));
        assert!(matches!("https://u@h.example/".parse::<Prefix>(), Err(Error::User(_))));
        assert!(matches!("https://h.example/a/../b".parse::<Prefix>(), Err(Error::Dots(_))));
        assert!(matches!("h.example".parse::<Prefix>(), Err(Error::Scheme(_))));
        assert!(matches!("ftp://h.example/".parse::<Prefix>(), Err(Error::Scheme(_))));
    }
}
