//! Expressions that are made up of known parts: as text, and as a question to a day or a time, asked the plain way.

use std::fmt;

use jiff::civil::Date;
use proptest::{prelude::*, sample::subsequence};

/// An item of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`, or `*/n`.
    Every(u32),
    /// `a-b/n`.
    Range(u32, u32, u32),
    /// `L-n` in days of the month.
    Last(u32),
    /// `nW`.
    Nearest(u32),
    /// `LW`.
    LastWeekday,
    /// `x#n` in days of the week.
    Nth(u32, u32),
    /// `xL`.
    LastOfWeek(u32),
}

/// An expression of seven fields, or of six without years.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// Second, minute, hour, day of month, month, day of week.
    pub(super) fields: [Vec<Item>; 6],
    /// Years, if it names some.
    pub(super) years: Option<Vec<Item>>,
}

const RANGES: [(u32, u32); 6] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];

impl Expression {
    /// Whether it names each hour of the day.
    pub(super) fn every_hour(&self) -> bool {
        (0..24).all(|hour| self.names(2, hour))
    }

    /// Whether it names this time of the day.
    pub(super) fn names_time(&self, hour: u32, minute: u32, second: u32) -> bool {
        self.names(0, second) && self.names(1, minute) && self.names(2, hour)
    }

    fn names(&self, field: usize, value: u32) -> bool {
        self.fields[field].iter().any(|item| item.names(value, RANGES[field]))
    }

    /// Whether it names this day.
    pub(super) fn names_day(&self, date: Date) -> bool {
        let year = u32::from(date.year().unsigned_abs());
        let of_year = self.years.as_ref().is_none_or(|items| items.iter().any(|item| item.names(year, (1970, 2199))));
        let of_month = self.fields[3].iter().any(|item| item.names_day(date));
        let of_week = self.fields[5].iter().any(|item| item.names_day_of_week(date));
        let free = |field: usize| matches!(self.fields[field].first(), Some(Item::Every(_)));
        let day = if free(3) || free(5) { of_month && of_week } else { of_month || of_week };
        of_year && self.names(4, u32::from(date.month().unsigned_abs())) && day
    }
}

impl Item {
    fn names(self, value: u32, (min, max): (u32, u32)) -> bool {
        let (from, to, step) = match self {
            Self::Every(step) => (min, max, step),
            Self::Range(from, to, step) => (from, to, step),
            _ => return false,
        };
        (from..=to).contains(&value) && (value - from).is_multiple_of(step)
    }

    fn names_day(self, date: Date) -> bool {
        let day = u32::from(date.day().unsigned_abs());
        let length = u32::from(date.days_in_month().unsigned_abs());
        match self {
            Self::Last(before) => day + before == length,
            Self::Nearest(near) => near <= length && nearest_weekday(date, near) == day,
            Self::LastWeekday => nearest_weekday(date, length) == day,
            _ => self.names(day, RANGES[3]),
        }
    }

    fn names_day_of_week(self, date: Date) -> bool {
        let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        let day = date.day();
        match self {
            Self::Nth(of_week, nth) => of_week == weekday && u32::from(day.unsigned_abs()).div_ceil(7) == nth,
            Self::LastOfWeek(of_week) => of_week == weekday && day + 7 > date.days_in_month(),
            _ => self.names(weekday, RANGES[5]),
        }
    }
}

/// Of all weekdays of the month the one that is nearest.
fn nearest_weekday(month: Date, day: u32) -> u32 {
    let weekdays = (1..=month.days_in_month()).filter(|day| {
        let date = Date::new(month.year(), month.month(), *day).unwrap();
        date.weekday().to_monday_zero_offset() < 5
    });
    weekdays.map(|day| u32::from(day.unsigned_abs())).min_by_key(|weekday| weekday.abs_diff(day)).unwrap()
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Every(1) => write!(f, "*"),
            Self::Every(step) => write!(f, "*/{step}"),
            Self::Range(from, to, _) if from == to => write!(f, "{from}"),
            Self::Range(from, to, 1) => write!(f, "{from}-{to}"),
            Self::Range(from, to, step) => write!(f, "{from}-{to}/{step}"),
            Self::Last(0) => write!(f, "L"),
            Self::Last(before) => write!(f, "L-{before}"),
            Self::Nearest(day) => write!(f, "{day}W"),
            Self::LastWeekday => write!(f, "LW"),
            Self::Nth(weekday, nth) => write!(f, "{weekday}#{nth}"),
            Self::LastOfWeek(weekday) => write!(f, "{weekday}L"),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().chain(&self.years).enumerate() {
            let items: Vec<String> = field.iter().map(Item::to_string).collect();
            write!(f, "{}{}", if index == 0 { "" } else { " " }, items.join(","))?;
        }
        Ok(())
    }
}

fn plain(min: u32, max: u32) -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => (min..=max).prop_map(|value| Item::Range(value, value, 1)),
        1 => (min..=max, min..=max, 1..=max - min).prop_map(|(a, b, step)| Item::Range(a.min(b), a.max(b), step)),
    ]
}

fn field(min: u32, max: u32) -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![
        2 => Just(vec![Item::Every(1)]),
        1 => (1..=max - min).prop_map(|step| vec![Item::Every(step)]),
        3 => prop::collection::vec(plain(min, max), 1..4),
    ]
}

fn days() -> impl Strategy<Value = Vec<Item>> {
    let moving = prop_oneof![
        (0..=30_u32).prop_map(Item::Last),
        (1..=31_u32).prop_map(Item::Nearest),
        Just(Item::LastWeekday),
        plain(1, 31),
    ];
    prop_oneof![3 => field(1, 31), 1 => prop::collection::vec(moving, 1..3)]
}

fn weekdays() -> impl Strategy<Value = Vec<Item>> {
    let moving = prop_oneof![
        (0..=6_u32, 1..=5_u32).prop_map(|(weekday, nth)| Item::Nth(weekday, nth)),
        (0..=6_u32).prop_map(Item::LastOfWeek),
        plain(0, 6),
    ];
    prop_oneof![3 => field(0, 6), 1 => prop::collection::vec(moving, 1..3)]
}

/// Any expression. Those whose second is 0 have `seconds` false.
pub(super) fn expressions(seconds: bool) -> impl Strategy<Value = Expression> {
    let second = if seconds { field(0, 59).boxed() } else { Just(vec![Item::Range(0, 0, 1)]).boxed() };
    let years = prop_oneof![4 => Just(None), 1 => prop::collection::vec(plain(1970, 2040), 1..3).prop_map(Some)];
    let fields = (second, field(0, 59), field(0, 23), days(), field(1, 12), weekdays());
    (fields, years).prop_map(|((a, b, c, d, e, f), years)| Expression { fields: [a, b, c, d, e, f], years })
}

/// An expression that names some times of each day.
pub(super) fn daily_expressions() -> impl Strategy<Value = Expression> {
    let every = || vec![Item::Every(1)];
    let values = |values: Vec<u32>| values.into_iter().map(|value| Item::Range(value, value, 1)).collect::<Vec<_>>();
    let hours = prop_oneof![
        3 => subsequence((0..24).collect::<Vec<u32>>(), 1..12).prop_map(values),
        1 => Just(every()),
    ];
    (field(0, 59), hours).prop_map(move |(minutes, hours)| Expression {
        fields: [vec![Item::Range(0, 0, 1)], minutes, hours, every(), every(), every()],
        years: None,
    })
}
