//! What became of a trigger or of its times, for those who watch.

use semel_core::event::Event;
use semel_proto::v1;

use super::{reason, source};
use crate::transport::convert::{header::count, time};

/// What is told of an event about a trigger, but for its names and labels.
pub(crate) fn event(event: &Event) -> (v1::EventKind, v1::TriggerEvent) {
    let none = v1::TriggerEvent::default();
    match event {
        Event::TriggerFired { source: by, scheduled_time, late, run_id, .. } => {
            let effect = if run_id.is_some() { v1::FireEffect::Run } else { v1::FireEffect::Waits };
            let fired = v1::TriggerEvent {
                scheduled_time: Some(time::timestamp(*scheduled_time)),
                count: 1,
                effect: effect.into(),
                run_id: run_id.map(|id| id.to_string()).unwrap_or_default(),
                source: source(*by).into(),
                late: Some(time::duration(*late)),
                ..none
            };
            (v1::EventKind::TriggerFired, fired)
        }
        Event::TriggerSkipped { source: by, reason: why, count: many, from, to, .. } => {
            let skipped = v1::TriggerEvent {
                scheduled_time: Some(time::timestamp(*to)),
                first_time: Some(time::timestamp(*from)),
                count: count(*many),
                effect: v1::FireEffect::None.into(),
                reason: reason(*why).into(),
                source: source(*by).into(),
                ..none
            };
            (v1::EventKind::TriggerSkipped, skipped)
        }
        Event::TriggerPaused { note, by_itself, .. } => {
            (v1::EventKind::TriggerPaused, v1::TriggerEvent { note: note.clone(), by_itself: *by_itself, ..none })
        }
        Event::BackfillStarted { backfill, .. } => {
            let started = v1::TriggerEvent {
                first_time: Some(time::timestamp(backfill.from)),
                scheduled_time: Some(time::timestamp(backfill.to)),
                count: count(backfill.count),
                source: v1::FireSource::Backfill.into(),
                ..none
            };
            (v1::EventKind::TriggerBackfillStarted, started)
        }
        Event::BackfillEnded { done, .. } => {
            let source = v1::FireSource::Backfill.into();
            (v1::EventKind::TriggerBackfillEnded, v1::TriggerEvent { by_itself: *done, source, ..none })
        }
        _ => (v1::EventKind::TriggerResumed, none),
    }
}
