//! Ids of traces and spans: drawn at random for calls, and derived for what becomes of runs.

use std::sync::atomic::{AtomicU64, Ordering};

use semel_core::id::{AttemptNumber, RunId};
use sha2::{Digest as _, Sha256};

/// What SplitMix64 counts by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of ids. SplitMix64 from a seed that nobody knows: no lock and no call of the system for a span, and no id twice.
#[derive(Debug)]
pub(super) struct Ids(AtomicU64);

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn span(&self) -> [u8; 8] {
        self.draw().to_be_bytes()
    }

    pub(super) fn trace(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.span());
        id[8..].copy_from_slice(&self.span());
        id
    }

    /// Never zero, which is no id.
    fn draw(&self) -> u64 {
        loop {
            let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            if mixed != 0 {
                return mixed;
            }
        }
    }
}

/// The span of an attempt.
pub(super) fn of_attempt(run_id: RunId, number: AttemptNumber) -> [u8; 8] {
    span("attempt", run_id, number.0)
}

/// The span of the wait for an attempt.
pub(super) fn of_wait(run_id: RunId, number: AttemptNumber) -> [u8; 8] {
    span("wait", run_id, number.0)
}

/// The trace of a run that a trigger made, and the span of all of its life.
pub(super) fn of_run(run_id: RunId) -> ([u8; 16], [u8; 8]) {
    let mut trace_id = [0; 16];
    trace_id.copy_from_slice(&hash("trace", run_id, 0)[..16]);
    (trace_id, span("run", run_id, 0))
}

fn span(what: &str, run_id: RunId, number: u32) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&hash(what, run_id, number)[..8]);
    id
}

fn hash(what: &str, run_id: RunId, number: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"semel ");
    hash.update(what.as_bytes());
    hash.update(run_id.0);
    hash.update(number.to_be_bytes());
    hash.finalize().into()
}

/// Which traces that begin here are recorded. Decided by the id, so whoever decides it again decides the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    /// What lies below it is recorded.
    below: u64,
    all: bool,
}

impl Sampler {
    /// For a ratio from 0 to 1.
    pub(super) fn new(ratio: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates at both ends")]
        #[expect(clippy::cast_precision_loss, reason = "a ratio is not meant to the last of 64 bits")]
        let below = (ratio * u64::MAX as f64) as u64;
        Self { below, all: ratio >= 1.0 }
    }

    pub(super) fn takes(self, trace_id: [u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace_id;
        self.all || u64::from_be_bytes([a, b, c, d, e, f, g, h]) < self.below
    }

    /// Whether it takes none.
    pub(super) fn is_shut(self) -> bool {
        self.below == 0 && !self.all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn drawn_ids_differ_and_are_never_zero() {
        let ids = Ids::new(0);
        let drawn: HashSet<_> = (0..10_000).map(|_| ids.span()).collect();
        assert_eq!(drawn.len(), 10_000);
        assert!(!drawn.contains(&[0; 8]));
        assert_ne!(ids.trace(), ids.trace());
    }

    #[test]
    fn ids_of_a_run_follow_from_it_for_ever() {
        let (run_id, number) = (RunId([7; 16]), AttemptNumber(2));
        // Workers and collectors hold these: another way of making them would tear traces apart.
        assert_eq!(of_attempt(run_id, number), of_attempt(run_id, number));
        let all = [
            of_attempt(run_id, number),
            of_wait(run_id, number),
            of_attempt(run_id, AttemptNumber(1)),
            of_attempt(RunId([8; 16]), number),
            of_run(run_id).1,
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn a_sampler_takes_its_part_and_always_the_same() {
        let ids = Ids::new(1);
        let drawn: Vec<_> = (0..10_000).map(|_| ids.trace()).collect();
        let taken = |ratio| drawn.iter().filter(|id| Sampler::new(ratio).takes(**id)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, drawn.len()));
        assert!((2_200..2_800).contains(&taken(0.25)), "{}", taken(0.25));
        let quarter = Sampler::new(0.25);
        assert!(drawn.iter().all(|id| quarter.takes(*id) == quarter.takes(*id)));
        // What a smaller part takes, a larger one takes too.
        assert!(drawn.iter().all(|id| !quarter.takes(*id) || Sampler::new(0.5).takes(*id)));
        assert!(Sampler::new(0.0).is_shut() && !quarter.is_shut());
    }
}
