//! Whoever wants in without being somebody: by guessing, with the tokens of others, with words that only a proxy may say.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use semel_client::v1::{self, AuthStatus, RequestState};
use semel_server::auth::AppSecret;
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, metadata::MetadataValue};

use crate::e2e::{
    harness::{TestServer, run_job, spec},
    wire::{Refused, Wire, auth_status, fresh},
};

/// Guessers at once.
const GUESSERS: usize = 4;

async fn wire(server: SocketAddr) -> Wire {
    Wire::to(&format!("http://{server}")).await
}

/// Secrets at random, and tokens with another signature, from the address of the honest callers.
pub(crate) async fn guesses(server: SocketAddr, secret: &str, lasting: Duration) -> (String, String) {
    let pay = wire(server).await.bearer(secret);
    let token = pay.served("", v1::IssueTokenRequest::default()).await.token;
    let known = token[..token.len() - 43].to_owned();
    let end = Instant::now() + lasting;
    let mut guessing = JoinSet::new();
    for number in 0..GUESSERS {
        let (wire, known) = (wire(server).await, known.clone());
        guessing.spawn(async move {
            let (mut told, mut guesses) = (BTreeMap::<String, u64>::new(), 0_u64);
            while guesses < 50 || Instant::now() < end {
                let guess = match number % 2 {
                    0 => AppSecret::new(std::array::from_fn(|_| fastrand::u8(..))).reveal(),
                    _ => format!("{known}{:032x}", fastrand::u128(..)),
                };
                let refused = wire.bearer(&guess).refused(&fresh(), run_job("settle")).await;
                assert_ne!(refused.auth(), AuthStatus::Passed, "{guess} was good");
                *told.entry(refused.reason).or_default() += 1;
                guesses += 1;
            }
            told
        });
    }
    let mut told = BTreeMap::<String, u64>::new();
    for (reason, count) in guessing.join_all().await.into_iter().flatten() {
        *told.entry(reason).or_default() += count;
    }
    assert!(told.contains_key("AUTH_THROTTLED"), "they were never told to wait: {told:?}");
    let guesses: u64 = told.values().sum();
    let told: Vec<String> = told.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    (format!("{guesses} guesses from the honest callers' address"), told.join(", "))
}

/// Tokens that were good once, or are good elsewhere.
pub(crate) async fn replayed(server: SocketAddr, secret: &str, lasting: Duration) -> (String, String) {
    let (nobody, end) = (wire(server).await, Instant::now() + lasting);
    let pay = nobody.bearer(secret);
    let issue = async |lifetime: Duration| {
        let lifetime = Some(prost_types::Duration::try_from(lifetime).expect("small"));
        pay.served("", v1::IssueTokenRequest { lifetime, ..Default::default() }).await
    };
    let expired = issue(Duration::from_millis(1)).await.token;
    let revoked = issue(Duration::from_secs(600)).await;
    let target = v1::revoke_token_request::Target::TokenId(revoked.token_id);
    pay.served(&fresh(), v1::RevokeTokenRequest { target: Some(target), ..Default::default() }).await;
    let elsewhere = TestServer::start().await;
    let admin = Wire::to(&elsewhere.endpoint()).await.bearer(&elsewhere.admin_secret);
    let foreign = admin.served("", v1::IssueTokenRequest::default()).await.token;
    let changed = {
        let mut token = issue(Duration::from_secs(600)).await.token;
        let last = token.pop().expect("it is not empty");
        token.push(if last == 'A' { 'B' } else { 'A' });
        token
    };
    let (mut calls, mut told) = (0, BTreeMap::<String, u64>::new());
    while calls == 0 || Instant::now() < end {
        for token in [&expired, &revoked.token, &foreign, &changed] {
            let refused = nobody.bearer(token).refused(&fresh(), run_job("settle")).await;
            assert!(matches!(refused.code, Code::Unauthenticated | Code::ResourceExhausted), "{refused:?}");
            *told.entry(refused.reason).or_default() += 1;
            calls += 1;
        }
    }
    for reason in ["CREDENTIALS_EXPIRED", "CREDENTIALS_REVOKED"] {
        assert!(told.contains_key(reason) || told.contains_key("AUTH_THROTTLED"), "{told:?}");
    }
    let told: Vec<String> = told.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    (format!("{calls} calls with an expired, a revoked, a foreign and a changed token"), told.join(", "))
}

/// The credentials of an app, used on another one, `shop`, whose own secret is the second; and a look for its requests.
pub(crate) async fn across(server: SocketAddr, (intruder, owner): (&str, &str), lasting: Duration) -> (String, String) {
    let (nobody, end) = (wire(server).await, Instant::now() + lasting);
    let (intruder, owner) = (nobody.bearer(intruder), nobody.bearer(owner));
    let (app, job) = ("shop".to_owned(), "across".to_owned());
    let create = v1::CreateJobRequest { job: job.clone(), spec: Some(spec("nobody")), ..Default::default() };
    owner.served(&fresh(), create).await;
    let id = fresh();
    let run = v1::RunJobRequest { app: app.clone(), ..run_job(&job) };
    let run_id = owner.served(&id, run.clone()).await.run_id;
    let forbidden = |refused: Refused| {
        refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    };
    let mut calls = 0;
    while calls == 0 || Instant::now() < end {
        // The same id and the same words: what it answered is not shown, nor that it was used.
        forbidden(intruder.refused(&id, run.clone()).await);
        let get = v1::GetRunRequest { app: app.clone(), run_id: run_id.clone(), ..Default::default() };
        forbidden(intruder.refused("", get.clone()).await);
        let ask = v1::GetRequestRequest { app: app.clone(), target_request_id: id.clone(), ..Default::default() };
        forbidden(intruder.refused("", ask.clone()).await);
        let own = v1::GetRequestRequest { app: String::new(), ..ask };
        let found = intruder.served("", own).await.request.expect("an answer");
        assert_eq!(found.state(), RequestState::Unknown, "ids of others are not known here");
        let own = v1::GetRunRequest { app: String::new(), ..get };
        intruder.refused("", own).await.expect(Code::NotFound, "NOT_FOUND");
        calls += 5;
    }
    (format!("{calls} calls of one app for another's"), "PERMISSION_DENIED, and nothing is shown".to_owned())
}

/// Headers by which a proxy tells who its caller is, from somebody who is no proxy.
pub(crate) async fn forged(server: SocketAddr, lasting: Duration) -> (String, String) {
    let (wire, end) = (wire(server).await, Instant::now() + lasting);
    let identity = "By=spiffe://semel/ns/semel/sa/semel;Hash=00;Subject=\"\";URI=spiffe://semel/ns/semel/sa/admin";
    let forged = [
        ("x-forwarded-client-cert", identity),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;proto=https"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-user", "admin"),
        ("x-semel-principal", "system"),
    ];
    let mut calls = 0;
    while calls == 0 || Instant::now() < end {
        let mut request = wire.request(v1::CheckAuthRequest::default());
        for (name, value) in forged {
            request.metadata_mut().insert(name, MetadataValue::from_static(value));
        }
        let mut auth = v1::auth_service_client::AuthServiceClient::new(wire.channel.clone());
        let answer = auth.check_auth(request).await.expect("an answer").into_inner();
        assert_eq!(answer.auth.map(|auth| auth.status()), Some(AuthStatus::Missing), "as without them");
        let mut request = wire.request(v1::ListAppsRequest::default());
        for (name, value) in forged {
            request.metadata_mut().insert(name, MetadataValue::from_static(value));
        }
        let mut apps = v1::app_service_client::AppServiceClient::new(wire.channel.clone());
        let refused = Refused::of(&apps.list_apps(request).await.expect_err("refused"));
        refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
        assert_eq!(auth_status(Some(&refused.header)), AuthStatus::Missing);
        calls += 2;
    }
    (format!("{calls} calls with identities that only a proxy may tell"), "CREDENTIALS_MISSING, as without".to_owned())
}
