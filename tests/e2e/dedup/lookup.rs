//! D10: what became of a request.

use prost::Message as _;
use semel_client::v1::{self, RequestState};
use tonic::Code;

use super::{WINDOW, still};
use crate::e2e::{
    harness::run_job,
    valve::{Valve, Which},
    wire::{PayByWire, fresh, id_at, settle, wall},
};

fn state(answer: &v1::GetRequestResponse) -> RequestState {
    answer.request.as_ref().expect("a record").state()
}

#[tokio::test]
async fn d10_a_request_is_unknown_then_under_way_then_done() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let id = fresh();
    let unknown = pay.pay.look_up(&id).await;
    assert_eq!((state(&unknown), unknown.response), (RequestState::Unknown, None));

    valve.shut(Which::Requests);
    let (wire, under_way) = (pay.pay.clone(), id.clone());
    let call = tokio::spawn(async move { settle(&wire, &under_way).await });
    valve.holds().await;
    let found = pay.pay.look_up(&id).await;
    assert_eq!((state(&found), found.response), (RequestState::UnderWay, None));

    valve.open();
    let answer = call.await.expect("no panic").expect("it is served");
    let done = pay.pay.look_up(&id).await;
    assert_eq!(state(&done), RequestState::Done);
    let record = done.request.expect("a record");
    assert_eq!((record.method.as_str(), record.principal.as_str()), ("semel.v1.JobService/RunJob", "app:pay"));
    let header = answer.header.as_ref().expect("a header");
    assert_eq!((record.execute_time, record.revision), (header.execute_time, header.revision));
    assert_eq!((record.safe_retry_until, record.arrivals), (header.safe_retry_until, 1));
    let response = done.response.expect("the answer is shown");
    assert_eq!(response.type_url, semel_proto::type_url("semel.v1.RunJobResponse"));
    let shown = v1::RunJobResponse::decode(response.value.as_slice()).expect("it is one");
    assert_eq!((shown.run_id, shown.state), (answer.run_id, answer.state));
}

#[tokio::test]
async fn d10_what_is_older_than_the_window_is_expired() {
    let (pay, clock) = still().await;
    let now = wall(&clock);
    let expired = pay.pay.look_up(&id_at(now - WINDOW.0 - 1)).await;
    assert_eq!((state(&expired), expired.response), (RequestState::Expired, None));
    assert_eq!(state(&pay.pay.look_up(&id_at(now - WINDOW.0)).await), RequestState::Unknown);
    let id = id_at(now);
    settle(&pay.pay, &id).await.expect("a run");
    super::pass(&pay, &clock, semel_core::id::Millis(WINDOW.0 + 20_000)).await;
    assert_eq!(state(&pay.pay.look_up(&id).await), RequestState::Expired);
}

#[tokio::test]
async fn d10_the_answer_is_shown_only_to_whoever_got_it() {
    let pay = PayByWire::start().await;
    let id = fresh();
    settle(&pay.pay, &id).await.expect("a run");
    let by_admin = pay.admin.look_up(&id).await;
    assert_eq!((state(&by_admin), by_admin.response), (RequestState::Done, None));
    assert!(pay.pay.look_up(&id).await.response.is_some());

    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let shop = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let request = v1::GetRequestRequest { target_request_id: id.clone(), ..Default::default() };
    assert_eq!(state(&shop.served("", request.clone()).await), RequestState::Unknown, "in its own app there is none");
    let foreign = v1::GetRequestRequest { app: "pay".to_owned(), ..request };
    let refused = shop.refused("", foreign).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", v1::AuthStatus::Forbidden);
}

#[tokio::test]
async fn d10_a_look_up_shows_no_secret() {
    let pay = PayByWire::start().await;
    let id = fresh();
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let secret = pay.admin.served(&id, create).await.secret;
    let request = v1::GetRequestRequest { app: "system".to_owned(), target_request_id: id, ..Default::default() };
    let found = pay.admin.served("", request).await;
    assert_eq!((state(&found), &found.response), (RequestState::Done, &None));
    assert!(!format!("{found:?}").contains(&secret));
    let list = v1::ListRequestsRequest { app: "system".to_owned(), ..Default::default() };
    let listed = pay.admin.served("", list).await;
    assert!(!listed.requests.is_empty() && !format!("{listed:?}").contains(&secret));
}

#[tokio::test]
async fn d10_a_target_that_is_no_id_is_refused() {
    let pay = PayByWire::start().await;
    let request = v1::GetRequestRequest { target_request_id: "x".to_owned(), ..Default::default() };
    let refused = pay.pay.refused("", request).await;
    assert_eq!(refused.expect(Code::InvalidArgument, "INVALID").violations[0].0, "target_request_id");
    // A look-up may bear an id itself, and that one must be good; it is not remembered.
    pay.pay.refused("x", run_job("settle")).await.expect(Code::InvalidArgument, "REQUEST_ID_MALFORMED");
    let id = fresh();
    let request = v1::GetRequestRequest { target_request_id: id.clone(), ..Default::default() };
    assert_eq!(state(&pay.pay.served(&id, request).await), RequestState::Unknown);
}
