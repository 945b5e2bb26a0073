//! Client certificates: who must have one, and who its bearer is.

use semel_client::{Client, Credentials, RetryOptions, Tls, v1};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::AppName,
};
use semel_server::{
    auth::{Identity, UriPattern},
    server::Settings,
    transport::ClientAuth,
};
use v1::{AuthMethod, AuthStatus};

use super::{Secured, authority::Authority};
use crate::e2e::harness::{in_time, run_job};

const PAY: &str = "spiffe://prod.example/ns/pay/web";

/// Whoever is in `pay` may submit there.
fn pay_may_submit(settings: &mut Settings) {
    let app = AppName::parse("pay").expect("a name");
    settings.identities = vec![Identity {
        uri: UriPattern::parse("spiffe://prod.example/ns/pay/*").expect("a pattern"),
        app: Some(app.clone()),
        grants: vec![Grant { role: Role::Submitter, apps: AppPattern::One(app) }],
    }];
}

fn with_certificate(server: &Authority, clients: &Authority, uris: &[&str]) -> Tls {
    let (chain, key) = clients.issue_client(uris);
    server.believed().client_certificate(chain, key)
}

async fn verdict(client: &Client) -> v1::AuthResult {
    let checked = client.check_auth(v1::CheckAuthRequest::default()).await.expect("it answers whatever is found");
    checked.header.and_then(|header| header.auth).expect("a verdict")
}

async fn without_credentials(secured: &Secured, tls: Tls) -> Client {
    let options = secured.options(tls).retry(RetryOptions::none());
    in_time(Client::connect(options)).await.expect("connects")
}

#[tokio::test]
async fn a_certificate_is_a_caller_with_the_rights_that_its_name_has() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let secured = Secured::start(&servers, Some((&clients, ClientAuth::Optional)), pay_may_submit).await;
    let admin = secured.pay(&servers.believed()).await;

    let web = without_credentials(&secured, with_certificate(&servers, &clients, &[PAY])).await;
    let found = verdict(&web).await;
    assert_eq!((found.status(), found.method()), (AuthStatus::Passed, AuthMethod::ClientCertificate));
    assert_eq!(found.principal, PAY);
    assert!(found.expire_time.is_some(), "it ends with the certificate");
    let run = web.run_job(run_job("settle")).await.expect("it may submit, and its app is known");
    let refused = web.pause_job(v1::PauseJobRequest { job: "settle".to_owned(), ..Default::default() }).await;
    let refused = refused.expect_err("it may not do more");
    assert_eq!((refused.reason(), refused.auth_status()), (Some("FORBIDDEN"), AuthStatus::Forbidden));

    // A renewed certificate is the same caller, so its call again is the same call (D5).
    let renewed = without_credentials(&secured, with_certificate(&servers, &clients, &[PAY])).await;
    let header = run.header.expect("a header");
    let again = v1::RunJobRequest {
        header: Some(v1::RequestHeader { request_id: header.request_id, ..Default::default() }),
        ..run_job("settle")
    };
    let again = renewed.run_job(again).await.expect("the first answer");
    assert_eq!(
        (again.run_id, again.header.map(|header| header.disposition())),
        (run.run_id, Some(v1::Disposition::Replayed))
    );
    drop(admin);
}

#[tokio::test]
async fn a_certificate_that_says_nothing_is_as_good_as_none_and_two_names_are_nobodys() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let secured = Secured::start(&servers, Some((&clients, ClientAuth::Optional)), pay_may_submit).await;
    let two = [PAY, "spiffe://prod.example/ns/pay/other"];
    let cases: [(&[&str], AuthStatus); 4] = [
        (&[], AuthStatus::Missing),
        (&["spiffe://prod.example/ns/shop/web"], AuthStatus::Missing),
        (&["https://prod.example/ns/pay/web"], AuthStatus::Missing),
        (&two, AuthStatus::Malformed),
    ];
    for (uris, status) in cases {
        let client = without_credentials(&secured, with_certificate(&servers, &clients, uris)).await;
        assert_eq!(verdict(&client).await.status(), status, "{uris:?}");
    }
    let nobody = without_credentials(&secured, servers.believed()).await;
    assert_eq!(verdict(&nobody).await.status(), AuthStatus::Missing);
}

#[tokio::test]
async fn a_bearer_decides_where_there_is_a_certificate_too() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let secured = Secured::start(&servers, Some((&clients, ClientAuth::Optional)), pay_may_submit).await;
    let tls = with_certificate(&servers, &clients, &[PAY]);
    let admin = secured.admin(tls.clone()).await;
    assert_eq!(verdict(&admin).await.method(), AuthMethod::AppSecret);
    let wrong = Credentials::Bearer("not a token".to_owned());
    let options = secured.options(tls).credentials(wrong).retry(RetryOptions::none());
    let client = Client::connect(options).await.expect("connects");
    assert_ne!(verdict(&client).await.status(), AuthStatus::Passed, "a bad one is not made good by the certificate");
}

#[tokio::test]
async fn where_certificates_are_required_nobody_comes_in_without_a_good_one() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let secured = Secured::start(&servers, Some((&clients, ClientAuth::Required)), pay_may_submit).await;
    let good = without_credentials(&secured, with_certificate(&servers, &clients, &[PAY])).await;
    assert_eq!(verdict(&good).await.status(), AuthStatus::Passed);
    for tls in [servers.believed(), with_certificate(&servers, &others, &[PAY])] {
        let options = secured.options(tls).retry(RetryOptions::none());
        // With TLS 1.3 a client learns that it is refused by its first call.
        let refused = match in_time(Client::connect(options)).await {
            Ok(client) => in_time(client.check_auth(v1::CheckAuthRequest::default())).await.map(|_| ()),
            Err(error) => Err(error),
        };
        refused.expect_err("nobody vouches for it");
    }
}
