//! Lists over pages and by state, and who may see and do what.

use semel_client::v1::{AuthStatus, ListTriggersRequest, PageRequest, TriggerState};
use tonic::Code;

use super::*;
use crate::e2e::wire::{PayByWire, fresh};

#[tokio::test]
async fn triggers_are_listed_by_job_and_name_over_pages() {
    let (pay, _clock) = PayByClient::with_manual_clock(|_| {}).await;
    for name in ["a", "b", "c"] {
        let triggers = ["x", "y"].map(|trigger| (trigger.to_owned(), every(60))).into();
        job(&pay.client, name, v1::JobSpec { triggers, ..spec("p") }).await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = Some(PageRequest { page_size: 4, page_token });
        let list = pay.client.list_triggers(ListTriggersRequest { page, ..Default::default() }).await.expect("a list");
        seen.extend(list.triggers.iter().map(|trigger| format!("{}/{}", trigger.job, trigger.name)));
        page_token = list.page.expect("a page").next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["a/x", "a/y", "b/x", "b/y", "c/x", "c/y"]);
    let request = v1::PauseTriggerRequest { job: "b".to_owned(), trigger: "y".to_owned(), ..Default::default() };
    pay.client.pause_trigger(request).await.expect("it is paused");
    let of = async |job: &str, states: Vec<i32>| {
        let request = ListTriggersRequest { job: job.to_owned(), states, ..Default::default() };
        pay.client.list_triggers(request).await.expect("a list").triggers.len()
    };
    assert_eq!(of("b", Vec::new()).await, 2);
    assert_eq!(of("", vec![TriggerState::Paused.into()]).await, 1);
    assert_eq!(of("b", vec![TriggerState::Active.into()]).await, 1);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_of_others_is_refused() {
    let pay = PayByWire::start().await;
    let get = |app: &str| v1::GetTriggerRequest {
        app: app.to_owned(),
        job: "settle".to_owned(),
        trigger: "t".to_owned(),
        ..Default::default()
    };
    pay.pay.refused(&fresh(), get("")).await.expect(Code::NotFound, "NOT_FOUND");
    let of_others = pay.pay.refused(&fresh(), get("shop")).await;
    of_others.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    let fire = v1::FireTriggerRequest { job: "settle".to_owned(), trigger: "t".to_owned(), ..Default::default() };
    pay.pay.refused(&fresh(), fire).await.expect(Code::NotFound, "NOT_FOUND");
}
