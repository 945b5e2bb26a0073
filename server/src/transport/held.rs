//! Bytes that are kept for callers, counted against what all of them may have together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

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
        if self.budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.budget.max {
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
        drop((first, second));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
