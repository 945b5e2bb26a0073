//! A trigger as a file has it: the field names of the protocol, where a message of one field is that field; spans, times and
//! rules as text. Reads and translates; the server judges the values.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use semel_proto::v1::{
    AfterJob, CronTimes, DailyWindow, DayOfWeek, ExcludedDates, ExcludedDays, ExcludedHours, ExcludedWeekdays,
    Exclusion, FixedDelay, FixedRate, FoldRule, GapRule, MisfireRule, Overlap, OverlapRule, RunState, TimeList,
    TimeRange, TriggerSpec, exclusion, trigger_spec::When,
};
use serde::Deserialize;

use super::{
    job_file::{PayloadFile, Span, put_span},
    parse,
};

/// See the module.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TriggerFile {
    cron: Option<String>,
    rate: Option<Span>,
    delay: Option<Span>,
    daily: Option<DailyFile>,
    times: Option<Vec<String>>,
    after: Option<AfterFile>,
    zone: String,
    gap: String,
    fold: String,
    exclude: Vec<ExclusionFile>,
    start_time: Option<String>,
    end_time: Option<String>,
    max_fires: i64,
    jitter: Option<Span>,
    overlap: Option<OverlapFile>,
    misfire: String,
    catch_up: Option<Span>,
    pause_after_failures: i32,
    payload: Option<PayloadFile>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DailyFile {
    from: String,
    to: String,
    every: Span,
    #[serde(default)]
    days: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AfterFile {
    job: String,
    #[serde(default)]
    states: Vec<String>,
}

/// A rule by its name, or with a bound.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OverlapFile {
    Rule(String),
    Bounded { rule: String, max: i32 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ExclusionFile {
    Dates(Vec<String>),
    Yearly(Vec<String>),
    Weekdays(Vec<String>),
    Days { from: String, to: String },
    Range { start_time: String, end_time: String },
    Hours { from: String, to: String },
}

impl TriggerFile {
    /// What the trigger says. Files that it names are looked for in `folder`.
    pub(crate) fn into_spec(self, folder: &Path) -> Result<TriggerSpec, String> {
        let mut spec = TriggerSpec {
            zone: self.zone,
            gap: rule(&self.gap, "GAP_RULE_", |name| GapRule::from_str_name(name).map(i32::from))?,
            fold: rule(&self.fold, "FOLD_RULE_", |name| FoldRule::from_str_name(name).map(i32::from))?,
            exclude: self.exclude.into_iter().map(ExclusionFile::into_exclusion).collect::<Result<_, _>>()?,
            start_time: moment(self.start_time.as_deref())?,
            end_time: moment(self.end_time.as_deref())?,
            max_fires: self.max_fires,
            overlap: self.overlap.map(OverlapFile::into_overlap).transpose()?,
            misfire: rule(&self.misfire, "MISFIRE_RULE_", |name| MisfireRule::from_str_name(name).map(i32::from))?,
            pause_after_failures: self.pause_after_failures,
            payload: self.payload.map(|payload| payload.read(folder)).transpose()?,
            labels: self.labels,
            ..TriggerSpec::default()
        };
        put_span(&mut spec.jitter, self.jitter.map(|span| span.0));
        put_span(&mut spec.catch_up, self.catch_up.map(|span| span.0));
        let daily = self.daily.map(DailyFile::into_window).transpose()?;
        let times = self.times.map(|times| times.iter().map(|at| required(at)).collect::<Result<_, String>>());
        let after = self.after.map(AfterFile::into_after).transpose()?;
        let kinds = [
            self.cron.map(|expression| When::Cron(CronTimes { expression })),
            self.rate.map(rate),
            self.delay.map(delay),
            daily.map(When::Daily),
            times.transpose()?.map(|times| When::Times(TimeList { times })),
            after.map(When::After),
        ];
        let mut given = kinds.into_iter().flatten();
        spec.when = given.next();
        if spec.when.is_none() || given.next().is_some() {
            return Err("a trigger needs exactly one of cron, rate, delay, daily, times and after".to_owned());
        }
        Ok(spec)
    }
}

fn rate(span: Span) -> When {
    let mut rate = FixedRate::default();
    put_span(&mut rate.period, Some(span.0));
    When::Rate(rate)
}

fn delay(span: Span) -> When {
    let mut delay = FixedDelay::default();
    put_span(&mut delay.delay, Some(span.0));
    When::Delay(delay)
}

impl DailyFile {
    fn into_window(self) -> Result<DailyWindow, String> {
        let mut window =
            DailyWindow { from: self.from, to: self.to, days: days_of_week(&self.days)?, ..DailyWindow::default() };
        put_span(&mut window.every, Some(self.every.0));
        Ok(window)
    }
}

impl AfterFile {
    fn into_after(self) -> Result<AfterJob, String> {
        let state = |name: &String| rule(name, "RUN_STATE_", |name| RunState::from_str_name(name).map(i32::from));
        Ok(AfterJob { states: self.states.iter().map(state).collect::<Result<_, _>>()?, job: self.job })
    }
}

impl OverlapFile {
    fn into_overlap(self) -> Result<Overlap, String> {
        let (name, max) = match self {
            Self::Rule(name) => (name, 0),
            Self::Bounded { rule, max } => (rule, max),
        };
        overlap(&name, max)
    }
}

/// An overlap rule by its name.
pub(crate) fn overlap(name: &str, max: i32) -> Result<Overlap, String> {
    let rule = rule(name, "OVERLAP_RULE_", |name| OverlapRule::from_str_name(name).map(i32::from))?;
    Ok(Overlap { rule, max })
}

impl ExclusionFile {
    fn into_exclusion(self) -> Result<Exclusion, String> {
        let kind = match self {
            Self::Dates(dates) => exclusion::Kind::Dates(ExcludedDates { dates }),
            Self::Yearly(dates) => exclusion::Kind::Yearly(ExcludedDates { dates }),
            Self::Weekdays(days) => exclusion::Kind::Weekdays(ExcludedWeekdays { days: days_of_week(&days)? }),
            Self::Days { from, to } => exclusion::Kind::Days(ExcludedDays { from, to }),
            Self::Range { start_time, end_time } => exclusion::Kind::Range(TimeRange {
                start_time: Some(required(&start_time)?),
                end_time: Some(required(&end_time)?),
            }),
            Self::Hours { from, to } => exclusion::Kind::Hours(ExcludedHours { from, to }),
        };
        Ok(Exclusion { kind: Some(kind) })
    }
}

/// A rule by its name in the protocol, in either case; nothing means its default.
fn rule(name: &str, prefix: &str, number: impl Fn(&str) -> Option<i32>) -> Result<i32, String> {
    let full = format!("{prefix}{}", name.to_uppercase().replace('-', "_"));
    match number(&full) {
        Some(number) if number != 0 => Ok(number),
        _ if name.is_empty() => Ok(0),
        _ => {
            let known: Vec<String> = (1..10).filter_map(|number| name_of(prefix, number)).collect();
            Err(format!("{name:?} is not known here; it may be {}", known.join(", ")))
        }
    }
}

fn name_of(prefix: &str, number: i32) -> Option<String> {
    let name = match prefix {
        "GAP_RULE_" => GapRule::try_from(number).ok()?.as_str_name(),
        "FOLD_RULE_" => FoldRule::try_from(number).ok()?.as_str_name(),
        "MISFIRE_RULE_" => MisfireRule::try_from(number).ok()?.as_str_name(),
        "OVERLAP_RULE_" => OverlapRule::try_from(number).ok()?.as_str_name(),
        _ => RunState::try_from(number).ok()?.as_str_name(),
    };
    name.strip_prefix(prefix).map(str::to_lowercase)
}

/// Days of the week by the first three letters or more of their names.
pub(crate) fn days_of_week(names: &[String]) -> Result<Vec<i32>, String> {
    let day = |name: &String| {
        let upper = name.to_uppercase();
        let day = (1..=7).find(|number| {
            let full = DayOfWeek::try_from(*number).map_or("", |day| day.as_str_name());
            upper.len() >= 3 && full.trim_start_matches("DAY_OF_WEEK_").starts_with(&upper)
        });
        day.ok_or_else(|| format!("{name:?} is no day of the week; write mon, tue, wed, thu, fri, sat, sun"))
    };
    names.iter().map(day).collect()
}

fn required<T: From<SystemTime>>(text: &str) -> Result<T, String> {
    parse::time(text).map(Into::into)
}

fn moment<T: From<SystemTime>>(text: Option<&str>) -> Result<Option<T>, String> {
    text.map(required).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<TriggerSpec, String> {
        let file: TriggerFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.into_spec(Path::new(""))
    }

    #[test]
    fn a_file_holds_all_of_a_trigger() {
        let spec = toml(
            r#"
            daily = { from = "08:00", to = "18:00", every = "30m", days = ["mon", "friday"] }
            zone = "Europe/Berlin"
            gap = "skip"
            fold = "both"
            exclude = [
                { dates = ["2026-12-24"] }, { yearly = ["01-01"] }, { weekdays = ["sat"] },
                { days = { from = "2026-07-01", to = "2026-07-31" } }, { hours = { from = "12:00", to = "13:00" } },
                { range = { start_time = "2026-01-31T08:00:00Z", end_time = "2026-01-31T09:00:00Z" } },
            ]
            start_time = "2026-01-31T08:00:00Z"
            max_fires = 3
            jitter = "30s"
            overlap = { rule = "parallel", max = 3 }
            misfire = "fire-all"
            catch_up = "1h"
            pause_after_failures = 2
            labels = { a = "b" }
            [payload]
            text = "in"
            "#,
        );
        let spec = spec.expect("a good file");
        let Some(When::Daily(window)) = &spec.when else { panic!("a window: {spec:?}") };
        assert_eq!((window.days.as_slice(), window.from.as_str()), (&[1, 5][..], "08:00"));
        assert_eq!((spec.gap(), spec.fold(), spec.misfire()), (GapRule::Skip, FoldRule::Both, MisfireRule::FireAll));
        assert_eq!((spec.exclude.len(), spec.max_fires, spec.pause_after_failures), (6, 3, 2));
        assert_eq!(spec.overlap.map(|overlap| (overlap.rule(), overlap.max)), Some((OverlapRule::Parallel, 3)));
        assert!(spec.payload.is_some() && spec.jitter.is_some() && spec.catch_up.is_some());
    }

    #[test]
    fn each_kind_is_said_in_one_way() {
        assert!(matches!(toml("cron = \"@daily\"").expect("good").when, Some(When::Cron(_))));
        assert!(matches!(toml("rate = \"10s\"").expect("good").when, Some(When::Rate(_))));
        assert!(matches!(toml("delay = \"10s\"").expect("good").when, Some(When::Delay(_))));
        assert!(matches!(toml("times = [\"2026-01-31T08:00:00Z\"]").expect("good").when, Some(When::Times(_))));
        let after = toml("after = { job = \"a\", states = [\"failed\"] }").expect("good").when;
        assert!(matches!(after, Some(When::After(after)) if after.states == [i32::from(RunState::Failed)]));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_may_stand_there() {
        for (text, part) in [
            ("zone = \"UTC\"", "exactly one of cron"),
            ("cron = \"@daily\"\nrate = \"1s\"", "exactly one of cron"),
            ("cron = \"@daily\"\noverlap = \"queue\"", "buffer_one"),
            ("cron = \"@daily\"\nmisfire = \"never\"", "fire_once"),
            ("cron = \"@daily\"\nexclude = [{ weekdays = [\"x\"] }]", "mon"),
            ("cron = \"@daily\"\nevery = \"1s\"", "every"),
        ] {
            let message = toml(text).expect_err("it is wrong");
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
