//! Apps (tenants), their secrets and what they may do.

use minicbor::{Decode, Encode};

use crate::id::{AppName, Millis, Revision, Timestamp};

/// A tenant, with its own credentials, jobs and workers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct App {
    /// Its name.
    #[n(0)]
    pub name: AppName,
    /// What it is, for people.
    #[n(1)]
    pub description: String,
    /// What it may do beyond its own bounds.
    #[n(2)]
    pub grants: Vec<Grant>,
    /// Changes with every update: the revision of the last one.
    #[n(3)]
    pub etag: Revision,
    /// When it was created.
    #[n(4)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[n(5)]
    pub update_time: Timestamp,
    /// Its secret.
    #[n(6)]
    pub secret: Secret,
    /// The former secret, while it has grace.
    #[n(7)]
    pub former_secret: Option<FormerSecret>,
    /// Tokens that were issued up to this moment are revoked.
    #[n(8)]
    pub tokens_revoked_until: Option<Timestamp>,
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Secret {
    /// SHA-256 of it. The secret has 256 random bits, so nothing slower is needed.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// When it was made.
    #[n(1)]
    pub create_time: Timestamp,
}

/// A secret that was replaced and still has grace.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FormerSecret {
    /// SHA-256 of it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// When its grace ends.
    #[n(1)]
    pub expire_time: Timestamp,
}

/// The hash of a new secret, and the key of the server's key ring that it was derived with. The secret itself never
/// comes here: a replay derives it again from the request id (promise D12).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NewSecret {
    /// SHA-256 of it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// Names the key.
    #[n(1)]
    pub key_id: String,
}

/// A role on an app or on a prefix of apps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Grant {
    /// What may be done.
    #[n(0)]
    pub role: Role,
    /// Where.
    #[n(1)]
    pub apps: AppPattern,
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// Everything, apps and credentials included.
    #[n(1)]
    Admin,
    /// Defines jobs, pauses them, cancels and retries runs; and all that submitter and viewer may.
    #[n(2)]
    Operator,
    /// Runs jobs and cancels runs; and all that viewer may.
    #[n(3)]
    Submitter,
    /// Takes runs, executes them and reports.
    #[n(4)]
    Worker,
    /// Reads jobs, runs, logs and requests.
    #[n(5)]
    Viewer,
}

impl Role {
    /// The name as people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Submitter => "submitter",
            Self::Worker => "worker",
            Self::Viewer => "viewer",
        }
    }
}

/// Which apps a grant is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum AppPattern {
    /// All apps.
    #[n(0)]
    All,
    /// All apps below this name: `pay/*` is `Below(pay)`, and does not hold `pay` itself.
    #[n(1)]
    Below(#[n(0)] AppName),
    /// One app.
    #[n(2)]
    One(#[n(0)] AppName),
}

impl AppPattern {
    /// Takes `*`, `pay/*` or `pay`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.strip_suffix("/*") {
            Some(prefix) => AppName::parse(prefix).map(Self::Below),
            None => AppName::parse(text).map(Self::One),
        }
        .map_err(|problem| format!("must be *, a prefix such as pay/*, or the name of an app, which {problem}"))
    }

    /// Whether an app is among them.
    pub fn holds(&self, app: &AppName) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => app.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/')),
            Self::One(name) => name == app,
        }
    }
}

impl AppPattern {
    /// Whether all apps of another pattern are among them.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (_, Self::One(app)) => self.holds(app),
            (Self::Below(prefix), Self::Below(below)) => prefix == below || self.holds(below),
            (Self::One(_), Self::Below(_)) | (_, Self::All) => false,
        }
    }
}

impl std::fmt::Display for AppPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Below(prefix) => write!(f, "{prefix}/*"),
            Self::One(name) => write!(f, "{name}"),
        }
    }
}

impl App {
    /// A new app, as `CreateApp` makes it.
    pub fn new(name: AppName, description: String, grants: Vec<Grant>, hash: [u8; 32], at: Timestamp) -> Self {
        let secret = Secret { hash, create_time: at };
        Self {
            name,
            description,
            grants,
            etag: Revision(0),
            create_time: at,
            update_time: at,
            secret,
            former_secret: None,
            tokens_revoked_until: None,
        }
    }

    /// Puts a new secret in place; the present one gets that much grace.
    pub fn rotate_secret(&mut self, hash: [u8; 32], grace: Millis, at: Timestamp) {
        let former = std::mem::replace(&mut self.secret, Secret { hash, create_time: at });
        self.former_secret =
            (grace > Millis(0)).then(|| FormerSecret { hash: former.hash, expire_time: at.plus(grace) });
    }

    /// All that the app may do: what it was granted, and its rights on itself.
    pub fn effective_grants(&self) -> Vec<Grant> {
        let own = [Role::Operator, Role::Submitter, Role::Worker, Role::Viewer];
        let own = own.map(|role| Grant { role, apps: AppPattern::One(self.name.clone()) });
        self.grants.iter().cloned().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_is_below_it_and_not_its_neighbours() {
        let pattern = AppPattern::parse("pay/*").expect("a good pattern");
        let holds = |name| pattern.holds(&AppName::parse(name).expect("a good name"));
        assert!(holds("pay/settle") && holds("pay/settle/eu"));
        assert!(!holds("pay") && !holds("payroll") && !holds("payroll/x"));
        assert!(AppPattern::parse("pay*").is_err() && AppPattern::parse("").is_err());
    }

    #[test]
    fn a_pattern_covers_what_holds_no_app_that_it_does_not_hold() {
        let pattern = |text| AppPattern::parse(text).expect("a good pattern");
        let all = ["*", "pay/*", "pay", "pay/eu", "pay/eu/*", "payroll/*"];
        let covered =
            |text| -> Vec<&str> { all.into_iter().filter(|other| pattern(text).covers(&pattern(other))).collect() };
        assert_eq!(covered("*"), all);
        assert_eq!(covered("pay/*"), ["pay/*", "pay/eu", "pay/eu/*"]);
        assert_eq!(covered("pay"), ["pay"]);
        assert_eq!(covered("pay/eu"), ["pay/eu"]);
        assert_eq!(covered("pay/eu/*"), ["pay/eu/*"]);
    }

    #[test]
    fn patterns_are_written_as_they_are_read() {
        for text in ["*", "pay/*", "pay", "pay/eu"] {
            assert_eq!(AppPattern::parse(text).expect("a good pattern").to_string(), text);
        }
        for bad in ["**", "*/pay", "/*", "pay/*/eu", "pay/", " *"] {
            assert!(AppPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
