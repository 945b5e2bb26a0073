//! What a trigger says, as it is kept: when, in which zone, and what happens to a fire that cannot be as it was meant.
//! Only data; [`super::Schedule`] says when that is.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::{
    codec::Payload,
    id::{JobName, Millis, Timestamp, TriggerName},
    job::Labels,
    run::Outcome,
};

/// One way in which a job starts by itself. A job may have several; each has a name that is unique within the job.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TriggerSpec {
    /// When it fires.
    #[n(0)]
    pub when: When,
    /// The IANA name of the zone whose clocks `when` and `exclude` are read on; `UTC` by default.
    #[n(1)]
    pub zone: String,
    /// What becomes of a time of the day that a clock leaves out when it is put forward.
    #[n(2)]
    pub gap: Gap,
    /// What becomes of a time of the day that a clock shows twice when it is put back.
    #[n(3)]
    pub fold: Fold,
    /// When it does not fire, whatever `when` says.
    #[n(4)]
    pub exclude: Vec<Exclusion>,
    /// Not before this time.
    #[n(5)]
    pub start_time: Option<Timestamp>,
    /// Not at this time or later.
    #[n(6)]
    pub end_time: Option<Timestamp>,
    /// How often it fires at most; none for without end.
    #[n(7)]
    pub max_fires: Option<u64>,
    /// By how much a fire comes later at most. How much it is hangs on the names of app, job and trigger alone, so it is
    /// the same for each fire: many jobs of one cron expression spread, and each keeps its rhythm.
    #[n(8)]
    pub jitter: Millis,
    /// What happens to a fire while a run of an earlier one is not finished.
    #[n(9)]
    pub overlap: Overlap,
    /// What happens to fires whose time passed while nobody could fire them.
    #[n(10)]
    pub misfire: Misfire,
    /// How late a fire may come and still count as in time or be caught up; what is later is missed.
    #[n(11)]
    pub catch_up: Millis,
    /// After how many failures in a row it pauses itself; none for never.
    #[n(12)]
    pub pause_after_failures: Option<u32>,
    /// The input of its runs; none for that of the job.
    #[n(13)]
    pub payload: Option<Payload>,
    /// Labels of its runs, over those of the job.
    #[n(14)]
    pub labels: Labels,
}

/// The triggers of a job, by name.
pub type Triggers = BTreeMap<TriggerName, TriggerSpec>;

/// When a trigger fires.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum When {
    /// At the times that an expression names: 5 fields, 6 with seconds before them, 7 with years behind them, or one of
    /// `@yearly @annually @monthly @weekly @daily @midnight @hourly`; with `L`, `W` and `#`. If days of the month and days of
    /// the week are both named and neither begins with `*` or `?`, one of them is enough. The head of `cron/mod.rs` has the
    /// rules.
    #[n(1)]
    Cron {
        /// The expression.
        #[n(0)]
        expression: String,
    },
    /// In even steps, counted from `start_time`, which is the first of them, or from when the trigger was made.
    #[n(2)]
    Rate {
        /// From one to the next, at least 100 ms.
        #[n(0)]
        period: Millis,
    },
    /// So long after the end of the run that it made last.
    #[n(3)]
    Delay {
        /// From the end to the next start.
        #[n(0)]
        delay: Millis,
    },
    /// In even steps within a window of the day: at `from`, and so on until `to` at the latest. Steps are counted in time
    /// that passes, from where the window begins on that day; [`Gap`] and [`Fold`] say where it begins and ends when the
    /// clock leaves that time out or shows it twice.
    #[n(4)]
    Daily {
        /// The first time of the day.
        #[n(0)]
        from: TimeOfDay,
        /// The last one, inclusive. Earlier than `from` means on the next day.
        #[n(1)]
        to: TimeOfDay,
        /// From one to the next, at least 1 s.
        #[n(2)]
        every: Millis,
        /// On which days windows begin.
        #[n(3)]
        days: Weekdays,
    },
    /// At these times, in order, each once. One of them is "once".
    #[n(5)]
    Times {
        /// The times.
        #[n(0)]
        times: Vec<Timestamp>,
    },
    /// When a run of another job of the app ends.
    #[n(6)]
    After {
        /// That job.
        #[n(0)]
        job: JobName,
        /// How it must have ended.
        #[n(1)]
        outcomes: Vec<Outcome>,
    },
}

/// A time of the day: seconds since midnight as the clock shows them, 0 to 86399.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct TimeOfDay(#[n(0)] pub u32);

/// Days of the week: bit 0 is Monday, bit 6 Sunday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Weekdays(#[n(0)] pub u8);

impl Weekdays {
    /// Each day.
    pub const ALL: Self = Self(0x7f);
}

/// A day of the calendar, of the Gregorian one as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Date {
    /// The year, 1 to 9999.
    #[n(0)]
    pub year: i16,
    /// 1 to 12.
    #[n(1)]
    pub month: u8,
    /// 1 to 31.
    #[n(2)]
    pub day: u8,
}

/// When a trigger does not fire. It is about the moment at which a fire would come, so one that is made up after a gap is
/// judged by the time that it has come to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Exclusion {
    /// On these days, by the clock of the trigger's zone.
    #[n(1)]
    Dates {
        /// The days.
        #[n(0)]
        dates: Vec<Date>,
    },
    /// On these days of each year.
    #[n(2)]
    Yearly {
        /// Month and day.
        #[n(0)]
        days: Vec<(u8, u8)>,
    },
    /// On these days of the week.
    #[n(3)]
    Weekdays {
        /// The days.
        #[n(0)]
        days: Weekdays,
    },
    /// From one day to another, both inclusive.
    #[n(4)]
    Days {
        /// The first.
        #[n(0)]
        from: Date,
        /// The last.
        #[n(1)]
        to: Date,
    },
    /// From one moment up to another, that one not included.
    #[n(5)]
    Range {
        /// The first moment.
        #[n(0)]
        from: Timestamp,
        /// The first moment after it.
        #[n(1)]
        to: Timestamp,
    },
    /// Each day between two times by the clock, the first inclusive and the second not; over midnight if it is earlier.
    #[n(6)]
    Hours {
        /// The first time.
        #[n(0)]
        from: TimeOfDay,
        /// The first time after it.
        #[n(1)]
        to: TimeOfDay,
    },
}

/// What becomes of a time of the day that a clock leaves out. Not for expressions that name every hour (`*`, `*/1`, `0-23`),
/// nor for rates: these go by time that passes, and have nothing to make up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Gap {
    /// It fires at the first moment after the gap, once, however many times lay within.
    #[default]
    #[n(0)]
    After,
    /// It does not fire on that day.
    #[n(1)]
    Skip,
}

/// What becomes of a time of the day that a clock shows twice. Not for expressions that name every hour (`*`, `*/1`, `0-23`),
/// nor for rates: these go by time that passes, and fire in both hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Fold {
    /// It fires at the first of the two.
    #[default]
    #[n(0)]
    First,
    /// It fires at the second of the two.
    #[n(1)]
    Second,
    /// It fires at both.
    #[n(2)]
    Both,
    /// It fires at neither.
    #[n(3)]
    Skip,
}

/// What happens to a fire while runs of earlier fires of the same trigger are not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Overlap {
    /// It makes no run, and counts as skipped.
    #[default]
    #[n(0)]
    Skip,
    /// It waits for them to end. A single fire may wait: of several the first, the others are dropped from the buffer.
    #[n(1)]
    BufferOne,
    /// It waits for them to end, and so do all others, one behind the other.
    #[n(2)]
    BufferAll {
        /// How many may wait; those beyond are dropped, and counted.
        #[n(0)]
        max: u32,
    },
    /// It asks the others to stop and makes its run once they have.
    #[n(3)]
    CancelOther,
    /// It makes its run beside them.
    #[n(4)]
    Parallel {
        /// How many may be unfinished at a time; beyond that it is skipped.
        #[n(0)]
        max: u32,
    },
}

/// What happens to fires whose time passed while nobody could fire them: the server was down, or the clock was put forward.
/// Times that pass while a trigger is paused are missed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Misfire {
    /// Of those within `catch_up` the last one fires, now; the others are missed.
    #[default]
    #[n(0)]
    FireOnce,
    /// They are missed.
    #[n(1)]
    Skip,
    /// All of those within `catch_up` fire, in order.
    #[n(2)]
    FireAll,
}
