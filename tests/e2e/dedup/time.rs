//! D6 and D11: how far back ids are remembered, and how many.

use semel_client::v1::{self, Disposition};
use semel_core::id::{Millis, Timestamp};
use tonic::Code;

use super::{HOUR, WINDOW, pass, still};
use crate::e2e::{
    harness::{TestServer, run_job},
    raw_worker::{RawWorker, hello, succeeded},
    wire::{PayByWire, arrival, fresh, id_at, millis, settle, wall},
};

#[tokio::test]
async fn d6_an_id_older_than_the_window_is_never_executed() {
    let (pay, clock) = still().await;
    let start = wall(&clock);
    let (old, kept, used) = (id_at(start - WINDOW.0 - 1), id_at(start - WINDOW.0), id_at(start));
    let refused = pay.pay.refused(&old, run_job("settle")).await;
    refused.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED").says("window_ms", &WINDOW.0.to_string());
    assert_eq!(millis(refused.header.server_time.as_ref()), start);
    settle(&pay.pay, &kept).await.expect("the oldest that is taken");
    let first = settle(&pay.pay, &used).await.expect("a run");
    assert_eq!(millis(first.header.as_ref().and_then(|header| header.safe_retry_until.as_ref())), start + WINDOW.0);

    // What took effect is replayed until the very end of the window, and then refused: not executed again.
    pass(&pay, &clock, WINDOW).await;
    let last = settle(&pay.pay, &used).await.expect("the last moment");
    assert_eq!(arrival(last.header.as_ref()), (Disposition::Replayed, 2));
    pass(&pay, &clock, Millis(1)).await;
    for _ in 0..3 {
        pay.pay.refused(&used, run_job("settle")).await.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED");
        pass(&pay, &clock, HOUR).await;
    }
    assert_eq!(pay.pay.runs().await.len(), 2);
}

#[tokio::test]
async fn d6_an_id_from_the_future_is_taken_five_minutes_ahead_and_no_further() {
    let (pay, clock) = still().await;
    let ahead = 5 * 60 * 1000;
    let (near, far) = (id_at(wall(&clock) + ahead), id_at(wall(&clock) + ahead + 1));
    let refused = pay.pay.refused(&far, run_job("settle")).await;
    refused.expect(Code::InvalidArgument, "REQUEST_ID_IN_FUTURE");
    assert_eq!(millis(refused.header.server_time.as_ref()), wall(&clock), "to correct the clock by");
    let first = settle(&pay.pay, &near).await.expect("a skewed clock is no fault");
    pass(&pay, &clock, Millis(1)).await;
    let later = settle(&pay.pay, &far).await.expect("its time has come");
    assert_eq!(arrival(later.header.as_ref()), (Disposition::Executed, 1));
    // An id from ahead is remembered longer: until it is as old as the window.
    pass(&pay, &clock, WINDOW).await;
    let again = settle(&pay.pay, &near).await.expect("still remembered");
    assert_eq!((again.run_id, pay.pay.runs().await.len()), (first.run_id, 2));
}

#[tokio::test]
async fn d6_a_restart_with_a_clock_set_back_opens_no_hole() {
    let (mut pay, clock) = still().await;
    let start = wall(&clock);
    let (forgotten, kept) = (id_at(start), id_at(start + HOUR.0));
    settle(&pay.pay, &forgotten).await.expect("a run");
    pass(&pay, &clock, HOUR).await;
    settle(&pay.pay, &kept).await.expect("another");
    pass(&pay, &clock, Millis(WINDOW.0 - HOUR.0 / 2)).await;
    let refused = pay.pay.refused(&forgotten, run_job("settle")).await;
    refused.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED");
    let seen = millis(refused.header.server_time.as_ref());

    clock.set_wall(Timestamp(seen - HOUR.0));
    pay.restart().await;
    let refused = pay.pay.refused(&forgotten, run_job("settle")).await;
    refused.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED");
    assert!(millis(refused.header.server_time.as_ref()) >= seen, "the server's clock does not run backwards");
    let again = settle(&pay.pay, &kept).await.expect("it is remembered");
    assert_eq!(again.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Replayed));
    let new = settle(&pay.pay, &id_at(seen)).await.expect("new ids are taken by the server's clock");
    assert!(millis(new.create_time.as_ref()) >= seen);
    assert_eq!(pay.pay.runs().await.len(), 3);
}

#[tokio::test]
async fn d6_a_clock_set_back_while_the_server_runs_does_not_turn_it_back_either() {
    let (pay, clock) = still().await;
    let start = wall(&clock);
    let id = id_at(start);
    settle(&pay.pay, &id).await.expect("a run");
    pass(&pay, &clock, Millis(WINDOW.0 + 1)).await;
    clock.set_wall(Timestamp(start));
    pay.pay.refused(&id, run_job("settle")).await.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED");
    let info = pay.pay.served("", v1::GetServerInfoRequest::default()).await;
    let header = info.header.expect("a header");
    assert!(millis(header.server_time.as_ref()) > start + WINDOW.0);
    let window = info.dedup_window.expect("the window is said");
    assert_eq!(window.length.map(|length| length.seconds * 1000), Some(WINDOW.0));
}

#[tokio::test]
async fn d11_past_its_bound_the_window_takes_nothing_new_and_forgets_nothing_early() {
    let (server, clock) = TestServer::with_manual_clock(|settings| {
        settings.engine.window.records_per_app_max = 4;
    })
    .await;
    let pay = PayByWire::on(server).await;
    // The job is the first record.
    let ids: Vec<String> = (0..3).map(|_| fresh()).collect();
    for id in &ids {
        settle(&pay.pay, id).await.expect("within the bound");
    }
    let over = fresh();
    let refused = pay.pay.refused(&over, run_job("settle")).await;
    refused.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED").says("limit", "4").says_when();
    for id in &ids {
        let again = settle(&pay.pay, id).await.expect("what is remembered is replayed");
        assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 2));
    }
    assert_eq!(pay.pay.runs().await.len(), ids.len());
    let other = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    pay.admin.served(&fresh(), other).await;

    // Ends by itself: once the ids are older than the window, there is room again.
    pass(&pay, &clock, Millis(WINDOW.0 + 60_000)).await;
    let answer = settle(&pay.pay, &id_at(wall(&clock))).await.expect("there is room again");
    assert_eq!(arrival(answer.header.as_ref()), (Disposition::Executed, 1));
    pay.pay.refused(&ids[0], run_job("settle")).await.expect(Code::FailedPrecondition, "REQUEST_ID_EXPIRED");
}

#[tokio::test]
async fn d11_workers_can_end_runs_when_their_app_has_reached_its_bound() {
    let server = TestServer::with(|settings| settings.engine.window.records_per_app_max = 2).await;
    let pay = PayByWire::on(server).await;
    settle(&pay.pay, &fresh()).await.expect("within the bound");
    pay.pay.refused(&fresh(), run_job("settle")).await.expect(Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    worker.report(succeeded(&assignment, "")).await;
    assert_eq!(pay.pay.runs().await[0].state(), v1::RunState::Succeeded);
}
