//! How a watch is kept alive while nothing happens, and how it ends: by the server's end, by its deadline, by a fault.

use std::time::Duration;

use semel_client::v1::{WatchRequest, watch_response::Kind, watch_service_client::WatchServiceClient};
use tokio::time::Instant;
use tonic::Code;

use super::run;
use crate::e2e::{
    harness::in_time,
    raw_watcher::{RawWatcher, of, resumed, run_of},
    wire::{PayByWire, Refused, seconds},
};

#[tokio::test]
async fn a_silent_watch_says_where_it_is_and_its_token_skips_what_the_filter_held_back() {
    let pay = PayByWire::start().await;
    let request = WatchRequest { terminal_only: true, progress_interval: seconds(1), ..of("pay") };
    let mut watcher = RawWatcher::watch(&pay.pay, request.clone()).await;
    assert_eq!(watcher.opened.progress_interval, seconds(1));
    let begun = watcher.opened.revision;
    for _ in 0..3 {
        run(&pay.pay, "settle").await;
    }
    let progress = loop {
        match watcher.message().await.expect("it goes on").expect("it goes on") {
            Kind::Progress(progress) if progress.revision >= begun + 3 => break progress,
            Kind::Progress(_) => {}
            other => panic!("nothing that ends happened: {other:?}"),
        }
    };
    assert_eq!(progress.revision, begun + 3);
    let again = RawWatcher::watch(&pay.pay, resumed(&request, &watcher.token)).await;
    assert_eq!(again.opened.revision, begun + 3);
}

#[tokio::test]
async fn every_watcher_is_told_that_the_server_goes_and_the_end_is_bounded() {
    let mut pay = PayByWire::start().await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(RawWatcher::watch(&pay.pay, of("pay")).await);
    }
    // One that never reads any more must not hold up the end.
    let stuck = RawWatcher::watch(&pay.connect_again().await, of("pay")).await;
    let run_id = run(&pay.pay, "settle").await;
    let begun = Instant::now();
    pay.server.running().drain().await;
    let mut token = String::new();
    for watcher in &mut watchers {
        let end = watcher.end().await;
        assert!(matches!(end.last, Some(Kind::GoingAway(_))), "{end:?}");
        end.status.expect("it ends well");
        let kept = watcher.kept();
        token.clone_from(&watcher.token);
        // What was committed before may have come, or comes with the token.
        assert!(kept.len() <= 1);
        if let Some(event) = kept.first() {
            assert_eq!(run_of(event).run_id, run_id);
        }
    }
    let refused = RawWatcher::open(&pay.pay, of("pay")).await.err().expect("nothing new begins");
    assert_eq!(Refused::of(&refused).reason, "DRAINING");
    let had = watchers.pop().is_some_and(|watcher| watcher.token == token);
    assert!(had);
    pay.restart().await;
    drop(stuck);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let next = run(&pay.pay, "settle").await;
    let mut watcher = RawWatcher::watch(&pay.pay, resumed(&of("pay"), &token)).await;
    let mut told = Vec::new();
    while told.last() != Some(&next) {
        let event = watcher.event().await;
        if event.subject.is_some() {
            told.push(run_of(&event).run_id.clone());
        }
    }
    assert!(told == [next.clone()] || told == [run_id, next]);
}

#[tokio::test]
async fn a_deadline_ends_a_watch_with_its_place_and_in_time() {
    let pay = PayByWire::start().await;
    let mut client = WatchServiceClient::new(pay.pay.channel.clone());
    let mut request = pay.pay.request(of("pay"));
    request.set_timeout(Duration::from_millis(700));
    let mut messages = in_time(client.watch(request)).await.expect("it is served").into_inner();
    let mut last = None;
    let status = loop {
        match in_time(messages.message()).await {
            Ok(Some(message)) => last = Some(message),
            Ok(None) => panic!("it ended as if all was said"),
            Err(status) => break status,
        }
    };
    let refused = Refused::of(&status);
    refused.expect(Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    let last = last.expect("a message");
    assert!(matches!(last.kind, Some(Kind::Progress(_))) && !last.resume_token.is_empty(), "{last:?}");
    assert!(RawWatcher::open(&pay.pay, resumed(&of("pay"), &last.resume_token)).await.is_ok());
}

#[tokio::test]
async fn a_watch_ends_when_its_engine_has_failed_and_goes_on_after_it() {
    let mut pay = PayByWire::start().await;
    let mut watcher = RawWatcher::watch(&pay.pay, of("pay")).await;
    pay.server.memory().inject(semel_server::store::Fault::FailNextCommit { applied: true });
    let refused = pay.pay.send(&crate::e2e::wire::fresh(), crate::e2e::harness::run_job("settle")).await;
    assert!(refused.is_err());
    let end = watcher.end().await;
    let refused = Refused::of(&end.status.expect_err("it ends"));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "NO_OWNER"));
    assert!(watcher.kept().is_empty(), "what was not acknowledged was not shown");
    let token = watcher.token.clone();
    pay.revive().await;
    let mut watcher = RawWatcher::watch(&pay.pay, resumed(&of("pay"), &token)).await;
    let event = watcher.event().await;
    assert_eq!(run_of(&event).run_id, pay.pay.runs().await[0].run_id, "it was in the log after all");
}
