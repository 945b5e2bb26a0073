//! Back-off on failed attempts, per address and per principal.
//!
//! Good credentials always pass, even from an address that is backing off: behind a mesh many callers share one address,
//! and whoever sends rubbish must not be able to lock the others out. A guess is not helped by it: the secrets have 256
//! bits. What backs off are the bad ones: they get no verdict, and cost next to nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use semel_core::id::{AppName, Millis};

/// Failures that are free.
const FREE_FAILURES: u32 = 10;
/// The first delay; it doubles with each further failure.
const FIRST_DELAY: Millis = Millis(1000);
/// The longest delay.
const LONGEST_DELAY: Millis = Millis(60_000);
/// After this long without a failure all is forgotten.
const FORGET_AFTER: Millis = Millis(600_000);
/// Subjects that are remembered; beyond it the longest quiet ones go.
const SUBJECTS_MAX: usize = 10_000;

/// Whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Where the calls come from.
    Address(IpAddr),
    /// Who the callers say that they are.
    App(AppName),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<Subject, Entry>>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Millis,
    blocked_until: Millis,
}

impl Throttle {
    /// Counts a failure. `Some(wait)` if the subject was to wait still: then the attempt gets no verdict.
    pub fn failed(&self, subject: Subject, now: Millis) -> Option<Millis> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= SUBJECTS_MAX && !entries.contains_key(&subject) {
            make_room(&mut entries, now);
        }
        let entry = entries.entry(subject).or_insert(Entry { failures: 0, last: now, blocked_until: Millis(0) });
        if now.0 - entry.last.0 > FORGET_AFTER.0 {
            *entry = Entry { failures: 0, last: now, blocked_until: Millis(0) };
        }
        entry.last = now;
        if entry.blocked_until > now {
            return Some(Millis(entry.blocked_until.0 - now.0));
        }
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures > FREE_FAILURES {
            let doublings = (entry.failures - FREE_FAILURES - 1).min(16);
            let delay = (FIRST_DELAY.0 << doublings).min(LONGEST_DELAY.0);
            entry.blocked_until = Millis(now.0 + delay);
        }
        None
    }
}

fn make_room(entries: &mut HashMap<Subject, Entry>, now: Millis) {
    entries.retain(|_, entry| now.0 - entry.last.0 <= FORGET_AFTER.0);
    if entries.len() >= SUBJECTS_MAX {
        let quietest = entries.iter().min_by_key(|(_, entry)| entry.last).map(|(subject, _)| subject.clone());
        quietest.and_then(|subject| entries.remove(&subject));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_their_bound_and_quiet_is_forgiven() {
        let throttle = Throttle::default();
        let subject = || Subject::Address(IpAddr::from([127, 0, 0, 1]));
        for _ in 0..=FREE_FAILURES {
            assert_eq!(throttle.failed(subject(), Millis(0)), None);
        }
        assert_eq!(throttle.failed(subject(), Millis(1)), Some(Millis(999)));
        assert_eq!(throttle.failed(subject(), Millis(1000)), None, "the delay has passed: a verdict again");
        assert_eq!(throttle.failed(subject(), Millis(1001)), Some(Millis(1999)));
        assert_eq!(throttle.failed(subject(), Millis(2_000_000)), None);
        assert_eq!(throttle.failed(subject(), Millis(2_000_001)), None, "all was forgotten");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..(SUBJECTS_MAX as u32 + 100) {
            let _ = throttle.failed(Subject::Address(IpAddr::from(number.to_be_bytes())), Millis(i64::from(number)));
        }
        assert!(throttle.0.lock().expect("not poisoned").len() <= SUBJECTS_MAX);
    }
}
