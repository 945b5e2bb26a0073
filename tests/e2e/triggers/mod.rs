//! Triggers end to end, by a clock that only the test moves: jobs that start by themselves, and what becomes of the times
//! that come to nothing.

mod crash;
mod outage;
mod overlap;
mod preview;
mod rights;
mod told;

use semel_client::v1::{self, trigger_spec::When};
use semel_core::id::Millis;
use semel_server::clock::ManualClock;

use super::{
    crew::PayByClient,
    harness::{job, spec},
    wire::seconds,
};

/// A trigger that fires each so many seconds.
fn every(secs: i64) -> v1::TriggerSpec {
    let rate = v1::FixedRate { period: seconds(secs) };
    v1::TriggerSpec { when: Some(When::Rate(rate)), ..Default::default() }
}

fn with_trigger(trigger: v1::TriggerSpec) -> v1::JobSpec {
    v1::JobSpec { triggers: [("t".to_owned(), trigger)].into(), ..spec("p") }
}

fn overlap(rule: v1::OverlapRule, max: i32) -> Option<v1::Overlap> {
    Some(v1::Overlap { rule: rule.into(), max })
}

/// A server with the job `settle`, which has the trigger `t`.
async fn triggered(trigger: v1::TriggerSpec) -> (PayByClient, ManualClock) {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", with_trigger(trigger)).await;
    (pay, clock)
}

/// Time passes, and the server sees it.
async fn pass(pay: &PayByClient, clock: &ManualClock, millis: i64) {
    clock.advance(Millis(millis));
    pay.tick().await;
}

async fn trigger(pay: &PayByClient) -> v1::Trigger {
    let request = v1::GetTriggerRequest { job: "settle".to_owned(), trigger: "t".to_owned(), ..Default::default() };
    pay.client.get_trigger(request).await.expect("it is there").trigger.expect("a trigger")
}

async fn counters(pay: &PayByClient) -> v1::TriggerCounters {
    trigger(pay).await.counters.expect("counters")
}

/// The runs that there are, the oldest first.
async fn runs(pay: &PayByClient) -> Vec<v1::Run> {
    let request = v1::ListRunsRequest {
        page: Some(v1::PageRequest { page_size: 1000, ..Default::default() }),
        ..Default::default()
    };
    let mut runs = pay.client.list_runs(request).await.expect("a list").runs;
    runs.reverse();
    runs
}

/// For which times there are runs, in seconds after the making of the trigger.
async fn scheduled(pay: &PayByClient) -> Vec<i64> {
    let made = trigger(pay).await.create_time.expect("a time");
    let after = |at: prost_types::Timestamp| {
        ((at.seconds - made.seconds) * 1000 + i64::from(at.nanos - made.nanos) / 1_000_000) / 1000
    };
    runs(pay).await.iter().filter_map(|run| run.scheduled_time).map(after).collect()
}

fn named() -> (String, String) {
    ("settle".to_owned(), "t".to_owned())
}

async fn pause(pay: &PayByClient) {
    let (job, trigger) = named();
    let request = v1::PauseTriggerRequest { job, trigger, note: "why".to_owned(), ..Default::default() };
    pay.client.pause_trigger(request).await.expect("it is paused");
}

async fn resume(pay: &PayByClient) {
    let (job, trigger) = named();
    let request = v1::ResumeTriggerRequest { job, trigger, ..Default::default() };
    pay.client.resume_trigger(request).await.expect("it is resumed");
}

async fn fire(pay: &PayByClient, overlap: Option<v1::Overlap>) -> v1::FireTriggerResponse {
    let (job, trigger) = named();
    let request = v1::FireTriggerRequest { job, trigger, overlap, ..Default::default() };
    pay.client.fire_trigger(request).await.expect("it is served")
}
