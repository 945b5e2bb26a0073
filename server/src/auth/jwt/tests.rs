//! The refusals, one by one, by a clock that the tests hold; and the vectors of RFC 7515 and RFC 8037. Keys are made here,
//! but for RSA's, which is RFC 7515's.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use semel_core::id::{Millis, Timestamp};
use serde_json::{Value, json};

use super::{
    cache,
    issuer::EARLY_FETCH_MIN,
    jwks::KeySet,
    jws::{Algorithm, Jws},
    *,
};

const ISSUER: &str = "https://id.example.com";
const NOW: i64 = 1_800_000_000;

enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self::P256(pair.expect("a key"))
    }

    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::P256(pair) => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let part = |bytes: &[u8]| BASE64.encode(bytes);
        let public = self.public();
        match self {
            Self::P256(_) => {
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": part(&public[1..33]), "y": part(&public[33..])})
            }
            Self::Ed25519(_) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": part(public)}),
        }
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = match self {
            Self::P256(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signs").as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// A token with these claims over good ones.
    fn with(&self, kid: &str, change: &Value) -> String {
        self.token(&json!({"alg": self.alg(), "kid": kid}), &claims(change))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

/// Good claims; what is null in the change is left out.
fn claims(change: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "sub": "batch@pay", "aud": "semel", "exp": NOW + 60});
    for (name, value) in change.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn at(seconds: i64) -> Moment {
    Moment { now: Timestamp(seconds * 1000), steady: Millis(0), address: None }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set")
}

fn without_keys() -> Issuers {
    let url = JwksUrl::parse("https://id.example.com/keys").expect("a URL");
    Issuers::new(vec![IssuerSettings::new(ISSUER, "semel", KeySource::Url(url))])
}

fn load(issuers: &Issuers, keys: &[Value], steady: Millis) {
    let issuer = &issuers.issuers[0];
    issuer.loaded(issuer.begin(steady), set(keys));
}

fn issuers(keys: &[Value]) -> Issuers {
    let issuers = without_keys();
    load(&issuers, keys, Millis(0));
    issuers
}

fn status(issuers: &Issuers, token: &str) -> Option<Status> {
    issuers.judge(token, at(NOW)).map(|verdict| verdict.status)
}

#[test]
fn a_good_token_passes_for_every_kind_of_key_and_says_who_and_until_when() {
    for signer in [Signer::p256(), Signer::ed25519()] {
        let issuers = issuers(&[signer.jwk("a")]);
        let token = signer.with("a", &json!({"aud": ["other", "semel"], "nbf": NOW, "iat": NOW - 1}));
        for _ in 0..2 {
            let verdict = issuers.judge(&token, at(NOW)).expect("it is the issuer's");
            assert_eq!((verdict.status, verdict.method), (Status::Passed, Method::OutsideToken));
            assert_eq!(verdict.expire_time, Some(Timestamp((NOW + 60) * 1000)));
            let principal = verdict.principal.expect("somebody");
            assert_eq!(&*principal.name, "jwt:https://id.example.com#batch@pay");
            assert!(principal.grants.is_empty() && principal.app.is_none(), "no row speaks of it");
        }
        assert_eq!(issuers.verified.len(), 1, "the second time it is remembered");
    }
}

#[test]
fn what_a_token_claims_is_held_against_the_settings() {
    let signer = Signer::p256();
    let issuers = issuers(&[signer.jwk("a")]);
    for (change, expected) in [
        (json!({"iss": "https://id.example.com/"}), Status::Invalid),
        (json!({"aud": "other"}), Status::Invalid),
        (json!({"aud": ["semel2", 7]}), Status::Invalid),
        (json!({"aud": null}), Status::Invalid),
        (json!({"exp": null}), Status::Malformed),
        (json!({"exp": "soon"}), Status::Malformed),
        (json!({"exp": 1e300}), Status::Malformed),
        (json!({"exp": -1}), Status::Malformed),
        (json!({"nbf": "x"}), Status::Malformed),
        (json!({"sub": null}), Status::Malformed),
        (json!({"sub": ""}), Status::Malformed),
        (json!({"sub": 7}), Status::Malformed),
        (json!({"sub": "a\nb"}), Status::Malformed),
        (json!({"sub": "a".repeat(256)}), Status::Malformed),
    ] {
        assert_eq!(status(&issuers, &signer.with("a", &change)), Some(expected), "{change}");
    }
    assert_eq!(issuers.verified.len(), 0, "nothing bad is remembered");
}

#[test]
fn times_are_judged_by_the_clock_that_is_given_with_leeway_at_both_ends() {
    let signer = Signer::p256();
    let issuers = issuers(&[signer.jwk("a")]);
    let token = signer.with("a", &json!({"exp": NOW + 60, "nbf": NOW}));
    let look = |seconds: i64| {
        let verdict = issuers.judge(&token, at(seconds)).expect("it is the issuer's");
        (verdict.status, verdict.expire_time.map(|time| time.0 / 1000))
    };
    assert_eq!(look(NOW - 31), (Status::Invalid, None));
    assert_eq!(look(NOW - 30), (Status::Passed, Some(NOW + 60)));
    assert_eq!(look(NOW + 59), (Status::Passed, Some(NOW + 60)));
    assert_eq!(look(NOW + 60), (Status::Passed, Some(NOW + 90)), "within the leeway it says when that is over");
    assert_eq!(look(NOW + 89), (Status::Passed, Some(NOW + 90)));
    assert_eq!(look(NOW + 90), (Status::Expired, Some(NOW + 60)));
    assert_eq!(status(&issuers, &signer.with("a", &json!({"iat": NOW + 31}))), Some(Status::Invalid));
}

#[test]
fn no_algorithm_is_taken_that_the_key_is_not_for() {
    let (signer, other) = (Signer::p256(), Signer::ed25519());
    let issuers = issuers(&[signer.jwk("a"), other.jwk("b")]);
    for alg in ["none", "None", "", "HS256", "HS384", "RS256", "ES384", "EdDSA", "es256", "ES256K"] {
        let token = signer.token(&json!({"alg": alg, "kid": "a"}), &claims(&json!({})));
        assert_eq!(status(&issuers, &token), Some(Status::Invalid), "{alg}");
    }
    let none = format!("{}.", unsigned(&json!({"alg": "none"}), &claims(&json!({}))));
    assert_eq!(status(&issuers, &none), Some(Status::Invalid));
    // The public key as a shared secret: raw, and as its owner publishes it.
    for secret in [signer.public().to_vec(), signer.jwk("a").to_string().into_bytes()] {
        let signed = unsigned(&json!({"alg": "HS256", "kid": "a"}), &claims(&json!({})));
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length will do");
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()));
        assert_eq!(status(&issuers, &token), Some(Status::Invalid));
    }
    // Rightly signed, but by the key of another id.
    assert_eq!(
        status(&issuers, &other.token(&json!({"alg": "EdDSA", "kid": "a"}), &claims(&json!({})))),
        Some(Status::Invalid)
    );
}

#[test]
fn headers_that_ask_for_more_are_refused() {
    let signer = Signer::p256();
    let issuers = issuers(&[signer.jwk("a")]);
    let look = |header: Value| status(&issuers, &signer.token(&header, &claims(&json!({}))));
    assert_eq!(look(json!({"alg": "ES256", "kid": "a", "typ": "at+JWT"})), Some(Status::Passed));
    for header in [
        json!({"alg": "ES256", "kid": "a", "crit": ["exp"]}),
        json!({"alg": "ES256", "kid": "a", "crit": null}),
        json!({"alg": "ES256", "kid": "a", "typ": "logout+jwt"}),
    ] {
        assert_eq!(look(header.clone()), Some(Status::Invalid), "{header}");
    }
    // Keys that the token itself brings are not looked at.
    let thief = Signer::p256();
    let header = json!({"alg": "ES256", "kid": "a", "jwk": thief.jwk("a"), "jku": "https://thief.example"});
    assert_eq!(status(&issuers, &thief.token(&header, &claims(&json!({})))), Some(Status::Invalid));
}

#[test]
fn without_a_key_id_there_must_be_one_key_that_fits() {
    let (a, b, c) = (Signer::p256(), Signer::ed25519(), Signer::p256());
    let token = a.token(&json!({"alg": "ES256"}), &claims(&json!({})));
    assert_eq!(status(&issuers(&[a.jwk("a"), b.jwk("b")]), &token), Some(Status::Passed));
    assert_eq!(status(&issuers(&[a.jwk("a"), c.jwk("c")]), &token), Some(Status::Invalid));
    assert_eq!(status(&issuers(&[b.jwk("b")]), &token), Some(Status::Invalid));
    let mut for_secrets = a.jwk("a");
    for_secrets["use"] = json!("enc");
    assert_eq!(status(&issuers(&[for_secrets]), &token), Some(Status::Invalid));
}

#[test]
fn what_is_no_jwt_is_left_to_others_and_what_is_huge_is_malformed() {
    let signer = Signer::p256();
    let issuers = issuers(&[signer.jwk("a")]);
    for text in ["rubbish", "a.b.c", "..", "e30.e30.", &format!("{}.e30.e30", BASE64.encode("[]"))] {
        assert_eq!(status(&issuers, text), None, "{text}");
    }
    assert_eq!(status(&issuers, &signer.with("a", &json!({"iss": "semel"}))), None, "our own are not theirs");
    assert_eq!(status(&Issuers::default(), &signer.with("a", &json!({}))), None);
    let huge = signer.with("a", &json!({"more": "x".repeat(8 << 10)}));
    assert_eq!(status(&issuers, &huge), Some(Status::Malformed));
    let good = signer.with("a", &json!({}));
    let (rest, signature) = good.rsplit_once('.').expect("a token");
    assert_eq!(status(&issuers, &format!("{rest}.{}", BASE64.encode([0; 64]))), Some(Status::Invalid));
    assert_eq!(status(&issuers, &format!("{rest}.{signature}=")), None, "padding is none of the form");
}

#[test]
fn without_keys_there_is_no_verdict() {
    let signer = Signer::p256();
    let issuers = without_keys();
    let token = signer.with("a", &json!({}));
    let verdict = issuers.judge(&token, at(NOW)).expect("it is the issuer's");
    assert_eq!((verdict.status, verdict.retry_after), (Status::Unavailable, Some(Millis(1000))));
    issuers.issuers[0].failed();
    load(&issuers, &[signer.jwk("a")], Millis(0));
    assert_eq!(status(&issuers, &token), Some(Status::Passed));
}

#[test]
fn keys_that_cannot_be_read_anew_are_good_for_a_day() {
    let signer = Signer::p256();
    let issuers = issuers(&[signer.jwk("a")]);
    assert!(issuers.issuers[0].failed() && !issuers.issuers[0].failed(), "it is told once");
    let token = signer.with("a", &json!({}));
    let look =
        |steady: i64| issuers.judge(&token, Moment { steady: Millis(steady), ..at(NOW) }).expect("theirs").status;
    assert_eq!(look(24 * 3_600_000), Status::Passed);
    assert_eq!(look(24 * 3_600_000 + 1), Status::Unavailable, "though it is remembered");
}

#[test]
fn an_unknown_key_is_looked_for_once_and_refused_when_newer_keys_do_not_have_it() {
    let (a, b) = (Signer::p256(), Signer::p256());
    let issuers = issuers(&[a.jwk("a")]);
    let token = b.with("b", &json!({}));
    let look = |steady: i64| {
        let verdict = issuers.judge(&token, Moment { steady: Millis(steady), ..at(NOW) }).expect("theirs");
        (verdict.status, verdict.retry_after.map(|wait| wait.0))
    };
    assert_eq!(look(1), (Status::Unavailable, Some(1000)), "a fetch was asked for");
    assert_eq!(look(2), (Status::Unavailable, Some(1000)));
    assert_eq!(look(4001), (Status::Unavailable, Some(EARLY_FETCH_MIN.0 - 4000)), "the next may be asked for then");
    load(&issuers, &[a.jwk("a")], Millis(5000));
    assert_eq!(look(5000), (Status::Invalid, None));
    issuers.issuers[0].failed();
    assert_eq!(look(6000).0, Status::Unavailable, "the issuer may have it by now, and cannot be asked");
    load(&issuers, &[a.jwk("a"), b.jwk("b")], Millis(7000));
    assert_eq!(look(7000).0, Status::Passed);
    load(&issuers, &[a.jwk("a")], Millis(8000));
    assert_eq!(look(8000).0, Status::Invalid, "its key is gone, and it is forgotten that it was good");
}

#[test]
fn what_is_remembered_is_bounded() {
    let cache = Cache::default();
    let principal = Arc::new(Principal::anonymous(Vec::new()));
    for number in 0..(cache::ENTRIES_MAX + 10) {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let entry =
            Entry { issuer: 0, generation: 1, principal: principal.clone(), expire_time: Timestamp(9), earliest: None };
        cache.put(hash, entry, Timestamp(1));
    }
    assert!(cache.len() <= cache::ENTRIES_MAX);
}

#[test]
fn key_sets_are_bounded_and_must_be_some() {
    let many = json!({"keys": vec![Signer::ed25519().jwk("a"); 101]}).to_string();
    for bad in ["", "[]", "{}", r#"{"keys": {}}"#, &many] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad:.40}");
    }
    let strange =
        json!({"keys": [{"kty": "oct", "k": "AAAA"}, {"kty": "EC"}, 7, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]});
    let set = KeySet::parse(strange.to_string().as_bytes()).expect("what is not known is passed over");
    assert_eq!(set.choose(None, Algorithm::Rs256), None);
}

#[test]
fn the_vectors_of_the_standards_hold() {
    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    // RFC 7515, appendices A.2 (RS256) and A.3 (ES256).
    let rsa = json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"});
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let keys = set(&[rsa, ec]);
    for (token, algorithm) in [(rs256, Algorithm::Rs256), (es256, Algorithm::Es256)] {
        let jws = Jws::parse(&token).expect("a token");
        assert_eq!((jws.issuer(), jws.algorithm()), (Some("joe"), Some(algorithm)));
        let position = keys.choose(None, algorithm).expect("one key fits");
        assert!(keys.verify(position, algorithm, jws.signed.as_bytes(), &jws.signature), "{algorithm:?}");
        assert!(!keys.verify(position, algorithm, b"other", &jws.signature));
        assert!(!keys.verify(position, Algorithm::Ps256, jws.signed.as_bytes(), &jws.signature));
    }
    // RFC 8037, appendix A.4; its payload is no JSON.
    let keys = set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})]);
    let signature = BASE64
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .expect("base64");
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(keys.verify(0, Algorithm::EdDsa, signed, &signature));
}

#[test]
fn urls_and_subjects_are_read_strictly() {
    for good in ["https://id.example.com/jwks", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:9/x"] {
        JwksUrl::parse(good).expect(good);
    }
    for bad in
        ["", "/x", "id.example.com", "http://id.example.com/x", "ftp://127.0.0.1/x", "https://u:p@id.example.com/"]
    {
        JwksUrl::parse(bad).expect_err(bad);
    }
    assert!(
        SubjectPattern::parse("a*").expect("one").matches("abc")
            && SubjectPattern::parse("*").expect("one").matches("")
    );
    assert!(!SubjectPattern::parse("a").expect("one").matches("ab"));
    for bad in ["", "a*b", "**"] {
        SubjectPattern::parse(bad).expect_err(bad);
    }
}
