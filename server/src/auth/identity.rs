//! Who a caller is by its client certificate: which names of certificates are which callers, and what those may do.
//!
//! A name is a SPIFFE id, the one URI of a certificate. It stays the same when the certificate is renewed, so a call that is
//! sent again over another connection is the same principal's (promise D5).

use std::sync::{Arc, OnceLock};

use semel_core::{
    app::Grant,
    id::{AppName, Timestamp},
    policy::Principal,
};

use super::{Method, Status, authenticator::Verdict};

const SCHEME: &str = "spiffe://";

/// What a verified certificate says of its bearer.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The URIs among its names.
    pub uris: Vec<String>,
    /// Its end.
    pub expire_time: Timestamp,
    /// Who bears it, once it was looked up: one connection asks with each of its calls.
    known: OnceLock<Option<Arc<Principal>>>,
}

impl Certificate {
    /// One with these names.
    pub fn new(uris: Vec<String>, expire_time: Timestamp) -> Self {
        Self { uris, expire_time, known: OnceLock::new() }
    }
}

/// Callers with such a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// One SPIFFE id, or all below one: `spiffe://prod.example/ns/pay/*`.
    pub uri: UriPattern,
    /// The app that they belong to, which empty fields of requests mean; none if they must name one.
    pub app: Option<AppName>,
    /// What they may do.
    pub grants: Vec<Grant>,
}

/// Which SPIFFE ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriPattern {
    /// With the slash before the star.
    text: String,
    is_prefix: bool,
}

impl UriPattern {
    /// Reads a SPIFFE id, or one with `/*` at its end.
    ///
    /// # Errors
    /// Says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no SPIFFE id; write it like spiffe://prod.example/ns/pay, or end it with /* for all below"
            )
        };
        let (path, is_prefix) = match text.strip_suffix('*') {
            Some(path) if path.ends_with('/') => (path, true),
            Some(_) => return Err(wrong()),
            None => (text, false),
        };
        let inner = path.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let domain = inner.split('/').next().unwrap_or_default();
        let plain = |char: char| char.is_ascii_alphanumeric() || "-._/".contains(char);
        if domain.is_empty() || text.len() > 2048 || !inner.chars().all(plain) || inner.contains("//") {
            return Err(wrong());
        }
        Ok(Self { text: path.to_owned(), is_prefix })
    }

    /// The form that it was read from.
    pub fn show(&self) -> String {
        format!("{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }

    pub(super) fn holds(&self, uri: &str) -> bool {
        if self.is_prefix { uri.len() > self.text.len() && uri.starts_with(&self.text) } else { uri == self.text }
    }
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Identities(Vec<Identity>);

impl Identities {
    /// The nearest comes first: one id before all below a folder, the longer folder before the shorter.
    pub(super) fn new(mut all: Vec<Identity>) -> Self {
        all.sort_by_key(|identity| (identity.uri.is_prefix, std::cmp::Reverse(identity.uri.text.len())));
        Self(all)
    }

    /// The verdict on a certificate that has been verified. None if it says nothing of who the caller is: then it is as if
    /// there were no certificate.
    pub(super) fn judge(&self, certificate: &Certificate, now: Timestamp) -> Option<Verdict> {
        let uri = match certificate.uris.as_slice() {
            [] => return None,
            [uri] => uri,
            // By the SPIFFE standard such a certificate is nobody's.
            _ => return Some(Verdict::refused(Status::Malformed)),
        };
        let principal = certificate.known.get_or_init(|| self.principal(uri)).clone()?;
        if certificate.expire_time <= now {
            let verdict = Verdict::refused(Status::Expired);
            return Some(Verdict { expire_time: Some(certificate.expire_time), ..verdict });
        }
        Some(Verdict::served(Status::Passed, principal, Method::ClientCertificate, Some(certificate.expire_time)))
    }

    /// Who bears this name, if anybody is known by it.
    pub(super) fn principal(&self, uri: &str) -> Option<Arc<Principal>> {
        let identity = self.0.iter().find(|identity| identity.uri.holds(uri))?;
        let (app, grants) = (identity.app.clone(), identity.grants.clone());
        Some(Arc::new(Principal { name: Arc::from(uri), app, grants }))
    }
}

#[cfg(test)]
mod tests {
    use semel_core::app::{AppPattern, Role};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn identity(uri: &str, role: Role) -> Identity {
        let grants = vec![Grant { role, apps: AppPattern::All }];
        Identity { uri: UriPattern::parse(uri).expect("a pattern"), app: None, grants }
    }

    fn shown(uris: &[&str]) -> Certificate {
        Certificate::new(uris.iter().map(|uri| (*uri).to_owned()).collect(), Timestamp(2_000))
    }

    fn role_of(identities: &Identities, uri: &str) -> Option<Role> {
        let verdict = identities.judge(&shown(&[uri]), NOW)?;
        assert_eq!((verdict.status, verdict.method), (Status::Passed, Method::ClientCertificate));
        let principal = verdict.principal.expect("somebody");
        assert_eq!(&*principal.name, uri);
        principal.grants.first().map(|grant| grant.role)
    }

    #[test]
    fn the_nearest_pattern_decides() {
        let identities = Identities::new(vec![
            identity("spiffe://prod/*", Role::Viewer),
            identity("spiffe://prod/ns/pay/*", Role::Submitter),
            identity("spiffe://prod/ns/pay/worker", Role::Worker),
        ]);
        assert_eq!(role_of(&identities, "spiffe://prod/ns/pay/worker"), Some(Role::Worker));
        assert_eq!(role_of(&identities, "spiffe://prod/ns/pay/web"), Some(Role::Submitter));
        assert_eq!(role_of(&identities, "spiffe://prod/ns/shop"), Some(Role::Viewer));
        for nobody in ["spiffe://prod/", "spiffe://prod", "spiffe://production/x", "https://prod/ns/pay/web"] {
            assert_eq!(role_of(&identities, nobody), None, "{nobody}");
        }
    }

    #[test]
    fn two_names_are_nobodys_and_none_is_as_if_there_were_no_certificate() {
        let identities = Identities::new(vec![identity("spiffe://prod/*", Role::Admin)]);
        assert!(identities.judge(&shown(&[]), NOW).is_none());
        assert!(identities.judge(&Certificate::new(Vec::new(), Timestamp(0)), NOW).is_none());
        let verdict = identities.judge(&shown(&["spiffe://prod/a", "spiffe://prod/b"]), NOW).expect("a verdict");
        assert_eq!((verdict.status, verdict.principal), (Status::Malformed, None));
    }

    #[test]
    fn who_bears_it_is_looked_up_once() {
        let identities = Identities::new(vec![identity("spiffe://prod/*", Role::Admin)]);
        let certificate = shown(&["spiffe://prod/a"]);
        let bearer = || identities.judge(&certificate, NOW).and_then(|verdict| verdict.principal).expect("somebody");
        assert!(Arc::ptr_eq(&bearer(), &bearer()));
    }

    #[test]
    fn it_ends_with_the_certificate() {
        let identities = Identities::new(vec![identity("spiffe://prod/*", Role::Admin)]);
        let verdict = identities.judge(&shown(&["spiffe://prod/a"]), Timestamp(1_999)).expect("a verdict");
        assert_eq!((verdict.status, verdict.expire_time), (Status::Passed, Some(Timestamp(2_000))));
        let verdict = identities.judge(&shown(&["spiffe://prod/a"]), Timestamp(2_000)).expect("a verdict");
        assert_eq!((verdict.status, verdict.principal), (Status::Expired, None));
    }

    #[test]
    fn patterns_are_read_and_shown() {
        for good in ["spiffe://prod/a", "spiffe://prod/a/*", "spiffe://prod.example/*", "spiffe://prod"] {
            assert_eq!(UriPattern::parse(good).map(|pattern| pattern.show()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "*",
            "spiffe://",
            "spiffe:///a",
            "https://prod/a",
            "spiffe://prod/a*",
            "spiffe://prod//a",
            "spiffe://p/ä",
        ] {
            assert!(UriPattern::parse(bad).expect_err(bad).contains("spiffe://prod.example"), "{bad}");
        }
    }
}
