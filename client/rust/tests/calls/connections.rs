//! Connections that are lost, cannot be made, or are many.

use std::time::Duration;

use semel_client::{Client, Code, Error, ErrorKind, Options, RetryOptions};
use tokio::task::JoinSet;

use crate::{
    assert_one_id, job,
    support::{
        self,
        calls::{Fake, Step, options},
        relay::Relay,
        soon, until,
    },
};

#[tokio::test]
async fn a_lost_connection_is_made_again_and_the_call_keeps_its_id() {
    let fake = Fake::start([Step::Hang]).await;
    let relay = Relay::to(fake.address).await;
    let patient = RetryOptions { backoff_first: Duration::from_millis(1), ..RetryOptions::default() };
    let client = Client::connect(Options::new(support::url(relay.address)).retry(patient)).await.unwrap();
    let call = tokio::spawn(async move { client.run_job(job()).await });
    until("the call at the server", || fake.ids().len() == 1).await;
    relay.cut();
    soon("the answer", call).await.unwrap().unwrap();
    assert_one_id(&fake, 2);
}

#[tokio::test]
async fn a_lost_connection_is_told_as_one_with_its_cause_however_far_it_had_come() {
    let once = |relay: &Relay| Options::new(support::url(relay.address)).retry(RetryOptions::none());
    let told = |error: &Error| {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Transport, Code::Unavailable), "{error}");
        let says = error.message();
        assert!(["no answer came: ", "cannot connect: "].iter().any(|begin| says.starts_with(begin)), "{says}");
        assert!(!says.ends_with("http2 error") && !says.ends_with("transport error"), "these say nothing: {says}");
    };
    let fake = Fake::start([Step::Hang]).await;
    let relay = Relay::to(fake.address).await;
    let client = Client::connect(once(&relay)).await.unwrap();
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.run_job(job()).await }
    });
    until("the call at the server", || fake.ids().len() == 1).await;
    relay.cut();
    let error = soon("the end", call).await.unwrap().unwrap_err();
    told(&error);
    assert!(!error.refusal().nothing_happened(), "nobody knows");
    // Cut at any moment, also while the call is being written.
    for _ in 0..40 {
        let mut calls = JoinSet::new();
        for client in [(); 4].map(|()| client.clone()) {
            calls.spawn(async move { client.run_job(job()).await });
        }
        relay.cut();
        while let Some(ended) = calls.join_next().await {
            ended.unwrap().err().iter().for_each(told);
        }
    }
}

#[tokio::test]
async fn several_connections_serve_one_client() {
    let fake = Fake::start([]).await;
    let client = Client::connect(options(&fake).connections(3)).await.unwrap();
    for _ in 0..6 {
        client.run_job(job()).await.unwrap();
    }
    assert_eq!(fake.ids().len(), 6);
    assert_eq!(Client::connect(options(&fake).connections(0)).await.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_at_once() {
    let (_port, address) = support::nobody();
    let error = Client::connect(Options::new(support::url(address))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Transport, Code::Unavailable));

    let lazy = Options::new(support::url(address)).retry(RetryOptions::none());
    let error = Client::connect_lazy(lazy).unwrap().run_job(job()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Transport, Code::Unavailable));
    assert!(error.message().starts_with("cannot connect: Connection refused"), "{error}");
    assert!(error.refusal().nothing_happened(), "what was never sent has no effect");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_spoken_to_is_named_at_once() {
    for endpoint in ["ftp://127.0.0.1:7400", "127.0.0.1:7400", "http://", ""] {
        let error = Client::connect_lazy(Options::new(endpoint)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{endpoint:?}");
    }
}
