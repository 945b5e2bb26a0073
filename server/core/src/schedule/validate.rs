//! What a trigger's specification must be like: [`read`] makes a schedule of it and says what has no meaning, [`validate`]
//! says that and what is out of bounds, all at once.

use super::{
    Cron, Daily, Date, Excluded, Exclusion, Fires, Limits, Overlap, Rate, Schedule, SpecError, TimeOfDay, TriggerSpec,
    Weekdays, When, Zone,
    calendar::{DAY_SECS, month_length},
    limits::{
        BUFFER_MAX, CATCH_UP_MAX, DELAY_MAX, EVERY_MAX, EVERY_MIN, EXCLUDED_DAYS_MAX, EXCLUDED_HOURS_MAX,
        EXCLUSIONS_MAX, JITTER_MAX, OUTCOMES_MAX, PERIOD_MAX, PERIOD_MIN, TIMES_MAX,
    },
    zone,
};
use crate::{
    id::{Millis, Timestamp},
    limits::RUNNING_MAX,
};

/// All that is wrong with what a trigger says about when it fires, what it leaves out, and what happens to late and
/// overlapping fires; empty when it is good. Its payload and its labels are checked by whoever checks a job's, and so is
/// whether the job that it follows exists.
pub fn validate(spec: &TriggerSpec) -> Vec<SpecError> {
    let mut errors = Vec::new();
    // The moment anchors a rate, and no anchor is wrong.
    read(spec, Timestamp(0), &mut errors);
    check_when(&spec.when, &mut errors);
    check_exclusions(&spec.exclude, &mut errors);
    check_span(spec, &mut errors);
    check_fires(spec, &mut errors);
    errors
}

/// Makes a schedule, or says why it has no meaning. Without bounds.
pub(super) fn read(spec: &TriggerSpec, made_at: Timestamp, errors: &mut Vec<SpecError>) -> Option<Schedule> {
    let zone = read_zone(&spec.zone, errors);
    let fires = read_when(spec, made_at, errors);
    let excluded = (!spec.exclude.is_empty()).then(|| read_exclusions(&spec.exclude, errors));
    let limited = excluded.is_some() || spec.start_time.is_some() || spec.end_time.is_some();
    let limits = limited.then(|| {
        let start = spec.start_time.map_or(0, |at| at.0);
        let end = spec.end_time.map_or(i64::MAX, |at| at.0);
        Box::new(Limits { start, end, excluded: excluded.flatten() })
    });
    Some(Schedule { fires: fires?, zone: zone?, limits, gap: spec.gap, fold: spec.fold })
}

fn read_zone(name: &str, errors: &mut Vec<SpecError>) -> Option<&'static Zone> {
    let zone = Zone::load(name);
    if zone.is_none() {
        let hint = match zone::nearest_name(name) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "write an IANA name such as Europe/Berlin, or UTC".to_owned(),
        };
        let version = zone::zone_data_version();
        errors.push(SpecError::new("zone", format!("is not in the time zone data {version}: {hint}")));
    }
    zone
}

fn read_when(spec: &TriggerSpec, made_at: Timestamp, errors: &mut Vec<SpecError>) -> Option<Fires> {
    let positive = |field: &str, span: Millis, errors: &mut Vec<SpecError>| {
        if span.0 <= 0 {
            errors.push(SpecError::new(field, "must be longer than nothing"));
        }
        span.0 > 0
    };
    match &spec.when {
        When::Cron { expression } => match Cron::parse(expression) {
            Ok(cron) => Some(Fires::Cron(cron)),
            Err(problems) => {
                let field = || "when.cron.expression".to_owned();
                errors.extend(problems.into_iter().map(|found| SpecError {
                    field: field(),
                    offset: Some(found.offset),
                    problem: found.problem,
                }));
                None
            }
        },
        When::Rate { period } => positive("when.rate.period", *period, errors).then(|| {
            let anchor = spec.start_time.unwrap_or(made_at).0;
            Fires::Rate(Rate { anchor, period: period.0 })
        }),
        When::Daily { from, to, every, days } => {
            let good = [("when.daily.from", *from), ("when.daily.to", *to)]
                .map(|(field, time)| check_time(field.to_owned(), time, errors));
            let good = positive("when.daily.every", *every, errors) && good == [true, true];
            good.then_some(Fires::Daily(Daily { from: from.0, to: to.0, every: every.0, days: *days }))
        }
        When::Times { times } => Some(Fires::Times(times.clone().into())),
        When::Delay { .. } | When::After { .. } => Some(Fires::Never),
    }
}

fn read_exclusions(exclusions: &[Exclusion], errors: &mut Vec<SpecError>) -> Option<Excluded> {
    let before = errors.len();
    for (index, exclusion) in exclusions.iter().enumerate() {
        let field = |rest: &str| format!("exclude[{index}].{rest}");
        match exclusion {
            Exclusion::Dates { dates } => {
                for (number, date) in dates.iter().enumerate() {
                    check_date(field(&format!("dates.dates[{number}]")), *date, errors);
                }
            }
            Exclusion::Days { from, to } => {
                check_date(field("days.from"), *from, errors);
                check_date(field("days.to"), *to, errors);
            }
            Exclusion::Hours { from, to } => {
                check_time(field("hours.from"), *from, errors);
                check_time(field("hours.to"), *to, errors);
            }
            Exclusion::Yearly { .. } | Exclusion::Weekdays { .. } | Exclusion::Range { .. } => {}
        }
    }
    (errors.len() == before).then(|| Excluded::new(exclusions))
}

fn check_date(field: String, date: Date, errors: &mut Vec<SpecError>) {
    if !date.exists() {
        let Date { year, month, day } = date;
        errors.push(SpecError::new(field, format!("the calendar has no {year:04}-{month:02}-{day:02}")));
    }
}

fn check_time(field: String, time: TimeOfDay, errors: &mut Vec<SpecError>) -> bool {
    let good = i64::from(time.0) < DAY_SECS;
    if !good {
        errors.push(SpecError::new(field, "must be 00:00:00 to 23:59:59"));
    }
    good
}

fn check_when(when: &When, errors: &mut Vec<SpecError>) {
    match when {
        When::Cron { expression } => check_cron(expression, errors),
        When::Rate { period } => within("when.rate.period", *period, PERIOD_MIN, PERIOD_MAX, errors),
        When::Delay { delay } => within("when.delay.delay", *delay, Millis(0), DELAY_MAX, errors),
        When::Daily { every, days, .. } => {
            within("when.daily.every", *every, EVERY_MIN, EVERY_MAX, errors);
            check_weekdays("when.daily.days".to_owned(), *days, errors);
        }
        When::Times { times } => check_times(times, errors),
        When::After { outcomes, .. } if !(1..=OUTCOMES_MAX).contains(&outcomes.len()) => {
            errors.push(SpecError::new("when.after.outcomes", "name at least one, and each once"));
        }
        When::After { .. } => {}
    }
}

/// Says that an expression names no day that there is. One that cannot be read was said to be so already; one whose years are
/// over is good, because what was exported once can be applied again.
fn check_cron(expression: &str, errors: &mut Vec<SpecError>) {
    if Cron::parse(expression).is_ok_and(|cron| cron.next(0).is_none()) {
        let problem = "never fires: up to the end of 2199 no day is as its fields of days, months and years say";
        errors.push(SpecError::new("when.cron.expression", problem));
    }
}

/// Says that a span is out of bounds; one that is not positive and may not be was said to be so already.
fn within(field: &str, span: Millis, min: Millis, max: Millis, errors: &mut Vec<SpecError>) {
    let said = span.0 <= 0 && min.0 > 0;
    if !said && !(min..=max).contains(&span) {
        errors.push(SpecError::new(field, format!("must be {} to {}", text(min), text(max))));
    }
}

fn text(span: Millis) -> String {
    match span.0 {
        millis if millis % 1000 != 0 => format!("{millis} ms"),
        millis => format!("{} s", millis / 1000),
    }
}

fn check_weekdays(field: String, days: Weekdays, errors: &mut Vec<SpecError>) {
    if days.0 & !Weekdays::ALL.0 != 0 || days.0 == 0 {
        errors.push(SpecError::new(field, "name at least one of the seven days"));
    }
}

fn check_times(times: &[Timestamp], errors: &mut Vec<SpecError>) {
    if !(1..=TIMES_MAX).contains(&times.len()) {
        errors.push(SpecError::new("when.times.times", format!("must be 1 to {TIMES_MAX} times")));
        return;
    }
    for (index, time) in times.iter().enumerate() {
        let field = || format!("when.times.times[{index}]");
        check_moment(&field(), *time, errors);
        if index.checked_sub(1).is_some_and(|before| times[before] >= *time) {
            errors.push(SpecError::new(field(), "must be later than the one before it"));
        }
    }
}

fn check_moment(field: &str, at: Timestamp, errors: &mut Vec<SpecError>) {
    if !(0..super::HORIZON_SECS * 1000).contains(&at.0) {
        errors.push(SpecError::new(field, "must be from 1970 to 2199"));
    }
}

fn check_exclusions(exclusions: &[Exclusion], errors: &mut Vec<SpecError>) {
    let mut note = |field: String, problem: String| errors.push(SpecError { field, offset: None, problem });
    if exclusions.len() > EXCLUSIONS_MAX {
        note("exclude".to_owned(), format!("must be {EXCLUSIONS_MAX} exclusions at most"));
        return;
    }
    let (mut days_count, mut hours_count, mut weekdays) = (0, 0, 0);
    for (index, exclusion) in exclusions.iter().enumerate() {
        let field = |rest: &str| format!("exclude[{index}].{rest}");
        match exclusion {
            Exclusion::Dates { dates } if dates.is_empty() => {
                note(field("dates.dates"), "name at least one".to_owned())
            }
            Exclusion::Dates { dates } => days_count += dates.len(),
            Exclusion::Yearly { days } if days.is_empty() => note(field("yearly.days"), "name at least one".to_owned()),
            Exclusion::Yearly { days } => {
                days_count += days.len();
                // The year is one that has them all.
                let exists = |month, day| (1..=12).contains(&month) && (1..=month_length(2000, month)).contains(&day);
                for (number, &(month, day)) in days.iter().enumerate().filter(|(_, day)| !exists(day.0, day.1)) {
                    note(field(&format!("yearly.days[{number}]")), format!("no year has a {month:02}-{day:02}"));
                }
            }
            Exclusion::Weekdays { days } if days.0 == 0 || days.0 > Weekdays::ALL.0 => {
                note(field("weekdays.days"), "name at least one of the seven days".to_owned());
            }
            Exclusion::Weekdays { days } => weekdays |= days.0,
            Exclusion::Days { from, to } if from > to => note(field("days.to"), "must not be before from".to_owned()),
            Exclusion::Range { from, to } if from >= to => note(field("range.to"), "must be after from".to_owned()),
            Exclusion::Hours { from, to } if from == to => note(field("hours.to"), "must differ from from".to_owned()),
            Exclusion::Hours { .. } => hours_count += 1,
            Exclusion::Days { .. } | Exclusion::Range { .. } => {}
        }
    }
    if days_count > EXCLUDED_DAYS_MAX {
        note("exclude".to_owned(), format!("must be {EXCLUDED_DAYS_MAX} days at most: write ranges of days"));
    }
    if hours_count > EXCLUDED_HOURS_MAX {
        note("exclude".to_owned(), format!("must be {EXCLUDED_HOURS_MAX} exclusions by hours at most"));
    }
    if weekdays == Weekdays::ALL.0 {
        note("exclude".to_owned(), "leaves no day of the week: pause the trigger instead".to_owned());
    }
}

fn check_span(spec: &TriggerSpec, errors: &mut Vec<SpecError>) {
    for (field, at) in [("start_time", spec.start_time), ("end_time", spec.end_time)] {
        if let Some(at) = at {
            check_moment(field, at, errors);
        }
    }
    if let (Some(start), Some(end)) = (spec.start_time, spec.end_time)
        && start >= end
    {
        errors.push(SpecError::new("end_time", "must be after start_time"));
    }
}

fn check_fires(spec: &TriggerSpec, errors: &mut Vec<SpecError>) {
    within("jitter", spec.jitter, Millis(0), JITTER_MAX, errors);
    within("catch_up", spec.catch_up, Millis(0), CATCH_UP_MAX, errors);
    if spec.max_fires == Some(0) {
        errors.push(SpecError::new("max_fires", "must be at least 1; leave it out for no end"));
    }
    if spec.pause_after_failures == Some(0) {
        errors.push(SpecError::new("pause_after_failures", "must be at least 1; leave it out for never"));
    }
    let (field, max, bound) = match spec.overlap {
        Overlap::BufferAll { max } => ("overlap.buffer_all.max", max, BUFFER_MAX),
        Overlap::Parallel { max } => ("overlap.parallel.max", max, RUNNING_MAX),
        Overlap::Skip | Overlap::BufferOne | Overlap::CancelOther => return,
    };
    if !(1..=bound).contains(&max) {
        errors.push(SpecError::new(field, format!("must be 1 to {bound}")));
    }
}
