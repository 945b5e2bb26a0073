//! What is counted of certificates, for the test that asks of each metric whether it moves.

use std::{collections::BTreeSet, fs};

use semel_client::{Client, RetryOptions, v1};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::AppName,
};
use semel_server::{
    auth::{Identity, UriPattern},
    transport::ClientAuth,
};

use super::{Secured, authority::Authority};
use crate::e2e::{
    harness::{in_time, run_job},
    metrics::{moves::Watched, with_admin},
};

/// A certificate that is renewed and one that cannot be used; callers who show theirs.
pub(crate) async fn certificates_are_counted() -> BTreeSet<String> {
    let (servers, clients) = (Authority::new(), Authority::new());
    let secured = Secured::start(&servers, Some((&clients, ClientAuth::Optional)), |settings| {
        with_admin(settings);
        let app = AppName::parse("pay").expect("a name");
        settings.identities = vec![Identity {
            uri: UriPattern::parse("spiffe://prod.example/*").expect("a pattern"),
            app: Some(app.clone()),
            grants: vec![Grant { role: Role::Submitter, apps: AppPattern::One(app) }],
        }];
    })
    .await;
    let mut watched = Watched::begin(secured.server.running().admin_address().expect("it listens")).await;
    secured.pay(&servers.believed()).await;
    let (chain, key) = clients.issue_client(&["spiffe://prod.example/web"]);
    let options = secured.options(servers.believed().client_certificate(chain, key)).retry(RetryOptions::none());
    let web = in_time(Client::connect(options)).await.expect("connects");
    web.run_job(run_job("settle")).await.expect("it may submit");
    let pause = v1::PauseJobRequest { job: "settle".to_owned(), ..Default::default() };
    web.pause_job(pause).await.expect_err("it may do no more");

    secured.pair.put(&servers.issue_server_until(2050));
    watched.until(&["semel_tls_reloads_total{outcome=\"taken\"}", "semel_tls_certificate_not_after_seconds"]).await;
    // 31 December 2050.
    assert_eq!(watched.value("semel_tls_certificate_not_after_seconds").await, Some(2_556_057_600.0));
    fs::write(secured.pair.key(), "not a key").expect("a file");
    watched.until(&["semel_tls_reloads_total{outcome=\"failed\"}"]).await;
    watched.end().await
}
