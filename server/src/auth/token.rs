//! Short-lived tokens: JWTs with HS256, signed and checked by this server alone.
//!
//! The form is small and closed (one algorithm, our own claims, our own key ring), so it stands here on RustCrypto's
//! HMAC rather than on a general JWT library, whose cryptography for foreign algorithms would be most of the build.
//! Tokens of other issuers are another matter: `jwt`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::Mac as _;
use semel_core::{
    app::Role,
    id::{AppName, Millis, Timestamp, TokenId},
    limits,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keyring::Keyring;

/// The longest life of a token.
pub const MAX_LIFETIME: Millis = limits::TOKEN_LIFETIME_MAX;

/// What our own tokens say of who made them.
pub(super) const ISSUER: &str = "semel";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Its id.
    pub token_id: TokenId,
    /// Whose it is.
    pub app: AppName,
    /// The roles that it is narrowed to; empty for all.
    pub roles: Vec<Role>,
    /// When it was issued.
    pub issue_time: Timestamp,
    /// When it ends.
    pub expire_time: Timestamp,
}

/// Why a token could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It could not be read.
    Malformed,
    /// It is wrongly signed, or signed with a key that is not ours.
    Invalid,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    iss: String,
    sub: String,
    jti: String,
    /// Seconds, as RFC 7519 has it; the exact times stand in the two below.
    iat: i64,
    exp: i64,
    iat_ms: i64,
    exp_ms: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

/// Under what a revoked token is remembered: its id together with its app, so that no app can take back the tokens of
/// another by learning an id.
pub fn revocation_key(app: &AppName, token_id: TokenId) -> TokenId {
    let hash = Sha256::new().chain_update(token_id.0).chain_update(app.as_str()).finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    TokenId(key)
}

/// Signs.
pub(super) fn sign(keyring: &Keyring, claims: &Claims) -> String {
    let kid = keyring.current_id().to_owned();
    let header = Header { alg: "HS256".to_owned(), typ: "JWT".to_owned(), kid: kid.clone() };
    let body = Body {
        iss: ISSUER.to_owned(),
        sub: claims.app.to_string(),
        jti: claims.token_id.to_string(),
        iat: claims.issue_time.0.div_euclid(1000),
        exp: claims.expire_time.0.div_euclid(1000),
        iat_ms: claims.issue_time.0,
        exp_ms: claims.expire_time.0,
        roles: claims.roles.iter().map(|role| role.as_str().to_owned()).collect(),
    };
    let part = |json: Result<Vec<u8>, _>| URL_SAFE_NO_PAD.encode(json.expect("strings and numbers can be written"));
    let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(&body)));
    let mut mac = keyring.token_mac(&kid).expect("the current key is there");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Checks form and signature. Whether the token has ended or was taken back is for the caller to see.
pub(super) fn verify(keyring: &Keyring, token: &str) -> Result<Claims, Fault> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let (header, body) = signed.split_once('.').ok_or(Fault::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Fault::Malformed)?;
    let signature = decode(signature)?;
    let body = decode(body)?;
    // The algorithm is ours to say, not the token's.
    if header.alg != "HS256" {
        return Err(Fault::Invalid);
    }
    let mut mac = keyring.token_mac(&header.kid).ok_or(Fault::Invalid)?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&signature).map_err(|_| Fault::Invalid)?;
    // What we signed we can read; anything else under our signature is of another version.
    let body: Body = serde_json::from_slice(&body).map_err(|_| Fault::Invalid)?;
    read(body).ok_or(Fault::Invalid)
}

fn read(body: Body) -> Option<Claims> {
    if body.iss != ISSUER {
        return None;
    }
    Some(Claims {
        token_id: parse_token_id(&body.jti)?,
        app: AppName::parse(&body.sub).ok()?,
        roles: body.roles.iter().map(|role| parse_role(role)).collect::<Option<_>>()?,
        issue_time: Timestamp(body.iat_ms),
        expire_time: Timestamp(body.exp_ms),
    })
}

fn parse_token_id(text: &str) -> Option<TokenId> {
    uuid::Uuid::try_parse(text).ok().map(|id| TokenId(id.into_bytes()))
}

fn parse_role(text: &str) -> Option<Role> {
    let roles = [Role::Admin, Role::Operator, Role::Submitter, Role::Worker, Role::Viewer];
    roles.into_iter().find(|role| role.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            token_id: TokenId([9; 16]),
            app: AppName::parse("pay/settle").expect("a good name"),
            roles: vec![Role::Worker, Role::Viewer],
            issue_time: Timestamp(1_750_000_000_123),
            expire_time: Timestamp(1_750_003_600_123),
        }
    }

    #[test]
    fn what_was_signed_is_read_back() {
        let keyring = Keyring::ephemeral().expect("random bits");
        assert_eq!(verify(&keyring, &sign(&keyring, &claims())), Ok(claims()));
    }

    #[test]
    fn no_changed_byte_passes() {
        let keyring = Keyring::ephemeral().expect("random bits");
        let token = sign(&keyring, &claims());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("still ASCII");
            // The last character of a part has bits that carry nothing.
            let same = verify(&keyring, &changed).is_ok_and(|read| read == claims());
            assert!(!same || at == token.len() - 1, "a change at {at} was not noticed");
        }
    }

    #[test]
    fn the_algorithm_is_not_the_tokens_to_choose() {
        let keyring = Keyring::ephemeral().expect("random bits");
        let body = sign(&keyring, &claims()).split('.').nth(1).expect("three parts").to_owned();
        let header =
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"JWT","kid":"{}"}}"#, keyring.current_id()));
        assert_eq!(verify(&keyring, &format!("{header}.{body}.")), Err(Fault::Invalid));
    }

    #[test]
    fn a_token_of_another_server_is_invalid_and_rubbish_is_malformed() {
        let ours = Keyring::ephemeral().expect("random bits");
        let theirs = Keyring::ephemeral().expect("random bits");
        assert_eq!(verify(&ours, &sign(&theirs, &claims())), Err(Fault::Invalid));
        for rubbish in ["", "x", "a.b", "a.b.c", "..", "€.€.€"] {
            assert_eq!(verify(&ours, rubbish), Err(Fault::Malformed), "{rubbish}");
        }
    }
}
