//! Every bound of the domain, with its reason. Those that an operator may set are defaults here.

use crate::id::Millis;

/// App names stand in keys on disk and in every log line.
pub const APP_NAME_BYTES_MAX: usize = 128;
/// Job names stand in keys on disk.
pub const JOB_NAME_BYTES_MAX: usize = 128;
/// Trigger names stand in keys on disk, together with app and job.
pub const TRIGGER_NAME_BYTES_MAX: usize = 64;
/// Triggers of one job: they are a part of its definition, which is written and answered whole.
pub const TRIGGERS_MAX: usize = 100;
/// Fires that may wait for the runs of earlier ones.
pub const BUFFER_MAX: u32 = 1000;
/// Fires that may wait if nothing is said.
pub const BUFFER_DEFAULT: u32 = 100;
/// Runs of one trigger that may be unfinished at a time.
pub const PARALLEL_MAX: u32 = 1000;
/// A fire that comes no later than this is in time, whatever made it late: a busy server is no outage. What is later falls
/// under the misfire rule.
pub const MISFIRE_AFTER: Millis = Millis::from_secs(5);
/// How late a fire may be caught up if nothing is said: a nightly run survives an outage of the night.
pub const CATCH_UP_DEFAULT: Millis = Millis::from_secs(24 * 3600);
/// Times of a trigger that one command settles without a run: a year of a fast rate is settled in slices, and callers come
/// in between.
pub const SETTLE_SLICE: u64 = 10_000;
/// Fires of one step of the engine; those beyond it come with the next one, at once.
pub const STEP_FIRES_MAX: usize = 1000;
/// Ends of runs that a trigger remembers one by one until it has fired for them; what comes beyond it while the trigger is
/// held up counts under the last of them.
pub const DUE_KEPT_MAX: usize = 1000;
/// Fires of which a trigger keeps the story.
pub const FIRES_KEPT_MAX: usize = 10;
/// Scheduled times of one backfill.
pub const BACKFILL_TIMES_MAX: u64 = 10_000;
/// Failures in a row after which a trigger may be told to pause itself.
pub const PAUSE_AFTER_MAX: u32 = 1_000_000;
/// Processor names are compared for every assignment.
pub const PROCESSOR_NAME_BYTES_MAX: usize = 128;
/// Descriptions, notes and reasons are for people.
pub const NOTE_CHARS_MAX: usize = 1024;
/// Errors that a worker reports; the rest belongs into the log.
pub const ERROR_CHARS_MAX: usize = 4096;
/// Labels are held in memory with every live run.
pub const LABELS_MAX: usize = 32;
/// Label keys.
pub const LABEL_KEY_CHARS_MAX: usize = 63;
/// Label values.
pub const LABEL_VALUE_CHARS_MAX: usize = 255;
/// Content types, as RFC 4288 has it for each half of the name, cut to one byte of length.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Business keys stand in keys on disk, together with app and job, and a key there has 511 bytes.
pub const UNIQUE_KEY_BYTES_MAX: usize = 255;
/// How long a business key may be held.
pub const UNIQUE_HOLD_MAX: Millis = Millis::from_secs(30 * 24 * 3600);
/// How far ahead a start time may lie.
pub const START_AHEAD_MAX: Millis = Millis::from_secs(366 * 24 * 3600);
/// How long one attempt may take at most.
pub const ATTEMPT_TIMEOUT_MAX: Millis = Millis::from_secs(30 * 24 * 3600);
/// How long one attempt may take at least: below, the way to the worker is most of it.
pub const ATTEMPT_TIMEOUT_MIN: Millis = Millis::from_secs(1);
/// How long a run may take at most.
pub const RUN_TIMEOUT_MAX: Millis = Millis::from_secs(366 * 24 * 3600);
/// Attempts that a retry policy may ask for.
pub const ATTEMPTS_MAX: u32 = 100;
/// Attempts of which a run keeps the story; older ones are dropped, their count is kept.
pub const ATTEMPTS_KEPT_MAX: usize = 100;
/// Workers that may be lost over one run before it counts as the cause and fails.
pub const LOST_ATTEMPTS_MAX: u32 = 10;
/// The longest wait between two attempts.
pub const BACKOFF_MAX: Millis = Millis::from_secs(7 * 24 * 3600);
/// The default wait before the second attempt.
pub const BACKOFF_INITIAL_DEFAULT: Millis = Millis::from_secs(1);
/// The default longest wait between two attempts.
pub const BACKOFF_MAX_DEFAULT: Millis = Millis::from_secs(600);
/// Runs of one job that may hold a worker at a time.
pub const RUNNING_MAX: u32 = 1_000_000;
/// Priorities go from minus this to this.
pub const PRIORITY_MAX: i32 = 100;
/// Grants of one app; they are looked through for each call.
pub const GRANTS_MAX: usize = 64;
/// How long a former secret may stay good.
pub const SECRET_GRACE_MAX: Millis = Millis::from_secs(7 * 24 * 3600);
/// How long a worker may take to let go of a cancelled attempt before the server ends the run without it.
pub const CANCEL_GRACE: Millis = Millis::from_secs(30);
/// Payloads and results.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// One piece of a log.
pub const LOG_CHUNK_BYTES_MAX: usize = 64 << 10;
/// The log of one run; what comes after is dropped, and the log says so.
pub const LOG_BYTES_MAX: u64 = 4 << 20;
/// Processors that one worker may offer.
pub const WORKER_PROCESSORS_MAX: usize = 256;
/// Attempts that one worker may hold.
pub const WORKER_SLOTS_MAX: u32 = 10_000;
/// Timers that one tick handles, so that a flood of them does not keep callers waiting.
pub const TICK_TIMERS_MAX: usize = 1000;
/// Runs of one app that may be unfinished: they are held in memory.
pub const LIVE_RUNS_PER_APP_MAX: u64 = 5_000_000;

/// The bounds that an operator may set, and what the store says.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unfinished runs of one app.
    pub live_runs_per_app_max: u64,
    /// See [`CANCEL_GRACE`].
    pub cancel_grace: Millis,
    /// See [`LOG_BYTES_MAX`].
    pub log_bytes_max: u64,
    /// New attempts have higher numbers than this. Restoring a backup raises it, so that no number is given out again
    /// that the lost server had given out after the backup was made: as fencing tokens they must only grow.
    pub attempt_floor: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            live_runs_per_app_max: LIVE_RUNS_PER_APP_MAX,
            cancel_grace: CANCEL_GRACE,
            log_bytes_max: LOG_BYTES_MAX,
            attempt_floor: 0,
        }
    }
}
/// The longest life of a token. A revoked one is remembered that long, and then ends by itself.
pub const TOKEN_LIFETIME_MAX: Millis = Millis::from_secs(24 * 3600);
