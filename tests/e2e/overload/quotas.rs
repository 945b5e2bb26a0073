//! Quotas of apps: what is over one is refused before anything is recorded, and costs nobody else anything.

use semel_client::v1;
use semel_core::{app::AppPattern, id::Millis};
use semel_server::{
    clock::ManualClock,
    transport::{AppQuota, Quota, QuotaRules},
};
use tonic::Code;

use crate::e2e::{
    harness::{TestServer, in_time, run_job, spec},
    raw_submitter::{RawSubmitter, item},
    raw_worker::{RawWorker, hello, log, succeeded},
    wire::{PayByWire, Wire, fresh, settle},
};

/// A server whose apps have a quota, and the app `shop` beside `pay`. Making its job took the first change of each.
async fn with(quota: impl Into<QuotaRules>) -> (PayByWire, Wire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|settings| settings.quota = quota.into()).await;
    let pay = PayByWire::on(server).await;
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let shop = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let create = v1::CreateJobRequest { job: "settle".to_owned(), spec: Some(spec("p")), ..Default::default() };
    shop.served(&fresh(), create).await;
    (pay, shop, clock)
}

fn five_a_second() -> Quota {
    Quota { mutations_per_second: 5, ..Quota::default() }
}

async fn over(wire: &Wire, id: &str, message: impl semel_client::Method, limit: &str) {
    let refused = wire.refused(id, message).await;
    refused.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("limit", limit).says_when();
    assert!(refused.pushback.is_some());
}

#[tokio::test]
async fn one_app_over_its_quota_costs_another_nothing() {
    let (pay, shop, clock) = with(five_a_second()).await;
    for _ in 0..4 {
        settle(&pay.pay, &fresh()).await.expect("within the quota");
    }
    let id = fresh();
    for _ in 0..20 {
        let refused = pay.pay.refused(&id, run_job("settle")).await;
        refused.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("app", "pay").says("limit", "5").says_when();
    }
    for _ in 0..4 {
        settle(&shop, &fresh()).await.expect("its quota is its own");
    }
    // Reads are not changes, and the admin is held by nobody's quota.
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(record.state(), v1::RequestState::Unknown, "a refusal records nothing");
    let described = |number| v1::UpdateAppRequest {
        app: "shop".to_owned(),
        description: format!("shop {number}"),
        ..Default::default()
    };
    for number in 0..10 {
        pay.admin.served(&fresh(), described(number)).await;
    }
    clock.advance(Millis(200));
    settle(&pay.pay, &id).await.expect("there is some again, under the same id");
    over(&pay.pay, &fresh(), run_job("settle"), "5").await;
}

#[tokio::test]
async fn an_app_may_have_a_quota_of_its_own() {
    let apps = AppPattern::parse("shop").expect("a pattern");
    let shop = AppQuota { apps, mutations_per_second: Some(20), mutations_burst: None, calls_max: None };
    let (pay, shop, clock) = with(QuotaRules::new(five_a_second(), &[shop])).await;
    for (wire, left, limit) in [(&pay.pay, 4, "5"), (&shop, 19, "20")] {
        for _ in 0..left {
            settle(wire, &fresh()).await.expect("within the quota");
        }
        over(wire, &fresh(), run_job("settle"), limit).await;
    }
    clock.advance(Millis(50));
    settle(&shop, &fresh()).await.expect("a twentieth of a second");
    over(&pay.pay, &fresh(), run_job("settle"), "5").await;
}

#[tokio::test]
async fn a_call_that_comes_again_counts_as_any_other() {
    let (pay, _, clock) = with(five_a_second()).await;
    let id = fresh();
    for _ in 0..4 {
        settle(&pay.pay, &id).await.expect("within the quota");
    }
    over(&pay.pay, &id, run_job("settle"), "5").await;
    clock.advance(Millis(200));
    let again = settle(&pay.pay, &id).await.expect("it is answered").header.expect("a header");
    assert_eq!(again.disposition(), v1::Disposition::Replayed);
}

#[tokio::test]
async fn nobody_uses_up_the_quota_of_another() {
    let (pay, shop, _) = with(five_a_second()).await;
    let elsewhere = || v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    for _ in 0..4 {
        assert_eq!(shop.refused(&fresh(), elsewhere()).await.reason, "FORBIDDEN");
    }
    let refused = shop.refused(&fresh(), elsewhere()).await;
    refused.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("app", "shop");
    // Names that somebody makes up cost nobody anything but him.
    let made_up = v1::RunJobRequest { app: fresh(), ..run_job("settle") };
    shop.refused(&fresh(), made_up).await.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("app", "shop");
    for _ in 0..4 {
        settle(&pay.pay, &fresh()).await.expect("all of it is there");
    }
}

#[tokio::test]
async fn items_of_a_stream_are_refused_one_by_one() {
    let (pay, _, clock) = with(five_a_second()).await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("opens");
    let ids: Vec<String> = (0..6).map(|_| fresh()).collect();
    submitter.send(ids.iter().map(|id| item(id)).collect()).await;
    for id in &ids[..4] {
        submitter.served(id).await;
    }
    for id in &ids[4..] {
        submitter.refused(id).await.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("limit", "5").says_when();
    }
    clock.advance(Millis(400));
    for id in &ids[4..] {
        submitter.submit(id).await;
    }
    assert_eq!(pay.pay.runs().await.len(), 6);
}

#[tokio::test]
async fn what_workers_report_is_not_counted() {
    let (pay, ..) = with(five_a_second()).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("the stream opens");
    for _ in 0..4 {
        settle(&pay.pay, &fresh()).await.expect("within the quota");
    }
    over(&pay.pay, &fresh(), run_job("settle"), "5").await;
    for _ in 0..4 {
        let assignment = worker.assignment().await;
        for _ in 0..3 {
            worker.report(log(&assignment, "a line\n")).await;
        }
        worker.report(succeeded(&assignment, "done")).await;
    }
    over(&pay.pay, &fresh(), run_job("settle"), "5").await;
}

#[tokio::test]
async fn calls_under_way_have_a_bound_for_each_app() {
    let (pay, shop, _) = with(Quota { calls_max: 2, ..Quota::default() }).await;
    let run_id = settle(&pay.pay, &fresh()).await.expect("none is under way").run_id;
    let get = || v1::GetRunRequest { run_id: run_id.clone(), ..Default::default() };
    let mut waits = Vec::new();
    for _ in 0..2 {
        let (wire, run_id) = (pay.pay.clone(), run_id.clone());
        let wait = v1::WaitRunRequest { run_id, ..Default::default() };
        waits.push(tokio::spawn(async move { wire.served("", wait).await }));
    }
    in_time(async { while pay.pay.send("", get()).await.is_ok() {} }).await;
    over(&pay.pay, "", get(), "2").await;
    over(&pay.pay, &fresh(), run_job("settle"), "2").await;
    settle(&shop, &fresh()).await.expect("its bound is its own");
    let cancel = v1::CancelRunRequest { app: "pay".to_owned(), run_id: run_id.clone(), ..Default::default() };
    pay.admin.refused(&fresh(), cancel).await.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("app", "pay");

    pay.server.running().drain().await;
    for wait in waits {
        wait.await.expect("the wait ends");
    }
    pay.pay.served("", get()).await;
}
