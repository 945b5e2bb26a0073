//! Jobs: what is run, and how.

use std::{collections::BTreeMap, sync::Arc};

use minicbor::{Decode, Encode};

use crate::{
    codec::Payload,
    id::{JobKey, Millis, ProcessorName, Revision, Timestamp},
    limits,
    schedule::Triggers,
};

/// Labels, sorted.
pub type Labels = BTreeMap<String, String>;

/// A definition.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Job {
    /// Which one.
    #[n(0)]
    pub key: JobKey,
    /// What is run, and how.
    #[cbor(n(1), with = "crate::codec::shared")]
    pub spec: Arc<JobSpec>,
    /// Changes with every update: the revision of the last one.
    #[n(2)]
    pub etag: Revision,
    /// Why its runs are held back; none if they are not.
    #[n(3)]
    pub pause: Option<Pause>,
    /// When it was created.
    #[n(4)]
    pub create_time: Timestamp,
    /// When it was last changed.
    #[n(5)]
    pub update_time: Timestamp,
}

/// That a job is paused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pause {
    /// Why, in the words of whoever did it.
    #[n(0)]
    pub note: String,
    /// Since when.
    #[n(1)]
    pub time: Timestamp,
}

impl Pause {
    /// A pause that begins now, or the one that is under way with another note.
    pub(crate) fn again(former: Option<&Self>, note: &str, now: Timestamp) -> Self {
        Self { note: note.to_owned(), time: former.map_or(now, |pause| pause.time) }
    }
}

/// What is run, and how. Checked when it came in.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct JobSpec {
    /// How an attempt is made; runs keep the plan that they were made with.
    #[cbor(n(0), with = "crate::codec::shared")]
    pub plan: Arc<Plan>,
    /// The input of a run that brings none.
    #[n(1)]
    pub payload: Option<Payload>,
    /// How long a run may take, waiting included.
    #[n(2)]
    pub run_timeout: Option<Millis>,
    /// How many runs may hold a worker at a time.
    #[n(3)]
    pub max_running: Option<u32>,
    /// Which runs go first: higher first.
    #[n(4)]
    pub priority: i32,
    /// Labels of the job and of each of its runs, which share them unless they have more.
    #[cbor(n(5), with = "crate::codec::shared")]
    pub labels: Arc<Labels>,
    /// What it is for.
    #[n(6)]
    pub description: String,
    /// How it starts by itself.
    #[cbor(n(7), default)]
    pub triggers: Triggers,
}

/// How an attempt is made, and what follows when it fails.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Plan {
    /// What a worker must offer.
    #[n(0)]
    pub processor: ProcessorName,
    /// What happens when an attempt fails.
    #[n(1)]
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    #[n(2)]
    pub attempt_timeout: Option<Millis>,
    /// What a lost worker means.
    #[n(3)]
    pub lost_worker: LostWorker,
}

/// What a worker that is lost in the middle of an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LostWorker {
    /// Another attempt, at once; such attempts do not count towards the retry policy, but
    /// [`limits::LOST_ATTEMPTS_MAX`] of them fail the run.
    #[n(0)]
    Retry,
    /// The run fails.
    #[n(1)]
    Fail,
}

/// What happens when an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct RetryPolicy {
    /// How many attempts a run may have, from 1 on.
    #[n(0)]
    pub max_attempts: u32,
    /// The wait before the second attempt.
    #[n(1)]
    pub initial_backoff: Millis,
    /// By what the wait grows with each attempt, from 1 on.
    #[n(2)]
    pub multiplier: f64,
    /// The longest wait.
    #[n(3)]
    pub max_backoff: Millis,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            initial_backoff: limits::BACKOFF_INITIAL_DEFAULT,
            multiplier: 2.0,
            max_backoff: limits::BACKOFF_MAX_DEFAULT,
        }
    }
}

impl RetryPolicy {
    /// The wait after `failed` failed attempts: `initial_backoff * multiplier^(failed - 1)`, at most `max_backoff`.
    pub fn backoff(&self, failed: u32) -> Millis {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        #[expect(clippy::cast_precision_loss, reason = "bounded by a week in milliseconds")]
        let wait = self.initial_backoff.0 as f64 * self.multiplier.powi(exponent);
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the next line bounds it")]
        Millis((wait as i64).clamp(0, self.max_backoff.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_bound_and_never_overflows() {
        let policy = RetryPolicy { max_attempts: 100, max_backoff: Millis(5000), ..RetryPolicy::default() };
        let waits: Vec<i64> = [1, 2, 3, 4, 100, u32::MAX].map(|failed| policy.backoff(failed).0).to_vec();
        assert_eq!(waits, [1000, 2000, 4000, 5000, 5000, 5000]);
    }

    fn waits(initial: i64, multiplier: f64, max: i64) -> [i64; 4] {
        let policy =
            RetryPolicy { max_attempts: 100, initial_backoff: Millis(initial), multiplier, max_backoff: Millis(max) };
        [1, 2, 3, 10].map(|failed| policy.backoff(failed).0)
    }

    #[test]
    fn each_policy_waits_as_it_says() {
        assert_eq!(waits(100, 1.0, 5000), [100, 100, 100, 100], "evenly");
        assert_eq!(waits(100, 1.5, 5000), [100, 150, 225, 3844], "cut to whole milliseconds");
        assert_eq!(waits(100, 10.0, 5000), [100, 1000, 5000, 5000]);
        assert_eq!(waits(0, 2.0, 5000), [0, 0, 0, 0], "at once");
        assert_eq!(waits(9000, 2.0, 5000), [5000; 4], "the bound holds for the first wait too");
        assert_eq!(waits(100, 2.0, 0), [0; 4]);
    }

    #[test]
    fn no_multiplier_makes_a_wait_that_is_none() {
        for multiplier in [f64::MAX, f64::INFINITY, f64::NAN, f64::MIN, 0.0, -1.0] {
            for wait in waits(1000, multiplier, 5000).into_iter().chain(waits(0, multiplier, 5000)) {
                assert!((0..=5000).contains(&wait), "{multiplier}: {wait}");
            }
        }
    }

    #[test]
    fn the_wait_before_the_first_failure_is_that_after_it() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(0), policy.backoff(1));
    }
}
