//! Watchers that do not read, and watchers under load with everything going wrong: nothing is lost and nothing doubled.

use semel_client::v1::{self, WatchRequest};

use super::{cancel, run};
use crate::e2e::{
    raw_watcher::{RawWatcher, from, of, resumed},
    wire::{PayByWire, fresh},
};

/// Large enough that a few hundred of them are more than a connection holds for a stream that is not read.
fn large(at: usize) -> v1::RunJobRequest {
    let labels = (0..30).map(|label| (format!("l{label}"), format!("{at:0250}"))).collect();
    v1::RunJobRequest { job: "settle".to_owned(), labels, ..Default::default() }
}

#[tokio::test]
async fn a_watcher_that_does_not_read_loses_nothing_and_holds_nobody_up() {
    const RUNS: usize = 400;
    let pay = PayByWire::start().await;
    let mut slow = RawWatcher::watch(&pay.connect_again().await, of("pay")).await;
    let mut quick = RawWatcher::watch(&pay.pay, of("pay")).await;
    for at in 0..RUNS {
        pay.pay.served(&fresh(), large(at)).await;
        quick.event().await;
    }
    let told = slow.events(RUNS).await;
    let again = RawWatcher::watch(&pay.pay, from(&of("pay"), told[0].revision)).await.events(RUNS).await;
    assert_eq!(told, again, "the ring, the store and a stream that stood still tell the same");
    let last = run(&pay.pay, "settle").await;
    assert_eq!(super::super::raw_watcher::run_of(&slow.event().await).run_id, last);
}

#[tokio::test]
async fn random_breaks_and_restarts_lose_nothing_and_double_nothing() {
    let seed = 20_261;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pay = PayByWire::start().await;
    let requests = [
        of("pay"),
        WatchRequest { terminal_only: true, ..of("pay") },
        WatchRequest { jobs: vec!["settle".to_owned()], ..of("pay") },
    ];
    let begun = RawWatcher::watch(&pay.pay, of("pay")).await.opened.revision + 1;
    let mut watchers = Vec::new();
    for request in &requests {
        watchers.push((RawWatcher::watch(&pay.pay, request.clone()).await, Vec::new()));
    }
    let mut live = Vec::new();
    for round in 0..60 {
        for _ in 0..random.usize(1..6) {
            live.push(run(&pay.pay, "settle").await);
        }
        if live.len() > 3 {
            let picked = live.swap_remove(random.usize(..live.len()));
            cancel(&pay.pay, &picked).await;
        }
        let restarts = round % 20 == 19;
        if restarts {
            pay.restart().await;
        }
        for (at, (watcher, told)) in watchers.iter_mut().enumerate() {
            if restarts || random.u8(..4) == 0 {
                told.append(&mut watcher.kept());
                *watcher = RawWatcher::watch(&pay.pay, resumed(&requests[at], &watcher.token)).await;
            }
        }
    }
    let last = run(&pay.pay, "settle").await;
    cancel(&pay.pay, &last).await;
    for (at, (watcher, told)) in watchers.iter_mut().enumerate() {
        let is_last = |event: &v1::Event| event.kind() == v1::EventKind::RunCancelled && names(event, &last);
        while !told.last().is_some_and(is_last) {
            told.push(watcher.event().await);
        }
        let mut whole = RawWatcher::watch(&pay.pay, from(&requests[at], begun)).await;
        let should = whole.events(told.len()).await;
        assert_eq!(told, &should, "seed {seed}, filter {at}");
    }
}

fn names(event: &v1::Event, run_id: &str) -> bool {
    matches!(&event.subject, Some(v1::event::Subject::Run(run)) if run.run_id == run_id)
}
