//! Through real nginx and real HAProxy, as gRPC proxies that send calls again which may have been executed: to a second way when
//! the first answers late, badly or not at all. Server and proxies are restarted meanwhile.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use semel_client::{Credentials, Options, v1};
use semel_faults::{Fault, Plan};
use tokio::sync::watch;

use super::{
    Answered, calls, fire,
    gateway::{Gateway, Kind},
    reckon, whole_machine,
};
use crate::e2e::{
    binary::ServerProcess,
    faults::proxy_to,
    harness::{job, spec},
};

/// A server with the app `pay` and its job, and the credentials of the app.
async fn prepared(folder: &Path) -> (ServerProcess, Credentials) {
    let server = ServerProcess::start(folder, &[]).await;
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    let secret = server.admin().create_app(create).await.expect("made").secret;
    job(&server.blunt("pay"), "settle", spec("p")).await;
    (server, Credentials::Secret { app: "pay".to_owned(), secret })
}

/// What is wrong with the first way of each gateway: resets, and answers that are lost or come too late.
fn faulty(seed: u64) -> Plan {
    Plan::storm(seed).with(Fault::LoseAnswer, 80).with(Fault::Delay, 20).with(Fault::StripCredentials, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sends_calls_again_and_each_makes_one_run() {
    let _machine = whole_machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, credentials) = prepared(folder.path()).await;

    let direct = server.address();
    let proxy = proxy_to(direct, faulty(7)).await;
    let prefix = tempfile::tempdir().expect("a folder");
    let Some(mut nginx) = Gateway::start(Kind::Nginx, prefix.path(), &[proxy.address(), direct]).await else {
        return Kind::Nginx.may_be_skipped();
    };

    let (calls, endpoint) = (calls(), format!("http://{}", nginx.address()));
    let options = || Options::new(&endpoint).app("pay").credentials(credentials.clone());
    let answers = watch::Sender::new(0);
    let restarts = async {
        super::answered(&answers, calls / 4).await;
        server.kill().await;
        server.start_again().await;
        super::answered(&answers, calls / 2).await;
        nginx.restart().await;
        super::answered(&answers, 3 * calls / 4).await;
        server.terminate().await;
        server.start_again().await;
    };
    let (answered, ()) = tokio::join!(fire(options, calls, &answers), restarts);
    proxy.send_kept().await;
    let (repeated, timed_out) = (nginx.repeated(), nginx.repeated_after("200 504, 200"));
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    println!(
        "{calls} calls, nginx repeated {repeated}, after a time-out {timed_out}; {replayed} replayed, {}",
        proxy.counts().to_json()
    );
    reckon(&server.blunt("pay"), &answered, calls).await;
    // Half of the calls take the faulty way first, and of these at least one in ten is executed and not answered.
    assert!(repeated > calls / 50, "nginx sent only {repeated} calls again: this shows nothing");
    assert!(timed_out > 0, "nginx never sent a call again whose answer was only late");
    let arrived_again = |answer: &&Answered| answer.replayed && answer.arrivals > 1;
    assert!(answered.iter().filter(arrived_again).count() > calls / 50, "too few of them had been executed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ways_in_through_nginx_and_haproxy_make_one_run_a_call() {
    let _machine = whole_machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, credentials) = prepared(folder.path()).await;

    // Each gateway has a way that is faulty and one that is not.
    let direct = server.address();
    let faulty =
        |seed| Plan::storm(seed).with(Fault::LoseAnswer, 80).with(Fault::Delay, 20).with(Fault::StripCredentials, 0);
    let (first, second) = (proxy_to(direct, faulty(11)).await, proxy_to(direct, faulty(12)).await);
    let (for_nginx, for_haproxy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let Some(mut nginx) = Gateway::start(Kind::Nginx, for_nginx.path(), &[first.address(), direct]).await else {
        return Kind::Nginx.may_be_skipped();
    };
    let Some(mut haproxy) = Gateway::start(Kind::HaProxy, for_haproxy.path(), &[second.address(), direct]).await else {
        return Kind::HaProxy.may_be_skipped();
    };

    let calls = 2 * calls();
    let ways = [nginx.address(), haproxy.address()];
    let turn = AtomicUsize::new(0);
    let options = || {
        let way = ways[turn.fetch_add(1, Ordering::Relaxed) % ways.len()];
        Options::new(format!("http://{way}")).app("pay").credentials(credentials.clone())
    };
    let answers = watch::Sender::new(0);
    let restarts = async {
        super::answered(&answers, calls / 5).await;
        haproxy.restart().await;
        super::answered(&answers, 2 * calls / 5).await;
        server.kill().await;
        server.start_again().await;
        super::answered(&answers, 3 * calls / 5).await;
        nginx.restart().await;
        super::answered(&answers, 4 * calls / 5).await;
        server.terminate().await;
        server.start_again().await;
    };
    let (answered, ()) = tokio::join!(fire(options, calls, &answers), restarts);
    first.send_kept().await;
    second.send_kept().await;
    let replayed = answered.iter().filter(|answer| answer.replayed).count();
    let repeated = (nginx.repeated(), haproxy.repeated());
    println!("{calls} calls, nginx repeated {}, HAProxy {}; {replayed} replayed", repeated.0, repeated.1);
    reckon(&server.blunt("pay"), &answered, calls).await;
    assert!(repeated.0 > calls / 200 && repeated.1 > calls / 200, "too few were sent again: this shows nothing");
    assert!(replayed > calls / 100, "too few of them had been executed");
}
