//! The secrets of apps: 256 bits, shown as `sk_` and 43 characters, kept only as a hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "sk_";

/// The secret of an app, in clear. Never logged: its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecret([u8; 32]);

impl AppSecret {
    /// These bits, which must be random or derived from a random key.
    pub fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// Reads the form that [`AppSecret::reveal`] gives. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        bits.try_into().ok().map(Self)
    }

    /// Whether a text claims to be such a secret.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The form that is handed to people and programs.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// Whether this is the secret with that hash, in constant time.
    pub fn matches(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

impl std::fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppSecret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_never_shown_by_debug() {
        let secret = AppSecret::new([7; 32]);
        let text = secret.reveal();
        assert_eq!(AppSecret::parse(&text), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&text[3..]));
        assert!(secret.matches(&secret.hash()) && !secret.matches(&[0; 32]));
        for bad in ["", "sk_", "sk_short", &text[3..], &format!("{text}A")] {
            assert_eq!(AppSecret::parse(bad), None, "{bad}");
        }
    }
}
