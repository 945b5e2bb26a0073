//! Tokens of outside issuers: JWTs that somebody else signs, and whose keys are read from a file or a URL. From a token
//! to a verdict; keys come by tasks of their own (`refresh`), so that judging waits for nothing.
//!
//! Cryptography is `ring`'s, which TLS brings along anyway; what stands here is the closed form around it: which
//! algorithms there are, which key may check which, and what must stand in the claims. It never asks what time it is.

mod cache;
mod claims;
mod fetch;
mod issuer;
mod jwks;
mod jws;
mod refresh;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use semel_core::{id::Millis, policy::Principal};
use sha2::{Digest as _, Sha256};

use self::{
    cache::{Cache, Entry},
    claims::{Claims, Standing},
    issuer::{Issuer, Key},
    jws::Jws,
};
pub use self::{
    fetch::{Error as KeysError, check_file},
    issuer::IssuerState,
    refresh::Refreshers,
    settings::{Identity, IssuerSettings, JwksUrl, KeySource, SubjectPattern},
};
use super::{Method, Moment, Status, Verdict, token::ISSUER as OURS};

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// All outside issuers whose tokens are taken, and what was verified lately.
#[derive(Debug, Default)]
pub struct Issuers {
    issuers: Vec<Arc<Issuer>>,
    verified: Cache,
}

impl Issuers {
    /// These, without keys as yet: [`Refreshers::start`] brings them.
    pub fn new(settings: Vec<IssuerSettings>) -> Self {
        let issuers = settings.into_iter().map(|settings| Arc::new(Issuer::new(settings)));
        Self { issuers: issuers.collect(), verified: Cache::default() }
    }

    /// How the keys of each stand.
    pub fn state(&self, steady: Millis) -> Vec<IssuerState> {
        self.issuers.iter().map(|issuer| issuer.state(steady)).collect()
    }

    /// Judges a token; `None` if it is not an outside issuer's to judge: none is known, it is one of ours, or it is no JWT.
    pub fn judge(&self, token: &str, moment: Moment) -> Option<Verdict> {
        if self.issuers.is_empty() {
            return None;
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Some(Verdict::refused(Status::Malformed));
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(entry) = self.verified.get(&hash) {
            let issuer = &self.issuers[entry.issuer];
            if issuer.generation(moment.steady) == Some(entry.generation) {
                return Some(verdict(&entry, issuer, moment));
            }
        }
        let jws = Jws::parse(token)?;
        let name = jws.issuer()?;
        let Some(index) = self.issuers.iter().position(|issuer| issuer.settings.issuer == name) else {
            return (name != OURS).then(|| Verdict::refused(Status::Invalid));
        };
        Some(self.verify(index, &jws, hash, moment))
    }

    fn verify(&self, index: usize, jws: &Jws<'_>, hash: [u8; 32], moment: Moment) -> Verdict {
        let issuer = &self.issuers[index];
        let Some(algorithm) = jws.algorithm() else { return Verdict::refused(Status::Invalid) };
        let (keys, generation, position) = match issuer.key(jws.key_id(), algorithm, hash, moment.steady) {
            Key::Found { keys, generation, position } => (keys, generation, position),
            Key::Unknown => return Verdict::refused(Status::Invalid),
            Key::NotNow(wait) => return Verdict { retry_after: Some(wait), ..Verdict::refused(Status::Unavailable) },
        };
        if !keys.verify(position, algorithm, jws.signed.as_bytes(), &jws.signature) {
            return Verdict::refused(Status::Invalid);
        }
        let claims = match Claims::read(&jws.claims, &issuer.settings) {
            Ok(claims) => claims,
            Err(status) => return Verdict::refused(status),
        };
        let principal = Arc::new(principal(&issuer.settings, &claims.subject));
        let Claims { expire_time, earliest, .. } = claims;
        let entry = Entry { issuer: index, generation, principal, expire_time, earliest };
        let verdict = verdict(&entry, issuer, moment);
        if verdict.status == Status::Passed {
            self.verified.put(hash, entry, moment.now);
        }
        verdict
    }
}

/// What a verified token is worth at this moment.
fn verdict(entry: &Entry, issuer: &Issuer, moment: Moment) -> Verdict {
    let leeway = issuer.settings.leeway;
    match claims::standing(entry.expire_time, entry.earliest, leeway, moment.now) {
        Standing::Good { until } => Verdict {
            status: Status::Passed,
            principal: Some(entry.principal.clone()),
            method: Method::OutsideToken,
            expire_time: Some(until),
            retry_after: None,
        },
        Standing::TooEarly => Verdict::refused(Status::Invalid),
        Standing::Over => Verdict { expire_time: Some(entry.expire_time), ..Verdict::refused(Status::Expired) },
    }
}

/// Who the bearer of a token is. The name of an issuer holds no `#`, so the name of a principal can be read in one way.
/// A subject that no row speaks of is known, and may do nothing.
fn principal(settings: &IssuerSettings, subject: &str) -> Principal {
    let row = settings.identities.iter().find(|row| row.subject.matches(subject));
    Principal {
        name: format!("jwt:{}#{subject}", settings.issuer).into(),
        app: row.and_then(|row| row.app.clone()),
        grants: row.map(|row| row.grants.clone()).unwrap_or_default(),
    }
}
