//! A trigger as a file has it: the field names of the protocol, where a message of one field is that field; spans, times and
//! rules as text. Reads and translates; the server judges the values.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use semel_proto::v1::{
    AfterJob, CronTimes, DailyWindow, DayOfWeek, ExcludedDates, ExcludedDays, ExcludedHours, ExcludedWeekdays,
    Exclusion, FixedDelay, FixedRate, FoldRule, GapRule, MisfireRule, Overlap, OverlapRule, RunState, TimeList,
    TimeRange, TriggerSpec, exclusion, trigger_spec::When,
};
use serde::{Deserialize, Deserializer};

use super::{
    job_file::{PayloadFile, Span, Wrong, put_span},
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
    times: Option<Vec<Moment>>,
    after: Option<AfterFile>,
    zone: String,
    #[serde(deserialize_with = "gap")]
    gap: i32,
    #[serde(deserialize_with = "fold")]
    fold: i32,
    exclude: Vec<ExclusionFile>,
    start_time: Option<Moment>,
    end_time: Option<Moment>,
    max_fires: i64,
    jitter: Option<Span>,
    overlap: Option<OverlapFile>,
    #[serde(deserialize_with = "misfire")]
    misfire: i32,
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
    days: Vec<Day>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AfterFile {
    job: String,
    #[serde(default)]
    states: Vec<EndState>,
}

/// A rule by its name, or with a bound.
#[derive(Debug, Deserialize)]
#[serde(try_from = "OverlapForm")]
struct OverlapFile(Overlap);

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "must be a rule by its name, or { rule, max }")]
enum OverlapForm {
    Rule(String),
    Bounded { rule: String, max: i32 },
}

/// A moment, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Moment(SystemTime);

/// A day of the week, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Day(i32);

/// How a run may have ended, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct EndState(i32);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ExclusionFile {
    Dates(Vec<String>),
    Yearly(Vec<String>),
    Weekdays(Vec<Day>),
    Days { from: String, to: String },
    Range { start_time: Moment, end_time: Moment },
    Hours { from: String, to: String },
}

impl TriggerFile {
    /// What the trigger says. Files that it names are looked for in `folder`.
    pub(crate) fn into_spec(self, folder: &Path) -> Result<TriggerSpec, Wrong> {
        let mut spec = TriggerSpec {
            zone: self.zone,
            gap: self.gap,
            fold: self.fold,
            exclude: self.exclude.into_iter().map(ExclusionFile::into_exclusion).collect(),
            start_time: self.start_time.map(|at| at.0.into()),
            end_time: self.end_time.map(|at| at.0.into()),
            max_fires: self.max_fires,
            overlap: self.overlap.map(|overlap| overlap.0),
            misfire: self.misfire,
            pause_after_failures: self.pause_after_failures,
            payload: self.payload.map(|payload| payload.read(folder)).transpose().map_err(Wrong::of("payload"))?,
            labels: self.labels,
            ..TriggerSpec::default()
        };
        put_span(&mut spec.jitter, self.jitter.map(|span| span.0));
        put_span(&mut spec.catch_up, self.catch_up.map(|span| span.0));
        let times = self.times.map(|times| times.iter().map(|at| at.0.into()).collect());
        let kinds = [
            self.cron.map(|expression| When::Cron(CronTimes { expression })),
            self.rate.map(rate),
            self.delay.map(delay),
            self.daily.map(|daily| When::Daily(daily.into_window())),
            times.map(|times| When::Times(TimeList { times })),
            self.after.map(|after| When::After(after.into_after())),
        ];
        let mut given = kinds.into_iter().flatten();
        spec.when = given.next();
        if spec.when.is_none() || given.next().is_some() {
            return Err(Wrong::new("", "a trigger needs exactly one of cron, rate, delay, daily, times and after"));
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
    fn into_window(self) -> DailyWindow {
        let mut window = DailyWindow { from: self.from, to: self.to, days: numbers(&self.days), ..Default::default() };
        put_span(&mut window.every, Some(self.every.0));
        window
    }
}

impl AfterFile {
    fn into_after(self) -> AfterJob {
        AfterJob { states: self.states.iter().map(|state| state.0).collect(), job: self.job }
    }
}

impl TryFrom<OverlapForm> for OverlapFile {
    type Error = String;

    fn try_from(form: OverlapForm) -> Result<Self, String> {
        match form {
            OverlapForm::Rule(name) => overlap(&name, 0),
            OverlapForm::Bounded { rule, max } => overlap(&rule, max),
        }
        .map(Self)
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse::time(&text).map(Self)
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        day_of_week(&name).map(Self)
    }
}

impl TryFrom<String> for EndState {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        rule(&name, "RUN_STATE_").map(Self)
    }
}

/// An overlap rule by its name.
pub(crate) fn overlap(name: &str, max: i32) -> Result<Overlap, String> {
    Ok(Overlap { rule: rule(name, "OVERLAP_RULE_")?, max })
}

impl ExclusionFile {
    fn into_exclusion(self) -> Exclusion {
        let kind = match self {
            Self::Dates(dates) => exclusion::Kind::Dates(ExcludedDates { dates }),
            Self::Yearly(dates) => exclusion::Kind::Yearly(ExcludedDates { dates }),
            Self::Weekdays(days) => exclusion::Kind::Weekdays(ExcludedWeekdays { days: numbers(&days) }),
            Self::Days { from, to } => exclusion::Kind::Days(ExcludedDays { from, to }),
            Self::Range { start_time, end_time } => exclusion::Kind::Range(TimeRange {
                start_time: Some(start_time.0.into()),
                end_time: Some(end_time.0.into()),
            }),
            Self::Hours { from, to } => exclusion::Kind::Hours(ExcludedHours { from, to }),
        };
        Exclusion { kind: Some(kind) }
    }
}

fn gap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    named(deserializer, "GAP_RULE_")
}

fn fold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    named(deserializer, "FOLD_RULE_")
}

fn misfire<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    named(deserializer, "MISFIRE_RULE_")
}

fn named<'de, D: Deserializer<'de>>(deserializer: D, prefix: &str) -> Result<i32, D::Error> {
    let name = String::deserialize(deserializer)?;
    rule(&name, prefix).map_err(serde::de::Error::custom)
}

/// A rule by its name in the protocol, in either case; nothing means its default.
fn rule(name: &str, prefix: &str) -> Result<i32, String> {
    if name.is_empty() {
        return Ok(0);
    }
    let wanted = name.to_lowercase().replace('-', "_");
    let known: Vec<(i32, String)> =
        (1..10).filter_map(|number| name_of(prefix, number).map(|name| (number, name))).collect();
    let found = known.iter().find(|(_, known)| *known == wanted);
    found.map(|(number, _)| *number).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(_, name)| name.as_str()).collect();
        format!("{name:?} is not known here; it may be {}", names.join(", "))
    })
}

/// The name of a rule, without its prefix and in small letters.
pub(crate) fn name_of(prefix: &str, number: i32) -> Option<String> {
    let name = match prefix {
        "GAP_RULE_" => GapRule::try_from(number).ok()?.as_str_name(),
        "FOLD_RULE_" => FoldRule::try_from(number).ok()?.as_str_name(),
        "MISFIRE_RULE_" => MisfireRule::try_from(number).ok()?.as_str_name(),
        "OVERLAP_RULE_" => OverlapRule::try_from(number).ok()?.as_str_name(),
        _ => RunState::try_from(number).ok()?.as_str_name(),
    };
    name.strip_prefix(prefix).map(str::to_lowercase)
}

/// A day of the week by the first three letters or more of its name.
fn day_of_week(name: &str) -> Result<i32, String> {
    let upper = name.to_uppercase();
    let day = (1..=7).find(|number| {
        let full = DayOfWeek::try_from(*number).map_or("", |day| day.as_str_name());
        upper.len() >= 3 && full.trim_start_matches("DAY_OF_WEEK_").starts_with(&upper)
    });
    day.ok_or_else(|| format!("{name:?} is no day of the week; write mon, tue, wed, thu, fri, sat, sun"))
}

fn numbers(days: &[Day]) -> Vec<i32> {
    days.iter().map(|day| day.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<TriggerSpec, String> {
        let file: TriggerFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.into_spec(Path::new("")).map_err(|wrong| wrong.to_string())
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
