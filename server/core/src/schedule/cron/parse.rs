//! Reads an expression, and says of what it cannot read where it is and what to write instead.

use super::{Cron, Rare, Years, days::MovingDays};
use crate::schedule::limits::{CRON_BYTES_MAX, YEAR_MAX, YEAR_MIN};

/// What is wrong at a byte of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::schedule) struct Problem {
    /// Bytes from the beginning.
    pub(in crate::schedule) offset: usize,
    /// What to do about it.
    pub(in crate::schedule) problem: String,
}

/// A field: its values, their names, and what else may stand there.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// The names of the values from `min` on.
    names: &'static [&'static str],
    /// Whether a range may run over the end.
    wraps: bool,
}

const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[], wraps: true };
const MINUTE: Field = Field { name: "minute", ..SECOND };
const HOUR: Field = Field { name: "hour", max: 23, ..SECOND };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[], wraps: false };
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    wraps: true,
};
const WEEKDAY: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    wraps: true,
};
const YEAR: Field = Field {
    name: "year",
    min: YEAR_MIN.unsigned_abs() as u32,
    max: YEAR_MAX.unsigned_abs() as u32,
    names: &[],
    wraps: false,
};

/// A piece of the expression, in capitals, and where it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Piece<'a> {
    fn wrong(self, problem: impl Into<String>) -> Problem {
        Problem { offset: self.offset, problem: problem.into() }
    }

    /// What stands between the marks.
    fn split(self, marks: &'static [char]) -> impl Iterator<Item = Piece<'a>> {
        let start = self.text.as_ptr().addr();
        self.text.split(marks).map(move |text| Piece { text, offset: self.offset + text.as_ptr().addr() - start })
    }

    /// What stands before and after the first mark.
    fn split_once(self, mark: char) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(mark)?;
        Some((
            Piece { text: before, offset: self.offset },
            Piece { text: after, offset: self.offset + before.len() + mark.len_utf8() },
        ))
    }

    fn strip_suffix(self, suffix: &str) -> Option<Self> {
        self.text.strip_suffix(suffix).map(|text| Piece { text, offset: self.offset })
    }

    fn strip_prefix(self, prefix: &str) -> Option<Self> {
        self.text.strip_prefix(prefix).map(|text| Piece { text, offset: self.offset + prefix.len() })
    }
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// Of each field that cannot be read the first thing that is wrong.
    pub(in crate::schedule) fn parse(expression: &str) -> Result<Self, Vec<Problem>> {
        let whole = Piece { text: expression, offset: 0 };
        if expression.len() > CRON_BYTES_MAX {
            return Err(vec![whole.wrong(format!("an expression may have {CRON_BYTES_MAX} bytes at most"))]);
        }
        let capitals = expression.to_ascii_uppercase();
        let pieces: Vec<Piece> =
            Piece { text: &capitals, offset: 0 }.split(&[' ', '\t']).filter(|p| !p.text.is_empty()).collect();
        if let [name] = pieces[..]
            && name.text.starts_with('@')
        {
            return Self::parse(nickname(name).map_err(|problem| vec![problem])?);
        }
        let zero = Piece { text: "0", offset: 0 };
        let every = Piece { text: "*", offset: 0 };
        let fields: [Piece; 7] = match pieces[..] {
            [minute, hour, day, month, weekday] => [zero, minute, hour, day, month, weekday, every],
            [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday, every],
            [second, minute, hour, day, month, weekday, year] => [second, minute, hour, day, month, weekday, year],
            _ => return Err(vec![whole.wrong(count_problem(pieces.len()))]),
        };
        read_fields(fields)
    }
}

fn count_problem(count: usize) -> String {
    format!(
        "has {count} fields: write 5 (minute, hour, day of month, month, day of week), 6 (second before them) or 7 (year \
         behind them)"
    )
}

fn nickname(name: Piece) -> Result<&'static str, Problem> {
    match name.text {
        "@YEARLY" | "@ANNUALLY" => Ok("0 0 1 1 *"),
        "@MONTHLY" => Ok("0 0 1 * *"),
        "@WEEKLY" => Ok("0 0 * * 0"),
        "@DAILY" | "@MIDNIGHT" => Ok("0 0 * * *"),
        "@HOURLY" => Ok("0 * * * *"),
        _ => Err(name.wrong(
            "is no known name: write @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly, and for even steps \
             a rate",
        )),
    }
}

fn read_fields([second, minute, hour, day, month, weekday, year]: [Piece; 7]) -> Result<Cron, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut note = |result: Result<(), Problem>| problems.extend(result.err());
    let (mut seconds, mut minutes, mut hours, mut months) = (0, 0, 0, 0);
    note(SECOND.read(second, &mut |value| seconds |= 1_u64 << value));
    note(MINUTE.read(minute, &mut |value| minutes |= 1_u64 << value));
    note(HOUR.read(hour, &mut |value| hours |= 1_u32 << value));
    let mut moving = MovingDays::default();
    let (mut month_days, mut weekdays) = (0, 0);
    note(read_days(day, &mut month_days, &mut moving));
    note(MONTH.read(month, &mut |value| months |= 1_u16 << value));
    note(read_weekdays(weekday, &mut weekdays, &mut moving));
    let mut years = Years::default();
    note(YEAR.read(year, &mut |value| years.insert(value)));
    if !problems.is_empty() {
        return Err(problems);
    }
    let plain = moving == MovingDays::default() && year.text == "*";
    let free = |field: Piece| field.text.starts_with(['*', '?']);
    Ok(Cron {
        seconds,
        minutes,
        hours,
        month_days,
        months,
        weekdays,
        both: free(day) || free(weekday),
        rare: (!plain).then(|| Box::new(Rare { moving, years })),
    })
}

impl Field {
    /// Reads a list, and hands each value over.
    fn read(&self, piece: Piece, insert: &mut dyn FnMut(u32)) -> Result<(), Problem> {
        piece.split(&[',']).try_for_each(|item| self.read_item(item, insert))
    }

    fn read_item(&self, item: Piece, insert: &mut dyn FnMut(u32)) -> Result<(), Problem> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (from, to) = if range.text == "*" {
            // Sunday is there once.
            (self.min, self.max - u32::from(self.max == 7))
        } else if let Some((from, to)) = range.split_once('-') {
            (self.value(from)?, self.value(to)?)
        } else {
            let from = self.value(range)?;
            (from, if step.is_some() { self.max.max(from) } else { from })
        };
        if from <= to {
            (from..=to).step_by(step.unwrap_or(1)).for_each(insert);
            return Ok(());
        }
        if !self.wraps {
            return Err(range.wrong(format!("a range in {} must not end before it begins", self.name)));
        }
        let count = self.max + u32::from(self.max != 7) - self.min;
        let over = (from..=to + count).step_by(step.unwrap_or(1));
        over.for_each(|value| insert(self.min + (value - self.min) % count));
        Ok(())
    }

    fn value(&self, piece: Piece) -> Result<u32, Problem> {
        if let Some(index) = self.names.iter().position(|name| *name == piece.text) {
            return Ok(self.min + u32::try_from(index).expect("there are twelve"));
        }
        match number(piece) {
            Some(value) if (self.min..=self.max).contains(&value) => Ok(value),
            _ => Err(piece.wrong(self.value_problem(piece))),
        }
    }

    fn value_problem(&self, piece: Piece) -> String {
        let Self { name, min, max, names, .. } = self;
        if piece.text == "?" {
            return "? stands for days only: write *".to_owned();
        }
        match names {
            [first, .., last] => format!("{name} must be {min} to {max} or {first} to {last}"),
            _ => format!("{name} must be {min} to {max}"),
        }
    }

    fn step(&self, piece: Piece) -> Result<usize, Problem> {
        let max = self.max - self.min;
        match number(piece) {
            Some(step) if (1..=max).contains(&step) => Ok(step as usize),
            _ => Err(piece.wrong(format!("a step in {} must be 1 to {max}; for longer ones write a rate", self.name))),
        }
    }
}

fn number(piece: Piece) -> Option<u32> {
    let digits =
        !piece.text.is_empty() && piece.text.len() <= 4 && piece.text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| piece.text.parse().ok()).flatten()
}

fn read_days(field: Piece, month_days: &mut u32, moving: &mut MovingDays) -> Result<(), Problem> {
    if field.text == "?" {
        *month_days = !1;
        return Ok(());
    }
    field.split(&[',']).try_for_each(|item| {
        if item.text == "L" {
            moving.from_last |= 1;
        } else if item.text == "LW" {
            moving.last_weekday = true;
        } else if let Some(before) = item.strip_prefix("L-") {
            let before = number(before)
                .filter(|before| *before <= 30)
                .ok_or_else(|| before.wrong("write L-0 to L-30 for a day before the last"))?;
            moving.from_last |= 1 << before;
        } else if let Some(day) = item.strip_suffix("W") {
            moving.nearest |= 1 << DAY.value(day)?;
        } else {
            DAY.read_item(item, &mut |value| *month_days |= 1 << value)?;
        }
        Ok(())
    })
}

fn read_weekdays(field: Piece, weekdays: &mut u8, moving: &mut MovingDays) -> Result<(), Problem> {
    if field.text == "?" {
        *weekdays = 0x7f;
        return Ok(());
    }
    // From 0 for Sunday to 0 for Monday.
    let bit = |value: u32| (value + 6) % 7;
    field.split(&[',']).try_for_each(|item| {
        if item.text == "L" {
            return Err(item.wrong("write FRIL for the last Friday of a month, or SAT for the last day of a week"));
        } else if let Some(day) = item.strip_suffix("L") {
            moving.last_of_week |= 1 << bit(WEEKDAY.value(day)?);
        } else if let Some((day, nth)) = item.split_once('#') {
            let day = bit(WEEKDAY.value(day)?);
            let nth = number(nth)
                .filter(|nth| (1..=5).contains(nth))
                .ok_or_else(|| nth.wrong("a day of week comes 1 to 5 times a month"))?;
            moving.nth[day as usize] |= 1 << nth;
        } else {
            WEEKDAY.read_item(item, &mut |value| *weekdays |= 1 << bit(value))?;
        }
        Ok(())
    })
}
