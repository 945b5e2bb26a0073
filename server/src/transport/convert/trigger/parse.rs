//! What a trigger says, from the wire: form and bounds here, sense by the schedule; all faults at once.

use std::collections::BTreeMap;

use semel_core::{
    id::{JobName, Millis, TriggerName},
    limits,
    run::{Outcome, Phase},
    schedule::{self, Date, Exclusion, Fold, Gap, Misfire, Overlap, TimeOfDay, TriggerSpec, Triggers, Weekdays, When},
};
use semel_proto::v1::{self, exclusion, trigger_spec};

use crate::transport::convert::{fields::Fields, run, time};

/// The triggers of a job.
pub(crate) fn parse_triggers(fields: &mut Fields, triggers: &BTreeMap<String, v1::TriggerSpec>) -> Triggers {
    if triggers.len() > limits::TRIGGERS_MAX {
        fields.note("spec.triggers", format!("must be at most {}", limits::TRIGGERS_MAX));
        return Triggers::new();
    }
    let mut parsed = Triggers::new();
    for (name, spec) in triggers {
        let field = format!("spec.triggers[{name:.64?}]");
        let name =
            fields.take(&field, TriggerName::parse(name).map_err(|problem| format!("has a name that {problem}")));
        let spec = parse_spec(fields, &field, spec);
        parsed.extend(name.zip(spec));
    }
    parsed
}

/// What one trigger says; `field` is where it stands.
pub(crate) fn parse_spec(fields: &mut Fields, field: &str, spec: &v1::TriggerSpec) -> Option<TriggerSpec> {
    let of = |name: &str| format!("{field}.{name}");
    let when = match &spec.when {
        Some(when) => parse_when(fields, &of("when"), when),
        None => {
            fields.note(&of("when"), "must be given");
            None
        }
    };
    let before = fields.count();
    let exclude = parse_exclusions(fields, &of("exclude"), &spec.exclude);
    let parsed = TriggerSpec {
        when: when?,
        zone: if spec.zone.is_empty() { "UTC".to_owned() } else { spec.zone.clone() },
        gap: parse_gap(fields, &of("gap"), spec.gap),
        fold: parse_fold(fields, &of("fold"), spec.fold),
        exclude,
        start_time: fields.time(&of("start_time"), spec.start_time.as_ref()),
        end_time: fields.time(&of("end_time"), spec.end_time.as_ref()),
        max_fires: parse_max_fires(fields, &of("max_fires"), spec.max_fires),
        jitter: optional_span(fields, &of("jitter"), spec.jitter.as_ref()).unwrap_or_default(),
        overlap: parse_overlap(fields, &of("overlap"), spec.overlap.as_ref()),
        misfire: parse_misfire(fields, &of("misfire"), spec.misfire),
        catch_up: optional_span(fields, &of("catch_up"), spec.catch_up.as_ref()).unwrap_or(limits::CATCH_UP_DEFAULT),
        pause_after_failures: fields
            .bounded(&of("pause_after_failures"), spec.pause_after_failures, 0, limits::PAUSE_AFTER_MAX.cast_signed())
            .and_then(|max| u32::try_from(max).ok())
            .filter(|max| *max > 0),
        payload: fields.payload(&of("payload"), spec.payload.as_ref()),
        labels: fields.labels(&of("labels"), &spec.labels),
    };
    // What is not of the right form would only be found fault with twice.
    if fields.count() == before {
        for problem in schedule::validate(&parsed) {
            fields.note(&of(&problem.field), problem.problem);
        }
    }
    Some(parsed)
}

fn parse_when(fields: &mut Fields, field: &str, when: &trigger_spec::When) -> Option<When> {
    match when {
        trigger_spec::When::Cron(cron) => Some(When::Cron { expression: cron.expression.clone() }),
        trigger_spec::When::Rate(rate) => required_span(fields, &format!("{field}.rate.period"), rate.period.as_ref())
            .map(|period| When::Rate { period }),
        trigger_spec::When::Delay(delay) => {
            required_span(fields, &format!("{field}.delay.delay"), delay.delay.as_ref())
                .map(|delay| When::Delay { delay })
        }
        trigger_spec::When::Daily(daily) => {
            let field = format!("{field}.daily");
            let from = fields.take(&format!("{field}.from"), parse_time_of_day(&daily.from));
            let to = fields.take(&format!("{field}.to"), parse_time_of_day(&daily.to));
            let every = required_span(fields, &format!("{field}.every"), daily.every.as_ref());
            let days = match daily.days.as_slice() {
                [] => Some(Weekdays::ALL),
                days => fields.take(&format!("{field}.days"), parse_days_of_week(days)),
            };
            Some(When::Daily { from: from?, to: to?, every: every?, days: days? })
        }
        trigger_spec::When::Times(list) => {
            let field = format!("{field}.times.times");
            let times =
                list.times.iter().map(|at| time::parse_timestamp(at).ok_or("has a time that cannot be".to_owned()));
            fields.take(&field, times.collect()).map(|times| When::Times { times })
        }
        trigger_spec::When::After(after) => {
            let job = fields.take(&format!("{field}.after.job"), JobName::parse(&after.job));
            let outcomes = fields.take(&format!("{field}.after.states"), parse_outcomes(&after.states));
            Some(When::After { job: job?, outcomes: outcomes? })
        }
    }
}

fn required_span(fields: &mut Fields, field: &str, span: Option<&prost_types::Duration>) -> Option<Millis> {
    if span.is_none() {
        fields.note(field, "must be given");
    }
    optional_span(fields, field, span)
}

fn optional_span(fields: &mut Fields, field: &str, span: Option<&prost_types::Duration>) -> Option<Millis> {
    let parsed = time::parse_duration(span?);
    if parsed.is_none() {
        fields.note(field, "must be a span that is not negative");
    }
    parsed
}

fn parse_outcomes(states: &[i32]) -> Result<Vec<Outcome>, String> {
    if states.is_empty() {
        return Ok(vec![Outcome::Succeeded]);
    }
    let mut outcomes: Vec<Outcome> = states
        .iter()
        .map(|state| match run::parse_phase(*state) {
            Some(Phase::Succeeded) => Ok(Outcome::Succeeded),
            Some(Phase::Failed) => Ok(Outcome::Failed),
            Some(Phase::Cancelled) => Ok(Outcome::Cancelled),
            Some(Phase::Expired) => Ok(Outcome::Expired),
            _ => Err("must be states in which a run ends: SUCCEEDED, FAILED, CANCELLED, EXPIRED".to_owned()),
        })
        .collect::<Result<_, _>>()?;
    outcomes.sort_by_key(|outcome| Phase::from(*outcome));
    outcomes.dedup();
    Ok(outcomes)
}

fn parse_exclusions(fields: &mut Fields, field: &str, exclude: &[v1::Exclusion]) -> Vec<Exclusion> {
    let parsed = exclude.iter().enumerate().filter_map(|(index, exclusion)| {
        let field = format!("{field}[{index}]");
        fields.take(
            &field,
            exclusion.kind.as_ref().ok_or("must say what is left out".to_owned()).and_then(parse_exclusion),
        )
    });
    parsed.collect()
}

fn parse_exclusion(kind: &exclusion::Kind) -> Result<Exclusion, String> {
    Ok(match kind {
        exclusion::Kind::Dates(days) => {
            Exclusion::Dates { dates: days.dates.iter().map(|day| parse_date(day)).collect::<Result<_, _>>()? }
        }
        exclusion::Kind::Yearly(days) => {
            Exclusion::Yearly { days: days.dates.iter().map(|day| parse_month_day(day)).collect::<Result<_, _>>()? }
        }
        exclusion::Kind::Weekdays(days) => Exclusion::Weekdays { days: parse_days_of_week(&days.days)? },
        exclusion::Kind::Days(days) => Exclusion::Days { from: parse_date(&days.from)?, to: parse_date(&days.to)? },
        exclusion::Kind::Range(range) => {
            let moment = |at: Option<&prost_types::Timestamp>| {
                at.and_then(time::parse_timestamp).ok_or("must have a start and an end that can be".to_owned())
            };
            Exclusion::Range { from: moment(range.start_time.as_ref())?, to: moment(range.end_time.as_ref())? }
        }
        exclusion::Kind::Hours(hours) => {
            Exclusion::Hours { from: parse_time_of_day(&hours.from)?, to: parse_time_of_day(&hours.to)? }
        }
    })
}

fn parse_date(text: &str) -> Result<Date, String> {
    let bad = || format!("{text:.20?} is no date: write it as 2026-12-24");
    let (year, rest) = text.split_once('-').ok_or_else(bad)?;
    let (month, day) = parse_month_day(rest).map_err(|_| bad())?;
    let year = (year.len() == 4).then(|| year.parse().ok()).flatten().ok_or_else(bad)?;
    Ok(Date { year, month, day })
}

fn parse_month_day(text: &str) -> Result<(u8, u8), String> {
    let bad = || format!("{text:.20?} is no day of the year: write it as 12-24");
    let (month, day) = text.split_once('-').ok_or_else(bad)?;
    Ok((two_digits(month).ok_or_else(bad)?, two_digits(day).ok_or_else(bad)?))
}

fn parse_time_of_day(text: &str) -> Result<TimeOfDay, String> {
    let bad = || format!("{text:.20?} is no time of the day: write it as 08:30 or 08:30:15");
    let parts: Vec<u32> =
        text.split(':').map(|part| two_digits(part).map(u32::from)).collect::<Option<_>>().ok_or_else(bad)?;
    match parts[..] {
        [hour, minute] if hour < 24 && minute < 60 => Ok(TimeOfDay(hour * 3600 + minute * 60)),
        [hour, minute, second] if hour < 24 && minute < 60 && second < 60 => {
            Ok(TimeOfDay(hour * 3600 + minute * 60 + second))
        }
        _ => Err(bad()),
    }
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn parse_days_of_week(days: &[i32]) -> Result<Weekdays, String> {
    let mut set = 0;
    for day in days {
        if !(1..=7).contains(day) {
            return Err("must be days of the week".to_owned());
        }
        set |= 1 << (day - 1);
    }
    if set == 0 { Err("must have at least one day".to_owned()) } else { Ok(Weekdays(set)) }
}

fn parse_max_fires(fields: &mut Fields, field: &str, max: i64) -> Option<u64> {
    if max < 0 {
        fields.note(field, "must not be negative");
    }
    u64::try_from(max).ok().filter(|max| *max > 0)
}

/// An overlap rule; absent means to skip.
pub(crate) fn parse_overlap(fields: &mut Fields, field: &str, overlap: Option<&v1::Overlap>) -> Overlap {
    let Some(overlap) = overlap else { return Overlap::Skip };
    let max_of = |fields: &mut Fields, min: i32, max: u32| {
        let bounded = fields.bounded(&format!("{field}.max"), overlap.max, min, max.cast_signed());
        bounded.and_then(|max| u32::try_from(max).ok()).unwrap_or(1)
    };
    let rule = v1::OverlapRule::try_from(overlap.rule);
    match rule {
        Ok(v1::OverlapRule::BufferAll) => match max_of(fields, 0, limits::BUFFER_MAX) {
            0 => Overlap::BufferAll { max: limits::BUFFER_DEFAULT },
            max => Overlap::BufferAll { max },
        },
        Ok(v1::OverlapRule::Parallel) => Overlap::Parallel { max: max_of(fields, 1, limits::PARALLEL_MAX) },
        Ok(v1::OverlapRule::Unspecified | v1::OverlapRule::Skip) => Overlap::Skip,
        Ok(v1::OverlapRule::BufferOne) => Overlap::BufferOne,
        Ok(v1::OverlapRule::CancelOther) => Overlap::CancelOther,
        Err(_) => unknown(fields, &format!("{field}.rule"), Overlap::Skip),
    }
}

/// The overlap rule of a backfill; absent means one after the other.
pub(crate) fn parse_backfill_overlap(fields: &mut Fields, field: &str, overlap: Option<&v1::Overlap>) -> Overlap {
    let in_turn = Overlap::BufferAll { max: limits::BUFFER_DEFAULT };
    let Some(overlap) = overlap else { return in_turn };
    match parse_overlap(fields, field, Some(overlap)) {
        Overlap::BufferOne | Overlap::CancelOther => {
            fields.note(&format!("{field}.rule"), "must be SKIP, BUFFER_ALL or PARALLEL for a backfill");
            in_turn
        }
        Overlap::Skip if overlap.rule == i32::from(v1::OverlapRule::Unspecified) => in_turn,
        overlap => overlap,
    }
}

fn parse_gap(fields: &mut Fields, field: &str, number: i32) -> Gap {
    match v1::GapRule::try_from(number) {
        Ok(v1::GapRule::Unspecified | v1::GapRule::After) => Gap::After,
        Ok(v1::GapRule::Skip) => Gap::Skip,
        Err(_) => unknown(fields, field, Gap::After),
    }
}

fn parse_fold(fields: &mut Fields, field: &str, number: i32) -> Fold {
    match v1::FoldRule::try_from(number) {
        Ok(v1::FoldRule::Unspecified | v1::FoldRule::First) => Fold::First,
        Ok(v1::FoldRule::Second) => Fold::Second,
        Ok(v1::FoldRule::Both) => Fold::Both,
        Ok(v1::FoldRule::Skip) => Fold::Skip,
        Err(_) => unknown(fields, field, Fold::First),
    }
}

fn parse_misfire(fields: &mut Fields, field: &str, number: i32) -> Misfire {
    match v1::MisfireRule::try_from(number) {
        Ok(v1::MisfireRule::Unspecified | v1::MisfireRule::FireOnce) => Misfire::FireOnce,
        Ok(v1::MisfireRule::Skip) => Misfire::Skip,
        Ok(v1::MisfireRule::FireAll) => Misfire::FireAll,
        Err(_) => unknown(fields, field, Misfire::FireOnce),
    }
}

/// A rule that a newer client knows must not be taken for another one.
fn unknown<T>(fields: &mut Fields, field: &str, instead: T) -> T {
    fields.note(field, "is a rule that this server does not know");
    instead
}
