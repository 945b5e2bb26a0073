//! What those who watch are told of triggers.

use semel_client::v1::{Event, EventKind, FireReason, FireSource, event::Subject};

use super::*;
use crate::e2e::raw_watcher::RawWatcher;

fn of(event: &Event) -> &v1::TriggerEvent {
    match &event.subject {
        Some(Subject::Trigger(trigger)) => trigger,
        other => panic!("not of a trigger: {other:?}"),
    }
}

#[tokio::test]
async fn a_fire_and_its_run_are_told_together_and_what_came_to_nothing_with_its_reason() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    let labels = [("team".to_owned(), "blue".to_owned())];
    let definition = v1::JobSpec { labels: labels.clone().into(), ..with_trigger(every(10)) };
    job(&pay.client, "settle", definition).await;
    let request = v1::WatchRequest { labels: labels.into(), ..Default::default() };
    let mut watcher = RawWatcher::open(&pay.wire().await, request).await.expect("it opens");
    pass(&pay, &clock, 10_000).await;
    pass(&pay, &clock, 10_000).await;
    pause(&pay).await;
    resume(&pay).await;
    let events = watcher.events(5).await;
    let kinds: Vec<EventKind> = events.iter().map(Event::kind).collect();
    let expected = [
        EventKind::TriggerFired,
        EventKind::RunCreated,
        EventKind::TriggerSkipped,
        EventKind::TriggerPaused,
        EventKind::TriggerResumed,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(events[0].revision, events[1].revision, "a fire and its run are one");
    let Some(Subject::Run(run)) = &events[1].subject else { panic!("of a run: {:?}", events[1]) };
    let fired = of(&events[0]);
    assert_eq!((&fired.run_id, fired.scheduled_time), (&run.run_id, run.scheduled_time));
    assert_eq!((run.trigger.as_str(), fired.source()), ("t", FireSource::Schedule));
    let skipped = of(&events[2]);
    assert_eq!((skipped.reason(), skipped.count, skipped.job.as_str()), (FireReason::Overlap, 1, "settle"));
    assert_eq!((of(&events[3]).note.as_str(), of(&events[3]).by_itself), ("why", false));
    assert!(events.iter().all(|event| event.app == "pay"));
}
