//! Bytes that are kept for callers, counted against what all of them may have together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use semel_core::id::AppName;

use super::shares::Shares;

/// What an item of `SubmitRuns` is in memory beside what its caller wrote into it, in bytes.
pub(super) const ITEM_BYTES: usize = 512;
/// And its answer.
pub(super) const RESULT_BYTES: usize = 1024;

/// What all may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    used: AtomicUsize,
    /// What apps hold of the second half, where they share it.
    shares: Option<Shares>,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0), shares: None }
    }

    /// One that apps share, by the rule of [`super::shares`].
    pub(super) fn shared(max: usize) -> Self {
        Self { shares: Some(Shares::new(max)), ..Self::new(max) }
    }

    /// Whether so much more could be held for an app.
    pub(super) fn has_room(&self, app: Option<&AppName>, bytes: usize) -> bool {
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes);
        let has_share = |shares: &Shares| !shares.are_asked(used) || shares.has(app, bytes, used);
        used <= self.max && self.shares.as_ref().is_none_or(has_share)
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
    /// For whom; callers without an app count together.
    app: Option<AppName>,
    bytes: AtomicUsize,
    /// Of these, what is its app's share.
    late: AtomicUsize,
}

impl Held {
    pub(super) fn new(budget: Arc<Budget>, app: Option<AppName>) -> Self {
        Self { budget, app, bytes: AtomicUsize::new(0), late: AtomicUsize::new(0) }
    }

    /// Holds so much more; false if there is no room, and then nothing more is held.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.budget.max || !self.has_share(bytes, used) {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// How much it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Holds so much more of what is there already, whether there is room or not.
    pub(super) fn keep(&self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Lets so much go, of its app's share first.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        let Some(shares) = &self.budget.shares else { return };
        let is_less = |late: usize| (late > 0).then(|| late.saturating_sub(bytes));
        if let Ok(late) = self.late.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_less) {
            shares.give_back(self.app.as_ref(), late.min(bytes));
        }
    }

    /// Whether its app may hold so much more, when so much will be held by all.
    fn has_share(&self, bytes: usize, used: usize) -> bool {
        let Some(shares) = self.budget.shares.as_ref().filter(|shares| shares.are_asked(used)) else { return true };
        let is_taken = shares.take(self.app.as_ref(), bytes, used);
        if is_taken {
            self.late.fetch_add(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    /// Holds this much, whatever it was before; false if there is no room.
    pub(super) fn set(&self, bytes: usize) -> bool {
        let before = self.bytes();
        if bytes > before {
            return self.add(bytes - before);
        }
        self.release(before - bytes);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_is_bounded_and_comes_back() {
        let budget = Arc::new(Budget::new(100));
        let (first, second) = (Held::new(budget.clone(), None), Held::new(budget.clone(), None));
        assert!(first.add(60) && second.add(40));
        assert!(!second.add(1) && !first.set(61));
        assert!(first.set(10) && second.add(50));
        assert_eq!(budget.used.load(Ordering::Relaxed), 100);
        let third = Held::new(budget.clone(), None);
        third.keep(50);
        assert!(first.set(0) && second.set(0) && !second.add(51) && second.add(50));
        assert!(budget.is_full(), "what is there counts, whether there was room for it or not");
        third.release(20);
        assert!(!budget.is_full() && third.bytes() == 30);
        third.keep(1000);
        assert!(budget.is_full() && third.bytes() == 1030);
        drop((first, second, third));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_app_whose_callers_hold_much_leaves_room_for_others() {
        let budget = Arc::new(Budget::shared(100));
        let [a, b] = ["a", "b"].map(|name| AppName::parse(name).expect("a name"));
        let [first, second] = [(); 2].map(|()| Held::new(budget.clone(), Some(a.clone())));
        let other = Held::new(budget.clone(), Some(b.clone()));
        assert!(budget.has_room(Some(&a), 50) && !budget.has_room(Some(&a), 101));
        assert!(first.add(50) && second.add(20) && !first.add(6) && second.add(5));
        assert!(!budget.has_room(Some(&a), 1) && budget.has_room(Some(&b), 12) && !budget.has_room(Some(&b), 13));
        assert!(other.add(12) && !other.add(1), "and one that comes then leaves some too");
        // What is given back is first what was its share.
        second.release(10);
        assert!(!first.add(5) && first.add(4));
        drop(second);
        assert!(first.set(62), "of all its callers together");
        drop((first, other));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        let whole = Held::new(budget, Some(a));
        assert!(whole.add(50) && whole.add(25) && !whole.add(1), "nothing is left of what has ended");
    }
}
