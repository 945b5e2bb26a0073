//! What a trigger says, for the wire.

use semel_core::{
    run::Outcome,
    schedule::{Date, Exclusion, Fold, Gap, Misfire, Overlap, TimeOfDay, TriggerSpec, Weekdays, When},
};
use semel_proto::v1::{self, exclusion, trigger_spec};

use crate::transport::convert::{header::count, run, time};

/// What a trigger says.
pub(crate) fn spec(spec: &TriggerSpec) -> v1::TriggerSpec {
    v1::TriggerSpec {
        when: Some(when(&spec.when)),
        zone: spec.zone.clone(),
        gap: match spec.gap {
            Gap::After => v1::GapRule::After,
            Gap::Skip => v1::GapRule::Skip,
        }
        .into(),
        fold: match spec.fold {
            Fold::First => v1::FoldRule::First,
            Fold::Second => v1::FoldRule::Second,
            Fold::Both => v1::FoldRule::Both,
            Fold::Skip => v1::FoldRule::Skip,
        }
        .into(),
        exclude: spec.exclude.iter().map(exclusion).collect(),
        start_time: spec.start_time.map(time::timestamp),
        end_time: spec.end_time.map(time::timestamp),
        max_fires: spec.max_fires.map_or(0, count),
        jitter: (spec.jitter.0 > 0).then(|| time::duration(spec.jitter)),
        overlap: Some(overlap(spec.overlap)),
        misfire: match spec.misfire {
            Misfire::FireOnce => v1::MisfireRule::FireOnce,
            Misfire::Skip => v1::MisfireRule::Skip,
            Misfire::FireAll => v1::MisfireRule::FireAll,
        }
        .into(),
        catch_up: Some(time::duration(spec.catch_up)),
        pause_after_failures: spec.pause_after_failures.map_or(0, |max| i32::try_from(max).unwrap_or(i32::MAX)),
        payload: spec.payload.as_ref().map(run::payload),
        labels: spec.labels.clone(),
    }
}

fn when(when: &When) -> trigger_spec::When {
    match when {
        When::Cron { expression } => trigger_spec::When::Cron(v1::CronTimes { expression: expression.clone() }),
        When::Rate { period } => trigger_spec::When::Rate(v1::FixedRate { period: Some(time::duration(*period)) }),
        When::Delay { delay } => trigger_spec::When::Delay(v1::FixedDelay { delay: Some(time::duration(*delay)) }),
        When::Daily { from, to, every, days } => trigger_spec::When::Daily(v1::DailyWindow {
            from: time_of_day(*from),
            to: time_of_day(*to),
            every: Some(time::duration(*every)),
            days: if *days == Weekdays::ALL { Vec::new() } else { days_of_week(*days) },
        }),
        When::Times { times } => {
            trigger_spec::When::Times(v1::TimeList { times: times.iter().copied().map(time::timestamp).collect() })
        }
        When::After { job, outcomes } => trigger_spec::When::After(v1::AfterJob {
            job: job.to_string(),
            states: outcomes.iter().map(|outcome| outcome_state(*outcome).into()).collect(),
        }),
    }
}

fn outcome_state(outcome: Outcome) -> v1::RunState {
    run::phase(outcome.into())
}

fn exclusion(excluded: &Exclusion) -> v1::Exclusion {
    let kind = match excluded {
        Exclusion::Dates { dates } => {
            exclusion::Kind::Dates(v1::ExcludedDates { dates: dates.iter().copied().map(date).collect() })
        }
        Exclusion::Yearly { days } => {
            let dates = days.iter().map(|(month, day)| format!("{month:02}-{day:02}")).collect();
            exclusion::Kind::Yearly(v1::ExcludedDates { dates })
        }
        Exclusion::Weekdays { days } => exclusion::Kind::Weekdays(v1::ExcludedWeekdays { days: days_of_week(*days) }),
        Exclusion::Days { from, to } => exclusion::Kind::Days(v1::ExcludedDays { from: date(*from), to: date(*to) }),
        Exclusion::Range { from, to } => exclusion::Kind::Range(v1::TimeRange {
            start_time: Some(time::timestamp(*from)),
            end_time: Some(time::timestamp(*to)),
        }),
        Exclusion::Hours { from, to } => {
            exclusion::Kind::Hours(v1::ExcludedHours { from: time_of_day(*from), to: time_of_day(*to) })
        }
    };
    v1::Exclusion { kind: Some(kind) }
}

/// An overlap rule.
pub(super) fn overlap(overlap: Overlap) -> v1::Overlap {
    let (rule, max) = match overlap {
        Overlap::Skip => (v1::OverlapRule::Skip, 0),
        Overlap::BufferOne => (v1::OverlapRule::BufferOne, 0),
        Overlap::BufferAll { max } => (v1::OverlapRule::BufferAll, max),
        Overlap::CancelOther => (v1::OverlapRule::CancelOther, 0),
        Overlap::Parallel { max } => (v1::OverlapRule::Parallel, max),
    };
    v1::Overlap { rule: rule.into(), max: i32::try_from(max).unwrap_or(i32::MAX) }
}

fn date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn time_of_day(time: TimeOfDay) -> String {
    let (hour, minute, second) = (time.0 / 3600, time.0 / 60 % 60, time.0 % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

fn days_of_week(days: Weekdays) -> Vec<i32> {
    (0..7).filter(|day| days.0 & (1 << day) != 0).map(|day| day + i32::from(v1::DayOfWeek::Monday)).collect()
}
