//! When a trigger would fire, and what is wrong with one.

use semel_client::v1::{CronTimes, PreviewTriggerRequest};
use tonic::Code;

use super::*;
use crate::e2e::{
    harness::TestServer,
    wire::{PayByWire, fresh},
};

fn cron(expression: &str, zone: &str) -> v1::TriggerSpec {
    let when = Some(When::Cron(CronTimes { expression: expression.to_owned() }));
    v1::TriggerSpec { when, zone: zone.to_owned(), ..Default::default() }
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

#[tokio::test]
async fn a_trigger_that_is_only_thought_of_is_looked_ahead_on() {
    let pay = PayByClient::start().await;
    let request = PreviewTriggerRequest {
        spec: Some(cron("30 2 * * *", "Europe/Berlin")),
        // 2026-03-27T00:00:00Z; the clocks are put forward on the 29th.
        from_time: at(1_774_569_600),
        count: 4,
        ..Default::default()
    };
    let answer = pay.client.preview_trigger(request).await.expect("it is looked ahead on");
    let local: Vec<&str> = answer.fires.iter().map(|fire| fire.local_time.as_str()).collect();
    let expected = [
        "2026-03-27T02:30:00+01:00",
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ];
    assert_eq!(local, expected);
    assert!(!answer.zone_data_version.is_empty() && !answer.hangs_on_runs);
}

#[tokio::test]
async fn a_trigger_that_is_there_is_looked_ahead_on_with_its_jitter() {
    let (pay, _clock) = triggered(v1::TriggerSpec { jitter: seconds(5), ..every(10) }).await;
    let (job, name) = named();
    let request = PreviewTriggerRequest { job, trigger: name, count: 3, ..Default::default() };
    let fires = pay.client.preview_trigger(request).await.expect("it is looked ahead on").fires;
    let shown = trigger(&pay).await;
    let ahead: Vec<_> = fires.iter().filter_map(|fire| fire.fire_time).collect();
    assert_eq!(ahead, shown.next_fire_times[..3]);
}

#[tokio::test]
async fn what_is_wrong_with_triggers_is_told_all_at_once() {
    let pay = PayByWire::on(TestServer::start().await).await;
    let bad = v1::TriggerSpec {
        misfire: 77,
        max_fires: -1,
        overlap: overlap(v1::OverlapRule::Parallel, 0),
        exclude: vec![v1::Exclusion::default()],
        ..cron("61 * * * *", "Europe/Berlin")
    };
    let unknown = cron("* * 31 2 *", "Europe/Atlantis");
    let triggers = [("bad".to_owned(), bad), ("unknown".to_owned(), unknown)].into();
    let spec = Some(v1::JobSpec { triggers, ..spec("p") });
    let request = v1::CreateJobRequest { job: "a".to_owned(), spec, ..Default::default() };
    let refused = pay.pay.refused(&fresh(), request).await;
    refused.expect(Code::InvalidArgument, "INVALID");
    let fields: Vec<&str> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    for expected in [
        "spec.triggers[\"bad\"].exclude[0]",
        "spec.triggers[\"bad\"].max_fires",
        "spec.triggers[\"bad\"].misfire",
        "spec.triggers[\"bad\"].overlap.max",
        "spec.triggers[\"unknown\"].when.cron.expression",
        "spec.triggers[\"unknown\"].zone",
    ] {
        assert!(fields.contains(&expected), "{expected} is not among {fields:?}");
    }
}

#[tokio::test]
async fn a_job_that_would_follow_itself_is_refused() {
    let pay = PayByWire::start().await;
    let after = v1::AfterJob { job: "a".to_owned(), states: Vec::new() };
    let follows = v1::TriggerSpec { when: Some(When::After(after)), ..Default::default() };
    let spec = Some(v1::JobSpec { triggers: [("t".to_owned(), follows)].into(), ..spec("p") });
    let request = v1::CreateJobRequest { job: "a".to_owned(), spec, ..Default::default() };
    pay.pay.refused(&fresh(), request).await.expect(Code::FailedPrecondition, "TRIGGER_CYCLE");
}

#[tokio::test]
async fn a_definition_comes_back_as_it_went_in() {
    let pay = PayByClient::start().await;
    let given = v1::TriggerSpec { labels: [("a".to_owned(), "b".to_owned())].into(), ..cron("@daily", "Asia/Tokyo") };
    let made = job(&pay.client, "settle", with_trigger(given.clone())).await;
    let shown = made.spec.expect("a definition").triggers["t"].clone();
    assert_eq!((shown.when.clone(), shown.zone.clone(), shown.labels.clone()), (given.when, given.zone, given.labels));
    let again = job(&pay.client, "other", with_trigger(shown.clone())).await;
    assert_eq!(again.spec.expect("a definition").triggers["t"], shown, "what is shown says the same again");
}
