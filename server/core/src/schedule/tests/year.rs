//! A year of simulated time for a trigger of each kind, in the zones with odd rules, against the model.

use super::{
    expression::{Expression, Item},
    model::Walk,
    sample,
    zones::{check, of_day},
};
use crate::{
    id::{Millis, Timestamp},
    schedule::{Exclusion, Fold, Gap, TimeOfDay, TriggerSpec, Weekdays, When},
};

fn of_weeks() -> Expression {
    let mut expression = of_day(&[30], vec![Item::Range(2, 2, 1)]);
    expression.fields[3] = vec![Item::LastWeekday, Item::Nearest(15), Item::Last(3)];
    expression.fields[5] = vec![Item::Nth(1, 2), Item::LastOfWeek(5)];
    expression
}

/// A trigger of each kind that has times of its own.
fn kinds(zone: &str, from: i64) -> Vec<(TriggerSpec, Option<Expression>)> {
    let window = |from, to, minutes: i64| When::Daily {
        from: TimeOfDay(from),
        to: TimeOfDay(to),
        every: Millis::from_secs(minutes * 60),
        days: Weekdays::ALL,
    };
    let times = (0..50).map(|number| Timestamp((from + number * 600_000) * 1000)).collect();
    let whens = [
        When::Rate { period: Millis::from_secs(7 * 3600) },
        window(5400, 4 * 3600, 20),
        window(22 * 3600, 7200, 45),
        When::Times { times },
    ];
    let cron = [
        of_day(&[0, 30], vec![Item::Every(1)]),
        of_day(&[0, 15, 30], vec![Item::Range(0, 3, 1), Item::Range(12, 12, 1)]),
        of_weeks(),
    ];
    let plain = whens.into_iter().map(|when| (sample::spec(when, zone), None));
    let cron = cron.into_iter().map(|parts| (sample::cron(&parts.to_string(), zone), Some(parts)));
    plain.chain(cron).collect()
}

#[track_caller]
fn check_year(name: &str, from: &str, moves: usize) {
    let from = sample::at(from).0 / 1000;
    let to = from + 366 * 86_400;
    let zone = sample::zone(name);
    let first = jiff::Timestamp::from_second(from).unwrap();
    let found = zone.following(first).take_while(|change| change.timestamp().as_second() < to).count();
    assert_eq!(found, moves, "{name}: another year than was meant");
    let walk = Walk::new(zone, from - 3 * 86_400, to + 3 * 86_400, 300);
    for (spec, expression) in kinds(name, from) {
        check(&spec, expression.as_ref(), &walk, from, to);
        let other = TriggerSpec {
            gap: Gap::Skip,
            fold: Fold::Both,
            exclude: vec![
                Exclusion::Weekdays { days: Weekdays(0b110_0000) },
                Exclusion::Hours { from: TimeOfDay(12 * 3600), to: TimeOfDay(13 * 3600) },
            ],
            ..spec
        };
        check(&other, expression.as_ref(), &walk, from, to);
    }
}

#[test]
fn a_year_of_half_an_hour_on_lord_howe() {
    check_year("Australia/Lord_Howe", "2024-01-01T00:00:00Z", 2);
}

#[test]
fn a_year_with_a_lost_day_in_apia() {
    check_year("Pacific/Apia", "2011-02-01T00:00:00Z", 3);
}

#[test]
fn a_year_of_ramadan_in_casablanca() {
    check_year("Africa/Casablanca", "2024-01-01T00:00:00Z", 2);
}

#[test]
fn a_year_of_two_hours_at_troll() {
    check_year("Antarctica/Troll", "2024-01-01T00:00:00Z", 2);
}
