//! From credentials to a verdict.

use std::{net::IpAddr, sync::Arc};

use semel_core::{
    app::{Grant, Role},
    id::{AppName, Millis, Timestamp, TokenId},
    policy::{self, Principal},
};

use super::{
    Method, Status,
    forwarded::{Forwarder, Forwarders},
    identity::{Certificate, Identities, Identity},
    jwt::Issuers,
    keyring::Keyring,
    secret::AppSecret,
    throttle::{Subject, Throttle},
    token::{self, Claims, Fault, MAX_LIFETIME},
};
use crate::engine::{AppEntry, Directory};

/// How the server treats credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every call needs them.
    #[default]
    Enforce,
    /// Calls without any are served with what anonymous callers were granted; bad ones are refused.
    Permissive,
    /// They are not looked at, and everybody may do everything.
    Off,
}

/// What became of a caller's credentials.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// In a word.
    pub status: Status,
    /// Who the caller is, if it may be served.
    pub principal: Option<Arc<Principal>>,
    /// By what it proved it.
    pub method: Method,
    /// When the credentials end.
    pub expire_time: Option<Timestamp>,
    /// When to come again, if there is no verdict now.
    pub retry_after: Option<Millis>,
}

impl Verdict {
    /// The app that the caller is, if it may be served and is one.
    pub fn app(&self) -> Option<&AppName> {
        self.principal.as_ref()?.app.as_ref()
    }

    pub(super) fn served(
        status: Status,
        principal: impl Into<Arc<Principal>>,
        method: Method,
        expire_time: Option<Timestamp>,
    ) -> Self {
        Self { status, principal: Some(principal.into()), method, expire_time, retry_after: None }
    }

    /// A verdict by which nobody is served.
    pub fn refused(status: Status) -> Self {
        Self { status, principal: None, method: Method::None, expire_time: None, retry_after: None }
    }
}

/// Roles were asked for that the app does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NarrowingError(pub Role);

/// See the module.
#[derive(Debug)]
pub struct Authenticator {
    mode: Mode,
    anonymous: Vec<Grant>,
    identities: Identities,
    forwarders: Forwarders,
    keyring: Arc<Keyring>,
    issuers: Issuers,
    throttle: Throttle,
}

/// What a call brings to prove who makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// Its `authorization`, whatever that is.
    pub authorization: Option<&'a [u8]>,
    /// The certificate of its connection, which has been verified.
    pub certificate: Option<&'a Certificate>,
    /// Its [`FORWARDED_HEADER`](super::FORWARDED_HEADER), which may be anybody's word.
    pub forwarded: Option<&'a [u8]>,
}

/// What is known of the moment of a call.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The server's time.
    pub now: Timestamp,
    /// Time that only grows.
    pub steady: Millis,
    /// Where the call comes from.
    pub address: Option<IpAddr>,
}

impl Authenticator {
    /// With `anonymous`, the grants of callers without credentials under [`Mode::Permissive`].
    pub fn new(mode: Mode, anonymous: Vec<Grant>, keyring: Arc<Keyring>) -> Self {
        let (identities, forwarders, issuers) = (Identities::default(), Forwarders::default(), Issuers::default());
        Self { mode, anonymous, identities, forwarders, keyring, issuers, throttle: Throttle::default() }
    }

    /// The same, but callers are known by these names of their certificates too.
    #[must_use]
    pub fn with_identities(self, identities: Vec<Identity>) -> Self {
        Self { identities: Identities::new(identities), ..self }
    }

    /// The same, but what these peers say of who their callers are is taken.
    #[must_use]
    pub fn with_forwarders(self, forwarders: Vec<Forwarder>) -> Self {
        Self { forwarders: Forwarders::new(forwarders), ..self }
    }

    /// Whether anybody's word on its callers is taken.
    pub fn takes_forwarded(&self) -> bool {
        !self.forwarders.is_empty()
    }

    /// The same, but tokens of these outside issuers are taken too.
    #[must_use]
    pub fn with_issuers(self, issuers: Issuers) -> Self {
        Self { issuers, ..self }
    }

    /// The outside issuers.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// How credentials are treated.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The server's keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Judges what a call brings. Without a directory the authority cannot be asked, and there is no verdict, unless a
    /// certificate says who it is. Where there are both, the `authorization` decides: it is the caller's own word, and the
    /// certificate may be that of a sidecar that many share.
    pub fn judge(&self, directory: Option<&Directory>, shown: Shown<'_>, moment: Moment) -> Verdict {
        if self.mode == Mode::Off {
            return Verdict::served(Status::NotRequired, Principal::unrestricted(), Method::Anonymous, None);
        }
        let Some(authorization) = shown.authorization.filter(|value| !value.is_empty()) else {
            if let Some(verdict) = self.judge_certificate(shown, moment) {
                return verdict;
            }
            if self.mode == Mode::Permissive {
                let principal = Principal::anonymous(self.anonymous.clone());
                return Verdict::served(Status::NotRequired, principal, Method::Anonymous, None);
            }
            return Verdict::refused(Status::Missing);
        };
        let Some(directory) = directory else {
            return Verdict { retry_after: Some(Millis(500)), ..Verdict::refused(Status::Unavailable) };
        };
        let verdict = match bearer(authorization) {
            Some(bearer) => self.judge_bearer(directory, bearer, moment),
            None => Verdict::refused(Status::Malformed),
        };
        self.throttled(verdict, moment.address.map(Subject::Address), moment.steady)
    }

    /// The verdict on who a certificate names, be it that of the connection or the one that its peer tells of. None if there is
    /// none that says anything. A proxy speaks for its callers alone: its own certificate is nobody's who comes through it.
    fn judge_certificate(&self, shown: Shown<'_>, moment: Moment) -> Option<Verdict> {
        if !self.forwarders.trust(shown.certificate, moment.address) {
            return self.identities.judge(shown.certificate?, moment.now);
        }
        let header = std::str::from_utf8(shown.forwarded?).ok();
        let Some(Ok(caller)) = header.map(|header| self.forwarders.caller(header)) else {
            return Some(Verdict::refused(Status::Malformed));
        };
        let principal = self.identities.principal(&caller?)?;
        // Its end is known to the proxy alone.
        Some(Verdict::served(Status::Passed, principal, Method::ForwardedCertificate, None))
    }

    /// Judges an app's secret, as it stands in a message.
    pub fn judge_secret(&self, directory: &Directory, app: &AppName, secret: &str, moment: Moment) -> Verdict {
        let verdict = match AppSecret::parse(secret) {
            None => Verdict::refused(Status::Malformed),
            Some(secret) => match directory.app(app) {
                Some(entry) => secret_verdict(entry, &secret, moment.now),
                None => Verdict::refused(Status::Invalid),
            },
        };
        let verdict = self.throttled(verdict, Some(Subject::App(app.clone())), moment.steady);
        self.throttled(verdict, moment.address.map(Subject::Address), moment.steady)
    }

    /// Issues a token for an app that has proved itself, narrowed to these roles (all, if there are none).
    ///
    /// # Errors
    /// When a role is asked for that the principal does not hold.
    pub fn issue(
        &self,
        principal: &Principal,
        app: &AppName,
        roles: Vec<Role>,
        lifetime: Millis,
        now: Timestamp,
        token_id: TokenId,
    ) -> Result<(String, Claims), NarrowingError> {
        let held = |role: &Role| principal.grants.iter().any(|grant| policy::includes(grant.role, *role));
        if let Some(missing) = roles.iter().find(|role| !held(role)) {
            return Err(NarrowingError(*missing));
        }
        let lifetime = Millis(lifetime.0.clamp(1, MAX_LIFETIME.0));
        let claims = Claims { token_id, app: app.clone(), roles, issue_time: now, expire_time: now.plus(lifetime) };
        Ok((token::sign(&self.keyring, &claims), claims))
    }

    fn judge_bearer(&self, directory: &Directory, bearer: &str, moment: Moment) -> Verdict {
        let now = moment.now;
        if AppSecret::looks_like_one(bearer) {
            let Some(secret) = AppSecret::parse(bearer) else { return Verdict::refused(Status::Malformed) };
            return match directory.app_of_secret(&secret.hash()) {
                Some(entry) => secret_verdict(entry, &secret, now),
                None => Verdict::refused(Status::Invalid),
            };
        }
        if let Some(verdict) = self.issuers.judge(bearer, moment) {
            return verdict;
        }
        match token::verify(&self.keyring, bearer) {
            Ok(claims) => token_verdict(directory, &claims, now),
            Err(Fault::Malformed) => Verdict::refused(Status::Malformed),
            Err(Fault::Invalid) => Verdict::refused(Status::Invalid),
        }
    }

    /// Counts an attempt with bad credentials, and takes its verdict back if its subject is to wait.
    fn throttled(&self, verdict: Verdict, subject: Option<Subject>, steady: Millis) -> Verdict {
        if !matches!(verdict.status, Status::Malformed | Status::Invalid) {
            return verdict;
        }
        match subject.and_then(|subject| self.throttle.failed(subject, steady)) {
            Some(wait) => Verdict { retry_after: Some(wait), ..Verdict::refused(Status::Throttled) },
            None => verdict,
        }
    }
}

fn bearer(authorization: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    let rest = rest.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty()).then_some(rest)
}

fn secret_verdict(entry: &AppEntry, secret: &AppSecret, now: Timestamp) -> Verdict {
    let Some((_, expire_time)) = entry.secrets.iter().find(|(hash, _)| secret.matches(hash)) else {
        return Verdict::refused(Status::Invalid);
    };
    if expire_time.is_some_and(|end| end <= now) {
        return Verdict::refused(Status::Expired);
    }
    Verdict::served(Status::Passed, entry.principal.clone(), Method::AppSecret, *expire_time)
}

fn token_verdict(directory: &Directory, claims: &Claims, now: Timestamp) -> Verdict {
    if claims.expire_time <= now {
        return Verdict { expire_time: Some(claims.expire_time), ..Verdict::refused(Status::Expired) };
    }
    let Some(entry) = directory.app(&claims.app) else { return Verdict::refused(Status::Revoked) };
    let too_old = entry.tokens_revoked_until.is_some_and(|until| claims.issue_time <= until);
    let of_a_former_app = claims.issue_time < entry.create_time;
    if too_old || of_a_former_app || directory.is_revoked(token::revocation_key(&claims.app, claims.token_id)) {
        return Verdict::refused(Status::Revoked);
    }
    let principal = narrowed(&entry.principal, &claims.roles);
    Verdict::served(Status::Passed, principal, Method::Token, Some(claims.expire_time))
}

/// What is left of a principal when only these roles are wanted.
fn narrowed(principal: &Arc<Principal>, roles: &[Role]) -> Arc<Principal> {
    if roles.is_empty() {
        return principal.clone();
    }
    let pairs = principal.grants.iter().flat_map(|grant| roles.iter().map(move |role| (grant, *role)));
    let kept = pairs.filter(|(grant, role)| policy::includes(grant.role, *role));
    let mut kept: Vec<Grant> = kept.map(|(grant, role)| Grant { role, apps: grant.apps.clone() }).collect();
    kept.sort();
    kept.dedup();
    Arc::new(Principal { grants: kept, ..Principal::clone(principal) })
}
