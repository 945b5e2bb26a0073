//! Tokens of an outside issuer through the whole server: they pass and say whose they are, keys come and go without a
//! restart, and an issuer that cannot be reached is no refusal.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use semel_client::v1::{self, AuthMethod, AuthStatus, Disposition};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::{AppName, Millis},
};
use semel_faults::Port;
use semel_server::{
    auth::jwt::{Identity, IssuerSettings, JwksUrl, KeySource, SubjectPattern},
    clock::ManualClock,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tonic::Code;

use super::{
    harness::{TestServer, in_time, run_job},
    metrics::{moves::Watched, with_admin},
    wire::{PayByWire, Refused, Wire, fresh, settle, wall},
};

struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { id, pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key") }
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": BASE64.encode(self.pair.public_key())})
    }

    /// A token of a subject that ends so many seconds from the clock's present.
    fn token(&self, subject: &str, clock: &ManualClock, seconds: i64) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id});
        let claims = json!({"iss": "mesh", "aud": "semel", "sub": subject, "exp": wall(clock) / 1000 + seconds});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = BASE64.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// What the issuer publishes; shared with whoever serves it.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Value>>>);

impl Published {
    fn set(&self, keys: &[&Key]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = keys.iter().map(|key| key.jwk()).collect();
    }

    fn serve(&self, listener: TcpListener) -> JoinHandle<()> {
        let published = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let body = json!({"keys": *published.0.lock().unwrap_or_else(PoisonError::into_inner)}).to_string();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                // A request of a few lines comes in one piece.
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
    }
}

fn identity(subject: &str, role: Role) -> Identity {
    let pay = AppName::parse("pay").expect("a name");
    Identity {
        subject: SubjectPattern::parse(subject).expect("a pattern"),
        app: Some(pay.clone()),
        grants: vec![Grant { role, apps: AppPattern::One(pay) }],
    }
}

/// A server that takes the tokens of an issuer at this place, with an app `pay`.
async fn trusting(address: &str) -> (PayByWire, ManualClock) {
    let url = JwksUrl::parse(&format!("http://{address}/jwks")).expect("a URL");
    let mut issuer = IssuerSettings::new("mesh", "semel", KeySource::Url(url));
    issuer.identities = vec![identity("batch-*", Role::Submitter), identity("eye", Role::Viewer)];
    let (server, clock) = TestServer::with_manual_clock(|settings| settings.issuers = vec![issuer]).await;
    (PayByWire::on(server).await, clock)
}

async fn address() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one").to_string();
    (listener, address)
}

async fn look(wire: &Wire) -> v1::AuthResult {
    wire.served("", v1::CheckAuthRequest::default()).await.auth.expect("a verdict")
}

/// Waits until there is a verdict on these credentials.
async fn verdict(wire: &Wire) -> v1::AuthResult {
    in_time(async {
        loop {
            let auth = look(wire).await;
            if auth.status() != AuthStatus::Unavailable {
                return auth;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_token_says_who_its_bearer_is_and_a_renewed_one_of_the_same_subject_replays() {
    let (listener, address) = address().await;
    let (published, key) = (Published::default(), Key::new("a"));
    published.set(&[&key]);
    published.serve(listener);
    let (pay, clock) = trusting(&address).await;
    let batch = pay.nobody.bearer(&key.token("batch-7", &clock, 60));
    let auth = verdict(&batch).await;
    assert_eq!((auth.status(), auth.method()), (AuthStatus::Passed, AuthMethod::OutsideToken));
    assert_eq!(auth.principal, "jwt:mesh#batch-7");
    assert_eq!(auth.expire_time.expect("it ends").seconds, wall(&clock) / 1000 + 60);
    let id = fresh();
    let first = settle(&batch, &id).await.expect("it may").run_id;
    clock.advance(Millis::from_secs(90));
    let refused = batch.refused(&id, run_job("settle")).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_EXPIRED", AuthStatus::Expired);
    let renewed = pay.nobody.bearer(&key.token("batch-7", &clock, 60));
    let again = settle(&renewed, &id).await.expect("the same caller");
    assert_eq!(again.header.expect("a header").disposition(), Disposition::Replayed);
    assert_eq!(again.run_id, first);
    let other = pay.nobody.bearer(&key.token("batch-8", &clock, 60));
    Refused::of(&settle(&other, &id).await.expect_err("another caller"))
        .expect(Code::FailedPrecondition, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_subject_may_do_what_its_row_says_and_without_one_nothing() {
    let (listener, address) = address().await;
    let (published, key) = (Published::default(), Key::new("a"));
    published.set(&[&key]);
    published.serve(listener);
    let (pay, clock) = trusting(&address).await;
    for subject in ["eye", "stranger"] {
        let wire = pay.nobody.bearer(&key.token(subject, &clock, 60));
        assert_eq!(verdict(&wire).await.status(), AuthStatus::Passed);
        let request = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
        let refused = wire.refused(&fresh(), request).await;
        refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    }
    let thief = pay.nobody.bearer(&Key::new("a").token("batch-7", &clock, 60));
    let refused = thief.refused(&fresh(), run_job("settle")).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_INVALID", AuthStatus::Invalid);
}

#[tokio::test]
async fn an_issuer_that_is_away_at_the_start_is_no_refusal_and_its_coming_needs_no_restart() {
    let port = Port::reserve().expect("a free port");
    let (pay, clock) = trusting(&port.address().to_string()).await;
    let key = Key::new("a");
    let batch = pay.nobody.bearer(&key.token("batch-7", &clock, 600));
    for _ in 0..20 {
        // However often it is tried: no verdict is no failed attempt.
        let refused = batch.refused(&fresh(), run_job("settle")).await;
        refused.expect_with(Code::Unavailable, "AUTH_UNAVAILABLE", AuthStatus::Unavailable).says_when();
    }
    settle(&pay.pay, &fresh()).await.expect("the server's own credentials are none of the issuer's business");
    let published = Published::default();
    published.set(&[&key]);
    published.serve(TcpListener::bind(port.address()).await.expect("the port is kept for it"));
    assert_eq!(verdict(&batch).await.status(), AuthStatus::Passed);
    settle(&batch, &fresh()).await.expect("it may");
}

#[tokio::test]
async fn a_new_key_is_taken_when_it_is_first_seen_and_one_that_is_gone_no_more() {
    let (listener, address) = address().await;
    let (published, old, new) = (Published::default(), Key::new("old"), Key::new("new"));
    published.set(&[&old]);
    let serving = published.serve(listener);
    let (pay, clock) = trusting(&address).await;
    let (by_old, by_new) = (old.token("batch-7", &clock, 600), new.token("batch-7", &clock, 600));
    let (by_old, by_new) = (pay.nobody.bearer(&by_old), pay.nobody.bearer(&by_new));
    assert_eq!(verdict(&by_old).await.status(), AuthStatus::Passed);
    // It may be that the first token asked for a fetch too; the next may be asked for a little later.
    clock.advance(Millis::from_secs(11));
    published.set(&[&new]);
    assert_eq!(verdict(&by_new).await.status(), AuthStatus::Passed);
    clock.advance(Millis::from_secs(11));
    assert_eq!(verdict(&by_old).await.status(), AuthStatus::Invalid);
    serving.abort();
    clock.advance(Millis::from_secs(60));
    settle(&by_new, &fresh()).await.expect("keys stay good while the issuer is away");
}

/// What is counted of an issuer that cannot be reached and then can, for the test that asks of each metric whether it moves.
pub(crate) async fn keys_are_counted() -> BTreeSet<String> {
    let port = Port::reserve().expect("a free port");
    let url = JwksUrl::parse(&format!("http://{}/jwks", port.address())).expect("a URL");
    let mut issuer = IssuerSettings::new("mesh", "semel", KeySource::Url(url));
    issuer.identities = vec![identity("batch-*", Role::Submitter)];
    let (server, clock) = TestServer::with_manual_clock(|settings| {
        with_admin(settings);
        settings.issuers = vec![issuer];
    })
    .await;
    let pay = PayByWire::on(server).await;
    let mut watched = Watched::begin(pay.server.running().admin_address().expect("it listens")).await;
    let key = Key::new("one");
    let batch = pay.nobody.bearer(&key.token("batch-7", &clock, 3600));
    batch.refused(&fresh(), run_job("settle")).await.expect_with(
        Code::Unavailable,
        "AUTH_UNAVAILABLE",
        AuthStatus::Unavailable,
    );
    watched.until(&["semel_issuer_keys_failed_total{issuer=\"mesh\"}"]).await;
    let published = Published::default();
    published.set(&[&key]);
    let serving = published.serve(TcpListener::bind(port.address()).await.expect("the port is kept for it"));
    verdict(&batch).await;
    settle(&batch, &fresh()).await.expect("it may submit");
    batch.refused(&fresh(), v1::CreateAppRequest { app: "x".to_owned(), ..Default::default() }).await;
    watched.until(&["semel_issuer_keys_fetched_total{issuer=\"mesh\"}"]).await;
    watched.look().await;
    clock.advance(Millis(5000));
    watched.until(&["semel_issuer_keys_age_seconds{issuer=\"mesh\"}"]).await;
    serving.abort();
    watched.end().await
}
