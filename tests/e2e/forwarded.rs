//! Who a caller is by the word of a proxy: taken from peers that are named, and from nobody else.

use semel_client::v1::{
    self, AuthMethod, AuthStatus, auth_service_client::AuthServiceClient, job_service_client::JobServiceClient,
};
use semel_core::{
    app::{AppPattern, Grant, Role},
    id::AppName,
};
use semel_server::{
    auth::{Forwarder, Identity, UriPattern},
    server::Settings,
};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use super::{
    harness::{TestServer, run_job},
    wire::{PayByWire, Wire, fresh},
};

const PAY: &str = "URI=spiffe://prod.example/ns/pay/web";
const NAME: &str = "x-forwarded-client-cert";

/// Whoever is in `pay` may submit there, if one of these peers says so.
fn believing(forwarders: &'static [&'static str]) -> impl FnOnce(&mut Settings) {
    move |settings| {
        let app = AppName::parse("pay").expect("a name");
        settings.identities = vec![Identity {
            uri: UriPattern::parse("spiffe://prod.example/ns/pay/*").expect("a pattern"),
            app: Some(app.clone()),
            grants: vec![Grant { role: Role::Submitter, apps: AppPattern::One(app) }],
        }];
        settings.forwarders = forwarders.iter().map(|peer| Forwarder::parse(peer).expect("a peer")).collect();
    }
}

fn saying<T>(wire: &Wire, headers: &[&str], message: T) -> Request<T> {
    let mut request = wire.request(message);
    for header in headers {
        request.metadata_mut().append(NAME, MetadataValue::try_from(*header).expect("visible characters"));
    }
    request
}

async fn verdict(wire: &Wire, headers: &[&str]) -> v1::AuthResult {
    let request = saying(wire, headers, v1::CheckAuthRequest::default());
    let answer = AuthServiceClient::new(wire.channel.clone()).check_auth(request).await.expect("it answers");
    answer.into_inner().auth.expect("a verdict")
}

async fn run(wire: &Wire, id: &str, headers: &[&str]) -> Result<v1::RunJobResponse, Status> {
    let mut message = run_job("settle");
    message.header = Some(v1::RequestHeader { request_id: id.to_owned(), ..Default::default() });
    let answer = JobServiceClient::new(wire.channel.clone()).run_job(saying(wire, headers, message)).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_peer_that_is_named_says_who_its_caller_is() {
    let pay = PayByWire::on(TestServer::with(believing(&["127.0.0.0/8"])).await).await;
    let found = verdict(&pay.nobody, &[PAY]).await;
    assert_eq!((found.status(), found.method()), (AuthStatus::Passed, AuthMethod::ForwardedCertificate));
    assert_eq!((found.principal.as_str(), found.expire_time), ("spiffe://prod.example/ns/pay/web", None));

    // Through another proxy, with another certificate of the same name, it is the same call (D5).
    let id = fresh();
    let first = run(&pay.nobody, &id, &[PAY]).await.expect("it may submit");
    let again = run(&pay.nobody, &id, &["Hash=77", "Hash=4f;URI=\"spiffe://prod.example/ns/pay/web\""]).await;
    let again = again.expect("the first answer");
    let disposition = again.header.map(|header| header.disposition());
    assert_eq!((again.run_id, disposition), (first.run_id, Some(v1::Disposition::Replayed)));

    // A bearer beside it decides.
    assert_eq!(verdict(&pay.pay, &[PAY]).await.principal, "app:pay");
}

#[tokio::test]
async fn a_peer_that_is_named_and_names_nobody_speaks_for_nobody() {
    let pay = PayByWire::on(TestServer::with(believing(&["127.0.0.1"])).await).await;
    let cases: [(&[&str], AuthStatus); 6] = [
        (&[], AuthStatus::Missing),
        (&["Hash=4f"], AuthStatus::Missing),
        (&["URI=spiffe://prod.example/ns/shop/web"], AuthStatus::Missing),
        (&[PAY, "Hash=4f"], AuthStatus::Missing),
        (&["URI=\"spiffe://prod.example/ns/pay/web"], AuthStatus::Malformed),
        (&["URI=spiffe://prod.example/ns/pay/a;URI=spiffe://prod.example/ns/pay/b"], AuthStatus::Malformed),
    ];
    for (headers, status) in cases {
        let found = verdict(&pay.nobody, headers).await;
        assert_eq!((found.status(), found.principal.as_str()), (status, ""), "{headers:?}");
    }
}

#[tokio::test]
async fn a_forged_header_is_nothing() {
    for forwarders in [&[] as &[&str], &["10.0.0.0/8", "spiffe://prod.example/ns/ingress/*"]] {
        let pay = PayByWire::on(TestServer::with(believing(forwarders)).await).await;
        for header in [PAY, "URI=\"broken", "URI=spiffe://prod.example/ns/ingress/a"] {
            let found = verdict(&pay.nobody, &[header]).await;
            assert_eq!((found.status(), found.principal.as_str()), (AuthStatus::Missing, ""), "{header}");
        }
        let refused = run(&pay.nobody, &fresh(), &[PAY]).await.expect_err("nobody is known");
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(pay.pay.runs().await.is_empty());
    }
}
