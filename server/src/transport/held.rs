//! Bytes that are kept for callers, counted against what all of them may have together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What an item of `SubmitRuns` is in memory beside what its caller wrote into it, in bytes.
pub(super) const ITEM_BYTES: usize = 512;
/// And its answer.
pub(super) const RESULT_BYTES: usize = 1024;

/// What all may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0) }
    }

    /// Whether nothing more may be held.
    pub(super) fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.max
    }
}

/// What one of them holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Held {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: AtomicUsize::new(0) }
    }

    /// Holds so much more; false if there is no room, and then nothing more is held.
    pub(super) fn add(&self, bytes: usize) -> bool {
        self.add_within(bytes, self.budget.max)
    }

    /// How much it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Holds so much more of what is there already, whether there is room or not.
    pub(super) fn keep(&self, bytes: usize) {
        self.add_within(bytes, usize::MAX);
    }

    /// Lets so much go.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Holds so much more of what must rather not be refused: as far as twice the bound. False beyond it.
    pub(super) fn take(&self, bytes: usize) -> bool {
        self.add_within(bytes, self.budget.max.saturating_mul(2))
    }

    fn add_within(&self, bytes: usize, max: usize) -> bool {
        if self.budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > max {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Holds this much, whatever it was before; false if there is no room.
    pub(super) fn set(&self, bytes: usize) -> bool {
        let before = self.bytes.load(Ordering::Relaxed);
        if bytes > before {
            return self.add(bytes - before);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(before - bytes, Ordering::Relaxed);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_is_bounded_and_comes_back() {
        let budget = Arc::new(Budget::new(100));
        let (first, second) = (Held::new(budget.clone()), Held::new(budget.clone()));
        assert!(first.add(60) && second.add(40));
        assert!(!second.add(1) && !first.set(61));
        assert!(first.set(10) && second.add(50));
        assert_eq!(budget.used.load(Ordering::Relaxed), 100);
        let third = Held::new(budget.clone());
        assert!(third.take(50), "what must be there is, whether there is room or not");
        assert!(third.take(50) && !third.take(1), "but not for ever");
        assert!(third.set(50) && first.set(0) && second.set(0) && !second.add(51) && second.add(50));
        assert!(budget.is_full());
        third.release(20);
        assert!(!budget.is_full() && third.bytes() == 30);
        third.keep(1000);
        assert!(budget.is_full() && third.bytes() == 1030);
        drop((first, second, third));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
