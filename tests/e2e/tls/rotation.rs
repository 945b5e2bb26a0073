//! Certificates that are renewed while calls go on: no call fails for good, none takes effect twice, and connections that come
//! after it see the new one.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use semel_client::{Client, Options, RetryOptions, Tls};
use semel_server::transport::TlsFiles;
use tokio::task::JoinSet;

use super::{Secured, authority::Authority, run_count};
use crate::e2e::harness::{TestServer, in_time, run_job};

const CALLERS: usize = 8;
const ROTATIONS: usize = 5;

/// Whether a new connection is shown a certificate of this authority.
async fn is_shown(options: &dyn Fn(Tls) -> Options, authority: &Authority) -> bool {
    let options = options(authority.believed()).retry(RetryOptions::none());
    in_time(Client::connect(options)).await.is_ok()
}

async fn until_shown(options: &dyn Fn(Tls) -> Options, authority: &Authority) {
    in_time(async {
        while !is_shown(options, authority).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_rotation_under_load_costs_no_call() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, None, |_| {}).await;
    let pay = Arc::new(secured.pay(&authority.believed()).await);
    let (done, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (pay, done, is_over) = (pay.clone(), done.clone(), is_over.clone());
        callers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                pay.run_job(run_job("settle")).await.expect("every call is answered");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // Each time by another authority, so that it is seen which certificate a connection is shown.
    for _ in 0..ROTATIONS {
        let next = Authority::new();
        secured.pair.put(&next.issue_server());
        until_shown(&|tls| secured.options(tls), &next).await;
        assert!(!is_shown(&|tls| secured.options(tls), &authority).await, "the former one is gone");
        let before = done.load(Ordering::Relaxed);
        in_time(async {
            while done.load(Ordering::Relaxed) < before + CALLERS {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = in_time(callers.join_next()).await {
        ended.expect("no caller failed");
    }
    assert_eq!(run_count(&pay).await, done.load(Ordering::Relaxed), "each call made one run");
}

#[tokio::test]
async fn operators_need_not_wait_until_the_files_are_looked_at() {
    let (authority, next) = (Authority::new(), Authority::new());
    let pair = authority.server();
    let files = TlsFiles { look_every: Duration::from_secs(3600), ..pair.files(None) };
    let server = TestServer::with(|settings| settings.tls = Some(files)).await;
    let secured = Secured { server, pair };
    secured.pair.put(&next.issue_server());
    let hangup = std::process::Command::new("kill").arg("-HUP").arg(std::process::id().to_string()).status();
    assert!(hangup.expect("kill is there").success());
    until_shown(&|tls| secured.options(tls), &next).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_former_certificate_until_they_are_mended() {
    let (authority, next) = (Authority::new(), Authority::new());
    let secured = Secured::start(&authority, None, |_| {}).await;
    let options = |tls| secured.options(tls);
    let (certificate, key) = next.issue_server();
    // Half of a rotation, a broken file, and none at all.
    fs::write(secured.pair.certificate(), &certificate).expect("a file");
    assert!(is_shown(&options, &authority).await);
    fs::write(secured.pair.key(), "not a key").expect("a file");
    assert!(is_shown(&options, &authority).await);
    fs::remove_file(secured.pair.key()).expect("it was there");
    assert!(is_shown(&options, &authority).await);
    fs::write(secured.pair.key(), &key).expect("a file");
    until_shown(&options, &next).await;
}
