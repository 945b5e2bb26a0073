//! A set of public keys as RFC 7517 writes it, and the check of a signature by one of them. Which algorithms a key may
//! check is said by its kind.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

use super::jws::Algorithm;

/// Keys in one set.
const KEYS_MAX: usize = 100;
/// The shortest RSA modulus that is taken: 2048 bits.
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// The keys of an issuer that can be used here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeySet(Vec<PublicKey>);

#[derive(Debug, PartialEq, Eq)]
struct PublicKey {
    id: Option<String>,
    /// The only algorithm that its owner wants it used with, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct StoredSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct StoredKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of other kinds, or for other ends, are passed over, as RFC 7517 section 5 has it.
    ///
    /// # Errors
    /// Says what is wrong with the set as a whole.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: StoredSet = serde_json::from_slice(bytes).map_err(|error| format!("is no key set: {error}"))?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("holds {} keys; at most {KEYS_MAX} are taken", set.keys.len()));
        }
        let keys = set.keys.into_iter().filter_map(|key| PublicKey::of(serde_json::from_value(key).ok()?));
        Ok(Self(keys.collect()))
    }

    /// The place of the one key that this token can be signed with; `None` if there is none, or more than one.
    pub(super) fn choose(&self, id: Option<&str>, algorithm: Algorithm) -> Option<usize> {
        let fits = |key: &PublicKey| key.fits(algorithm) && (id.is_none() || key.id.as_deref() == id);
        let mut fitting = self.0.iter().enumerate().filter(|(_, key)| fits(key)).map(|(position, _)| position);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Whether any key bears this id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Checks a signature by the key at this place.
    pub(super) fn verify(&self, position: usize, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let Some(key) = self.0.get(position).filter(|key| key.fits(algorithm)) else { return false };
        let by = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
        };
        match &key.material {
            Material::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            Material::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => by(&signature::ED25519, point),
        }
    }
}

impl PublicKey {
    fn of(stored: StoredKey) -> Option<Self> {
        let signs = stored.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = stored.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return None;
        }
        let algorithm = match &stored.alg {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        let key = Self { material: Material::of(&stored)?, id: stored.kid, algorithm };
        // A key whose owner wants it used with what its kind cannot do is of no use.
        key.algorithm.is_none_or(|algorithm| key.fits(algorithm)).then_some(key)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let by_kind = match self.material {
            Material::Rsa { .. } => rsa_parameters(algorithm).is_some(),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        by_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

impl Material {
    fn of(stored: &StoredKey) -> Option<Self> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let sized = |text: &Option<String>, size: usize| bytes(text).filter(|bytes| bytes.len() == size);
        // Uncompressed, as SEC 1 has it: a mark, then both coordinates.
        let point = |size: usize| Some([vec![4], sized(&stored.x, size)?, sized(&stored.y, size)?].concat());
        match (stored.kty.as_str(), stored.crv.as_deref()) {
            ("RSA", _) => {
                let mut n = bytes(&stored.n)?;
                // Some write a sign byte in front, which RFC 7518 forbids and `ring` refuses.
                n.drain(..n.iter().take_while(|byte| **byte == 0).count());
                (n.len() >= RSA_MODULUS_BYTES_MIN).then_some(Self::Rsa { n, e: bytes(&stored.e)? })
            }
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => sized(&stored.x, 32).map(Self::Ed25519),
            _ => None,
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}
