//! Who calls. From what a call brings to a verdict; knows no transport and changes nothing.
//!
//! Four kinds of credentials are taken. As `Bearer`: the long-lived secret of an app (`sk_…`), a short-lived token that this
//! server signed, and a token of an outside issuer whom the operator trusts (`jwt`). And a client certificate, which the
//! transport has verified (`identity`), be it by the word of a proxy that the operator trusts (`forwarded`). Only the verdict made here makes a [`semel_core::policy::Principal`].

mod authenticator;
mod forwarded;
mod identity;
pub mod jwt;
mod keyring;
mod secret;
mod throttle;
mod token;

pub(crate) use self::keyring::write_owner_only;
pub use self::{
    authenticator::{Authenticator, Mode, Moment, NarrowingError, Shown, Verdict},
    forwarded::{Forwarder, HEADER as FORWARDED_HEADER},
    identity::{Certificate, Identity, UriPattern},
    keyring::{Error as KeyringError, Keyring},
    secret::AppSecret,
    throttle::{Subject, Throttle},
    token::{Claims, MAX_LIFETIME, revocation_key},
};

/// What became of credentials. Mirrors `semel.v1.AuthStatus`, without the values that are not a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Checked and good.
    Passed,
    /// Not asked for.
    NotRequired,
    /// None were sent.
    Missing,
    /// Could not be read.
    Malformed,
    /// Not known, or wrongly signed.
    Invalid,
    /// Have ended.
    Expired,
    /// Were taken back.
    Revoked,
    /// Too many failed attempts.
    Throttled,
    /// The authority could not be asked.
    Unavailable,
}

/// By what a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nothing was proved.
    None,
    /// The secret of an app.
    AppSecret,
    /// A token of this server.
    Token,
    /// A client certificate.
    ClientCertificate,
    /// A client certificate, of which a proxy that is trusted has told.
    ForwardedCertificate,
    /// A token of an outside issuer.
    OutsideToken,
    /// No proof was asked for.
    Anonymous,
}
