//! Callers of whom a proxy says who they are: the header `x-forwarded-client-cert`, as Envoy and Istio write it. It is worth
//! what its sender is worth, so it is read only from peers that the operator has named, and is nothing from all others.
//!
//! Each hop that takes part adds an element at the right: whom *it* saw. The one at the right end is therefore the word of our
//! peer. While an element names another proxy of the list, what that one said stands to the left of it; the first that names
//! none is the caller. What stands further left could have been written by the caller itself.

use std::{borrow::Cow, net::IpAddr};

use ipnet::IpNet;

use super::identity::{Certificate, UriPattern};

/// The name of the header.
pub const HEADER: &str = "x-forwarded-client-cert";

/// A peer whose word on its callers is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarder {
    /// Whoever shows such a certificate.
    Certificate(UriPattern),
    /// Whoever connects from there.
    Network(IpNet),
}

impl Forwarder {
    /// Reads a SPIFFE id (or all below one), an address, or a network.
    ///
    /// # Errors
    /// Says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("spiffe:") {
            return UriPattern::parse(text).map(Self::Certificate);
        }
        let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
        network.map(Self::Network).map_err(|_| {
            format!("{text:?} is no peer; write it like 127.0.0.1, 10.1.0.0/16 or spiffe://prod.example/ns/ingress/*")
        })
    }

    /// The form that it is read from.
    pub fn show(&self) -> String {
        match self {
            Self::Certificate(uri) => uri.show(),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => network.addr().to_string(),
            Self::Network(network) => network.to_string(),
        }
    }
}

/// All peers whose word is taken.
#[derive(Debug, Default)]
pub(super) struct Forwarders(Vec<Forwarder>);

impl Forwarders {
    pub(super) fn new(all: Vec<Forwarder>) -> Self {
        Self(all)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what this peer says of its callers is taken.
    pub(super) fn trust(&self, certificate: Option<&Certificate>, address: Option<IpAddr>) -> bool {
        self.0.iter().any(|forwarder| match forwarder {
            Forwarder::Certificate(pattern) => {
                certificate.is_some_and(|shown| matches!(shown.uris.as_slice(), [uri] if pattern.holds(uri)))
            }
            Forwarder::Network(network) => address.is_some_and(|address| network.contains(&address.to_canonical())),
        })
    }

    fn is_proxy(&self, uri: &str) -> bool {
        self.0.iter().any(|forwarder| matches!(forwarder, Forwarder::Certificate(pattern) if pattern.holds(uri)))
    }

    /// Whom a header of a trusted peer names: the URI of the caller. None if it names nobody by a URI.
    ///
    /// # Errors
    /// [`Malformed`] if it cannot be read up to the caller, or names it twice.
    pub(super) fn caller<'h>(&self, header: &'h str) -> Result<Option<Cow<'h, str>>, Malformed> {
        let elements = split(header, ',')?;
        for element in elements.iter().rev() {
            let mut uris = Vec::new();
            for pair in split(element, ';')?.into_iter().map(str::trim).filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').ok_or(Malformed)?;
                if key.trim().eq_ignore_ascii_case("URI") {
                    uris.push(unquoted(value.trim())?);
                }
            }
            match uris.len() {
                0 => return Ok(None),
                1 if self.is_proxy(&uris[0]) => {}
                1 => return Ok(uris.pop()),
                // By the SPIFFE standard such a certificate is nobody's.
                _ => return Err(Malformed),
            }
        }
        Ok(None)
    }
}

/// A header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Malformed> {
    let (mut parts, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if char == separator && !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    if is_quoted { Err(Malformed) } else { Ok(parts) }
}

/// A value without its quotes.
fn unquoted(value: &str) -> Result<Cow<'_, str>, Malformed> {
    let Some(inner) = value.strip_prefix('"') else {
        return if value.contains('"') { Err(Malformed) } else { Ok(Cow::Borrowed(value)) };
    };
    let inner = inner.strip_suffix('"').ok_or(Malformed)?;
    if !inner.contains('\\') {
        return if inner.contains('"') { Err(Malformed) } else { Ok(Cow::Borrowed(inner)) };
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next().ok_or(Malformed)? } else { char });
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use semel_core::{
        app::{AppPattern, Grant, Role},
        id::{Millis, Timestamp},
    };

    use super::*;
    use crate::auth::{Authenticator, Identity, Keyring, Mode, Moment, Shown, Status};

    fn forwarders(all: &[&str]) -> Forwarders {
        Forwarders::new(all.iter().map(|text| Forwarder::parse(text).expect("a peer")).collect())
    }

    fn caller(header: &str) -> Result<Option<String>, Malformed> {
        let proxies = forwarders(&["spiffe://prod/ns/ingress/*", "10.0.0.0/8"]);
        proxies.caller(header).map(|uri| uri.map(Cow::into_owned))
    }

    fn names(uri: &str) -> Result<Option<String>, Malformed> {
        Ok(Some(uri.to_owned()))
    }

    #[test]
    fn the_caller_is_whom_the_last_proxy_saw() {
        let pay = "By=spiffe://prod/ns/ingress/a;Hash=4f;Subject=\"CN=pay,O=\\\"prod\\\";x\";URI=spiffe://prod/ns/pay";
        assert_eq!(caller(pay), names("spiffe://prod/ns/pay"));
        assert_eq!(caller("Hash=4f;URI=\"spiffe://prod/ns/pay\";DNS=pay.prod"), names("spiffe://prod/ns/pay"));
        // What a caller wrote itself stands to the left of what the proxy added.
        assert_eq!(caller("URI=spiffe://prod/ns/root,Hash=4f;URI=spiffe://prod/ns/pay"), names("spiffe://prod/ns/pay"));
    }

    #[test]
    fn behind_a_second_proxy_of_the_list_stands_whom_that_one_saw() {
        let hops = "URI=spiffe://prod/ns/root, uri=spiffe://prod/ns/pay , URI=spiffe://prod/ns/ingress/edge";
        assert_eq!(caller(hops), names("spiffe://prod/ns/pay"));
        assert_eq!(caller("URI=spiffe://prod/ns/ingress/a,URI=spiffe://prod/ns/ingress/b"), Ok(None));
    }

    #[test]
    fn who_is_not_named_is_nobody_and_what_cannot_be_read_is_told() {
        for nobody in ["", "Hash=4f", "Hash=4f;DNS=pay.prod", "URI=spiffe://prod/ns/pay,Hash=4f"] {
            assert_eq!(caller(nobody), Ok(None), "{nobody}");
        }
        for bad in [
            "URI=\"spiffe://prod/ns/pay",
            "URI",
            "URI=spiffe://prod/a;URI=spiffe://prod/b",
            "URI=\"a\"b\"",
            "URI=a\"b\"c",
        ] {
            assert_eq!(caller(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn only_peers_of_the_list_are_believed() {
        let list = forwarders(&["spiffe://prod/ns/ingress/*", "10.0.0.0/8", "::1"]);
        let shown = |uris: &[&str]| Certificate::new(uris.iter().map(|uri| (*uri).to_owned()).collect(), Timestamp(9));
        let at = |address: &str| Some(address.parse::<IpAddr>().expect("an address"));
        assert!(
            list.trust(None, at("10.1.2.3")) && list.trust(None, at("::1")) && list.trust(None, at("::ffff:10.1.2.3"))
        );
        assert!(!list.trust(None, at("11.1.2.3")) && !list.trust(None, at("::2")) && !list.trust(None, None));
        assert!(list.trust(Some(&shown(&["spiffe://prod/ns/ingress/a"])), at("11.1.2.3")));
        assert!(!list.trust(Some(&shown(&["spiffe://prod/ns/pay"])), at("11.1.2.3")));
        assert!(!list.trust(Some(&shown(&["spiffe://prod/ns/ingress/a", "spiffe://prod/b"])), None));
        assert!(!forwarders(&[]).trust(Some(&shown(&["spiffe://prod/ns/ingress/a"])), at("10.1.2.3")));
    }

    #[test]
    fn a_proxys_own_certificate_is_nobodys_who_comes_through_it() {
        let grants = vec![Grant { role: Role::Viewer, apps: AppPattern::All }];
        let uri = UriPattern::parse("spiffe://prod/*").expect("a pattern");
        let ingress = Forwarder::parse("spiffe://prod/ns/ingress/*").expect("a peer");
        let keyring = Arc::new(Keyring::ephemeral().expect("random bits"));
        let authenticator = Authenticator::new(Mode::Enforce, Vec::new(), keyring)
            .with_identities(vec![Identity { uri, app: None, grants }])
            .with_forwarders(vec![ingress]);
        let moment = Moment { now: Timestamp(1), steady: Millis(1), address: None };
        let judge = |uri: &str, forwarded: Option<&str>| {
            let certificate = Certificate::new(vec![uri.to_owned()], Timestamp(9));
            let forwarded = forwarded.map(str::as_bytes);
            let verdict = authenticator.judge(
                None,
                Shown { authorization: None, certificate: Some(&certificate), forwarded },
                moment,
            );
            (verdict.status, verdict.principal.map(|principal| principal.name.to_string()))
        };
        let (proxy, pay) = ("spiffe://prod/ns/ingress/a", "spiffe://prod/ns/pay");
        let passed = |name: &str| (Status::Passed, Some(name.to_owned()));
        assert_eq!(judge(proxy, Some("URI=spiffe://prod/ns/pay")), passed(pay));
        assert_eq!(judge(proxy, None), (Status::Missing, None));
        assert_eq!(
            judge(pay, Some("URI=spiffe://prod/ns/root")),
            passed(pay),
            "it is no proxy, so it speaks for itself"
        );
        let header = [0xff, b'='];
        let certificate = Certificate::new(vec![proxy.to_owned()], Timestamp(9));
        let shown = Shown { authorization: None, certificate: Some(&certificate), forwarded: Some(&header) };
        assert_eq!(authenticator.judge(None, shown, moment).status, Status::Malformed);
    }

    #[test]
    fn peers_are_read_and_shown() {
        for good in ["127.0.0.1", "10.1.0.0/16", "::1", "fd00::/8", "spiffe://prod.example/ns/ingress/*"] {
            assert_eq!(Forwarder::parse(good).map(|peer| peer.show()).as_deref(), Ok(good));
        }
        for bad in ["", "*", "localhost", "10.1.0.0/33", "127.0.0.1:80"] {
            assert!(Forwarder::parse(bad).expect_err(bad).contains("10.1.0.0/16"), "{bad}");
        }
        assert!(Forwarder::parse("spiffe://prod/*x").is_err());
    }
}
