//! How apps share what there is for all of them. Up to half of it, nobody asks whose it is, so that nothing is looked up while there
//! is plenty. Beyond it an app may have as much more as it leaves free: one comes to a quarter of the whole, the next to an eighth,
//! and there is always something for one more (the dynamic thresholds by which switches share their memory: Choudhury and Hahne,
//! 1998). Callers without an app count together.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use semel_core::id::AppName;

/// Only those that have some are in it.
type Taken = HashMap<Option<AppName>, usize>;

/// What apps have of the second half.
#[derive(Debug)]
pub(super) struct Shares {
    max: usize,
    taken: Mutex<Taken>,
}

impl Shares {
    /// Of so much in all.
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: Mutex::default() }
    }

    /// Whether it is asked whose it is when so much is in use.
    pub(super) fn are_asked(&self, in_use: usize) -> bool {
        in_use > self.max / 2
    }

    /// Takes so much for an app, with which so much is in use in all; false if that is more than its share, and then nothing is
    /// taken.
    pub(super) fn take(&self, app: Option<&AppName>, amount: usize, in_use: usize) -> bool {
        let mut taken = self.lock();
        let key = app.cloned();
        let Some(after) = self.allowed(&taken, &key, amount, in_use) else { return false };
        taken.insert(key, after);
        true
    }

    /// Whether it could be taken.
    pub(super) fn has(&self, app: Option<&AppName>, amount: usize, in_use: usize) -> bool {
        self.allowed(&self.lock(), &app.cloned(), amount, in_use).is_some()
    }

    /// What an app would have then, if it may.
    fn allowed(&self, taken: &Taken, app: &Option<AppName>, amount: usize, in_use: usize) -> Option<usize> {
        let after = taken.get(app).copied().unwrap_or_default().saturating_add(amount);
        (after <= self.max.saturating_sub(in_use)).then_some(after)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives so much back.
    pub(super) fn give_back(&self, app: Option<&AppName>, amount: usize) {
        let mut taken = self.lock();
        let key = app.cloned();
        if let Some(of_app) = taken.get_mut(&key) {
            *of_app -= amount;
            if *of_app == 0 {
                taken.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_something_for_one_more() {
        let shares = Shares::new(160);
        assert!(!shares.are_asked(80) && shares.are_asked(81));
        let apps = ["a", "b", "c"].map(|name| AppName::parse(name).expect("a name"));
        let callers = [Some(&apps[0]), None, Some(&apps[1]), Some(&apps[2])];
        let mut in_use = 80;
        for (caller, most) in callers.into_iter().zip([40, 20, 10, 5]) {
            assert!(shares.has(caller, most, in_use + most) && !shares.has(caller, most + 1, in_use + most + 1));
            for _ in 0..most {
                in_use += 1;
                assert!(shares.take(caller, 1, in_use), "{most} for {caller:?}");
            }
            assert!(!shares.take(caller, 1, in_use + 1) && !shares.take(caller, usize::MAX, usize::MAX));
        }
        // What one gives back is there for each.
        shares.give_back(callers[0], 40);
        in_use -= 40;
        assert!(shares.take(callers[3], 20, in_use + 20) && !shares.take(callers[3], 1, in_use + 21));
        for (caller, taken) in callers.into_iter().zip([0, 20, 10, 25]) {
            shares.give_back(caller, taken);
        }
        assert!(shares.taken.lock().expect("sound").is_empty(), "nothing is left of what has ended");
    }
}
