//! Days of the proleptic Gregorian calendar as numbers, and moments as a clock on the wall shows them. Knows no zone.

use super::Date;

/// Seconds of a day by the clock. Days on which clocks are moved have them too; some are left out then, or come twice.
pub(super) const DAY_SECS: i64 = 86_400;

/// The number of a day: 0 is 1970-01-01. Months beyond 12 and days beyond the month's last run over into what follows.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`: years begin in March, so that the day
/// that comes and goes is the last one.
pub(super) fn day_number(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of the day with this number. The other way round than [`day_number`]: `civil_from_days`.
pub(super) fn year_month_day(number: i64) -> (i64, u8, u8) {
    let number = number + 719_468;
    let era = number.div_euclid(146_097);
    let day_of_era = number.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, small(month), small(day))
}

/// The day of the week: 0 is Monday, 6 is Sunday.
pub(super) fn weekday(number: i64) -> u8 {
    // 1970-01-01 was a Thursday.
    small((number + 3).rem_euclid(7))
}

/// How many days the month has.
pub(super) fn month_length(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// Whether the calendar has this day.
    pub(super) fn exists(self) -> bool {
        (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=month_length(i64::from(self.year), self.month)).contains(&self.day)
    }

    /// The number of this day.
    pub(super) fn number(self) -> i64 {
        day_number(i64::from(self.year), self.month, self.day)
    }
}

fn small(number: i64) -> u8 {
    u8::try_from(number).expect("parts of a date are small")
}

#[cfg(test)]
mod tests {
    use jiff::civil;

    use super::*;

    #[test]
    fn days_are_those_of_another_calendar() {
        let epoch = civil::date(1970, 1, 1);
        let days = epoch.series(jiff::Span::new().days(1)).take_while(|date| date.year() < 2201);
        for (number, date) in (0..).zip(days) {
            let month = u8::try_from(date.month()).unwrap();
            let day = u8::try_from(date.day()).unwrap();
            let year = i64::from(date.year());
            assert_eq!(year_month_day(number), (year, month, day));
            assert_eq!(day_number(year, month, day), number, "{date}");
            assert_eq!(i8::try_from(weekday(number)).unwrap(), date.weekday().to_monday_zero_offset(), "{date}");
            assert_eq!(i8::try_from(month_length(year, month)).unwrap(), date.days_in_month(), "{date}");
        }
    }

    #[test]
    fn days_before_the_epoch_count_down() {
        assert_eq!(day_number(1969, 12, 31), -1);
        assert_eq!(year_month_day(-1), (1969, 12, 31));
        assert_eq!(year_month_day(day_number(1, 1, 1)), (1, 1, 1));
        assert_eq!(weekday(-1), 2);
    }

    #[test]
    fn only_days_of_the_calendar_exist() {
        let exists = |year, month, day| Date { year, month, day }.exists();
        assert!(exists(2024, 2, 29) && exists(2000, 2, 29) && exists(1, 1, 1) && exists(9999, 12, 31));
        assert!(!exists(2023, 2, 29) && !exists(1900, 2, 29) && !exists(2023, 4, 31));
        assert!(!exists(0, 1, 1) && !exists(2023, 0, 1) && !exists(2023, 13, 1) && !exists(2023, 1, 0));
    }
}
