//! Triggers, shown.

mod json;
mod text;

use semel_proto::v1::{
    BackfillTriggerResponse, CancelBackfillResponse, FireEffect, FireReason, FireSource, FireTriggerResponse,
    GetTriggerResponse, ListTriggersResponse, PauseTriggerResponse, PreviewTriggerResponse, ResumeTriggerResponse,
    TriggerEvent,
};
use serde_json::{Value, json};

pub(super) use self::{json::spec_json, text::when};
use super::{Show, enum_name, header_json, list, page_json, span_cell, string, time_cell};
use crate::cli::out;

impl Show for GetTriggerResponse {
    fn json(&self) -> Value {
        let trigger = self.trigger.as_ref().map(json::trigger_json);
        json!({ "header": header_json(self.header.as_ref()), "trigger": trigger })
    }

    fn text(&self) -> String {
        self.trigger.as_ref().map(text::trigger).unwrap_or_default()
    }
}

impl Show for ListTriggersResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "triggers": self.triggers.iter().map(json::trigger_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
        })
    }

    fn text(&self) -> String {
        list(&text::HEAD, self.triggers.iter().map(text::row).collect())
    }
}

impl Show for PreviewTriggerResponse {
    fn json(&self) -> Value {
        let fires = self.fires.iter().map(|fire| {
            json!({
                "scheduled_time": string(fire.scheduled_time.as_ref()),
                "fire_time": string(fire.fire_time.as_ref()),
                "local_time": fire.local_time,
            })
        });
        json!({
            "header": header_json(self.header.as_ref()),
            "fires": fires.collect::<Vec<_>>(),
            "hangs_on_runs": self.hangs_on_runs,
            "zone_data_version": self.zone_data_version,
        })
    }

    fn text(&self) -> String {
        if self.hangs_on_runs {
            return "it hangs on the end of a run: nobody can say when that is".to_owned();
        }
        if self.fires.is_empty() {
            return "it does not fire any more".to_owned();
        }
        let has_jitter = self.fires.iter().any(|fire| fire.fire_time != fire.scheduled_time);
        let row = |fire: &semel_proto::v1::PreviewedFire| {
            let mut row = vec![time_cell(fire.scheduled_time.as_ref()), out::cell(&fire.local_time)];
            if has_jitter {
                row.push(time_cell(fire.fire_time.as_ref()));
            }
            row
        };
        let head: &[&str] = if has_jitter { &["SCHEDULED", "LOCAL", "FIRES"] } else { &["SCHEDULED", "LOCAL"] };
        list(head, self.fires.iter().map(row).collect())
    }
}

impl Show for FireTriggerResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "effect": fire_effect(self.effect),
            "run_id": self.run_id,
            "reason": fire_reason(self.reason),
        })
    }

    fn text(&self) -> String {
        match self.effect() {
            FireEffect::Run => out::cell(&self.run_id),
            FireEffect::Waits => "it waits for the runs of earlier fires to end".to_owned(),
            _ => format!(
                "no run was made: {}; --overlap parallel --overlap-max N makes one beside the others",
                reason_words(self.reason)
            ),
        }
    }
}

impl Show for BackfillTriggerResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()), "count": self.count })
    }

    fn text(&self) -> String {
        match self.count {
            0 => "the trigger has no times in that range: nothing to do".to_owned(),
            count => format!("{count} runs to make; `semel trigger get` shows how far it is"),
        }
    }
}

/// Answers that only say that it is done.
macro_rules! show_done {
    ($($answer:ty: $word:literal),*) => {$(
        impl Show for $answer {
            fn json(&self) -> Value {
                json!({ "header": header_json(self.header.as_ref()) })
            }

            fn text(&self) -> String {
                $word.to_owned()
            }
        }
    )*};
}
show_done!(
    PauseTriggerResponse: "paused",
    ResumeTriggerResponse: "resumed",
    CancelBackfillResponse: "no backfill is under way any more"
);

/// What became of a fire, by its name.
pub(crate) fn fire_effect(effect: i32) -> String {
    enum_name!(FireEffect, "FIRE_EFFECT_", effect)
}

/// Why a fire made no run, by its name.
pub(crate) fn fire_reason(reason: i32) -> String {
    enum_name!(FireReason, "FIRE_REASON_", reason)
}

/// Why a fire made no run, in words.
pub(crate) fn reason_words(reason: i32) -> &'static str {
    match FireReason::try_from(reason) {
        Ok(FireReason::Overlap) => "a run of an earlier fire is not finished",
        Ok(FireReason::Buffer) => "dropped from the buffer",
        Ok(FireReason::Misfire) => "missed: nobody could fire then",
        Ok(FireReason::Paused) => "missed: it was paused",
        Ok(FireReason::Quota) => "the app has as many unfinished runs as it may",
        Ok(FireReason::Replaced) => "its definition was replaced",
        _ => "",
    }
}

/// An event of a trigger, in words: what, and what else there is to say.
pub(crate) fn event_words(kind: &str, event: &TriggerEvent) -> (String, String) {
    let what = kind.strip_prefix("TRIGGER_").unwrap_or(kind).to_owned();
    let at = time_cell(event.scheduled_time.as_ref());
    let rest = match kind {
        "TRIGGER_FIRED" if event.run_id.is_empty() => format!("for {at}, waits for the runs of earlier fires"),
        "TRIGGER_FIRED" if event.source() == FireSource::Schedule => format!("for {at}, late by {}", late(event)),
        "TRIGGER_FIRED" => format!("for {at}, {}", json::source(event.source).to_lowercase()),
        "TRIGGER_SKIPPED" if event.count == 1 => format!("{at}: {}", reason_words(event.reason)),
        "TRIGGER_SKIPPED" => {
            let first = time_cell(event.first_time.as_ref());
            format!("{} times from {first} to {at}: {}", event.count, reason_words(event.reason))
        }
        "TRIGGER_BACKFILL_STARTED" => format!("{} runs to make", event.count),
        "TRIGGER_BACKFILL_ENDED" if event.by_itself => "all done".to_owned(),
        "TRIGGER_BACKFILL_ENDED" => "cancelled".to_owned(),
        _ => out::cell(&event.note),
    };
    (what, rest)
}

fn late(event: &TriggerEvent) -> String {
    let text = span_cell(event.late.as_ref());
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// An event of a trigger, for programs.
pub(super) fn event_json(event: &TriggerEvent) -> Value {
    json!({
        "job": event.job,
        "trigger": event.trigger,
        "scheduled_time": string(event.scheduled_time.as_ref()),
        "first_time": string(event.first_time.as_ref()),
        "count": event.count,
        "effect": fire_effect(event.effect),
        "reason": fire_reason(event.reason),
        "run_id": event.run_id,
        "source": json::source(event.source),
        "late": string(event.late.as_ref()),
        "note": event.note,
        "by_itself": event.by_itself,
        "labels": event.labels,
    })
}
