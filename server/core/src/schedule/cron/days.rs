//! Which days of a month an expression names.

use super::{super::calendar, Cron};

/// Days that are not the same in each month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MovingDays {
    /// `L` and `L-n`: bit n is n days before the last one.
    pub(super) from_last: u32,
    /// `nW`: bit n is the weekday nearest to day n.
    pub(super) nearest: u32,
    /// `LW`.
    pub(super) last_weekday: bool,
    /// `x#n`: bit n of an entry is the nth of that day of the week; entry 0 is Monday.
    pub(super) nth: [u8; 7],
    /// `xL`: bit 0 is the last Monday.
    pub(super) last_of_week: u8,
}

impl Cron {
    /// The days that are named in this month: bit n is day n.
    pub(super) fn days_of(&self, year: i64, month: u8) -> u32 {
        let shape = Shape::new(year, month);
        let mut month_days = self.month_days;
        let mut weekdays = shape.week(self.weekdays);
        if let Some(rare) = &self.rare {
            month_days |= rare.moving.of_month(shape);
            weekdays |= rare.moving.of_week(shape);
        }
        shape.days() & if self.both { month_days & weekdays } else { month_days | weekdays }
    }
}

/// On which day of the week a month begins, 0 for Monday, and how many days it has.
#[derive(Clone, Copy)]
struct Shape {
    begins_on: u8,
    length: u8,
}

impl Shape {
    fn new(year: i64, month: u8) -> Self {
        let first = calendar::day_number(year, month, 1);
        Self { begins_on: calendar::weekday(first), length: calendar::month_length(year, month) }
    }

    /// All days.
    fn days(self) -> u32 {
        u32::MAX >> (31 - self.length) & !1
    }

    /// All days that fall on these days of the week.
    fn week(self, days: u8) -> u32 {
        let days = u32::from(days);
        let first_week = (days >> self.begins_on | days << (7 - self.begins_on)) & 0x7f;
        (first_week | first_week << 7 | first_week << 14 | first_week << 21 | first_week << 28) << 1
    }

    /// The first day that falls on this day of the week.
    fn first(self, weekday: u8) -> u8 {
        (weekday + 7 - self.begins_on) % 7 + 1
    }

    /// The last day that falls on this day of the week.
    fn last(self, weekday: u8) -> u8 {
        let first = self.first(weekday);
        first + (self.length - first) / 7 * 7
    }

    /// The day from Monday to Friday that is nearest to this one, within the month.
    fn nearest_weekday(self, day: u8) -> u8 {
        match (self.begins_on + day - 1) % 7 {
            5 if day == 1 => day + 2,
            5 => day - 1,
            6 if day == self.length => day - 2,
            6 => day + 1,
            _ => day,
        }
    }
}

impl MovingDays {
    fn of_month(&self, shape: Shape) -> u32 {
        let mut days = 0;
        for before in (0..shape.length).filter(|before| self.from_last >> before & 1 == 1) {
            days |= 1 << (shape.length - before);
        }
        for day in (1..=shape.length).filter(|day| self.nearest >> day & 1 == 1) {
            days |= 1 << shape.nearest_weekday(day);
        }
        if self.last_weekday {
            days |= 1 << shape.nearest_weekday(shape.length);
        }
        days
    }

    fn of_week(&self, shape: Shape) -> u32 {
        let mut days: u32 = 0;
        for (weekday, nth) in (0..7).zip(self.nth) {
            for number in (1..=5).filter(|number| nth >> number & 1 == 1) {
                // The fifth may be beyond the month; it is cut off with all such days.
                days |= 1_u32.checked_shl(u32::from(shape.first(weekday) + 7 * (number - 1))).unwrap_or(0);
            }
            if self.last_of_week >> weekday & 1 == 1 {
                days |= 1 << shape.last(weekday);
            }
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_the_shape_of_the_calendar() {
        // 2024-02 begins on a Thursday and has 29 days.
        let shape = Shape::new(2024, 2);
        assert_eq!((shape.begins_on, shape.length, shape.days()), (3, 29, 0x3fff_fffe));
        assert_eq!((shape.first(0), shape.first(3), shape.last(3), shape.last(4)), (5, 1, 29, 23));
        assert_eq!(shape.week(1) & shape.days(), 1 << 5 | 1 << 12 | 1 << 19 | 1 << 26);
    }

    #[test]
    fn the_nearest_weekday_stays_within_the_month() {
        // 2025-02 begins on a Saturday; 2025-08 ends on a Sunday.
        assert_eq!(Shape::new(2025, 2).nearest_weekday(1), 3);
        assert_eq!(Shape::new(2025, 8).nearest_weekday(31), 29);
        assert_eq!((Shape::new(2025, 2).nearest_weekday(15), Shape::new(2025, 2).nearest_weekday(16)), (14, 17));
        assert_eq!(Shape::new(2025, 2).nearest_weekday(14), 14);
    }
}
