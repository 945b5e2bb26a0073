//! The bounds of what a trigger may say, each with its reason.

use crate::id::Millis;

/// The first year that expressions can name.
pub const YEAR_MIN: i16 = 1970;
/// The last year in which anything fires. Searches end there, so that one that finds nothing ends at all, and zones are
/// written out as far as that.
pub const YEAR_MAX: i16 = 2199;
/// A list of all seconds of a minute has 170 characters; an expression that is longer than this is a mistake.
pub const CRON_BYTES_MAX: usize = 512;
/// The longest name that IANA gave to a zone has 32 letters.
pub const ZONE_NAME_BYTES_MAX: usize = 64;
/// The shortest period of a rate: each fire is a run, and a run is two commits.
pub const PERIOD_MIN: Millis = Millis(100);
/// The longest period of a rate.
pub const PERIOD_MAX: Millis = Millis::from_secs(10 * 366 * 24 * 3600);
/// The longest delay after a run.
pub const DELAY_MAX: Millis = Millis::from_secs(366 * 24 * 3600);
/// The shortest step within a daily window.
pub const EVERY_MIN: Millis = Millis::from_secs(1);
/// The longest step within a daily window: beyond it there is but the window's first time.
pub const EVERY_MAX: Millis = Millis::from_secs(24 * 3600);
/// Times of a list. They are held in memory, and written with each change of the job.
pub const TIMES_MAX: usize = 1000;
/// Exclusions of one trigger.
pub const EXCLUSIONS_MAX: usize = 64;
/// Days in all exclusions of one trigger: ten years of a country's holidays and then some. They are held in memory.
pub const EXCLUDED_DAYS_MAX: usize = 1000;
/// Exclusions by hours of one trigger. Each may cut the day once more, and a search may stop at each cut.
pub const EXCLUDED_HOURS_MAX: usize = 24;
/// The widest spread of fires: a day.
pub const JITTER_MAX: Millis = Millis::from_secs(24 * 3600);
/// How late a fire may be caught up.
pub const CATCH_UP_MAX: Millis = Millis::from_secs(366 * 24 * 3600);
/// Fires that may wait for a run to end; each is kept.
pub const BUFFER_MAX: u32 = 1000;
/// Outcomes that a trigger may follow: as many as there are.
pub const OUTCOMES_MAX: usize = 8;
/// Fires in a row that may be found excluded before a search gives up, and the trigger counts as one that never fires again.
/// A stretch of excluded time is left in one jump, so an ordinary trigger needs a few; a daily one that is excluded each time
/// comes 27 years far.
pub const EXCLUDED_FIRES_MAX: u32 = 10_000;
