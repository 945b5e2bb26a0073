//! What was told already, by app and revision. It keeps an event from being told twice, whatever a server or a proxy
//! sends again after a break; it never keeps back what is new.

use std::{collections::BTreeMap, sync::Arc};

use super::token::Passed;

/// More apps than these are not kept in mind: a token alone keeps the server from telling them again.
const APPS_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<Arc<str>, Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The last revision of which something was told.
    revision: i64,
    /// How many of its events were.
    told: u32,
    /// How many of its events came on the present stream.
    came: u32,
}

impl Marks {
    /// A new stream begins, behind what the token says.
    pub(super) fn begin(&mut self) {
        self.0.values_mut().for_each(|seen| seen.came = 0);
    }

    /// Nothing counts any more: the next stream begins with no token, perhaps on another log.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// This much was told before.
    pub(super) fn recall(&mut self, passed: &Passed) {
        for (app, place) in passed.iter() {
            self.0.insert(app.clone(), Seen { revision: place.revision, told: place.events, came: 0 });
        }
    }

    /// Whether an event is new; if so, it counts as told. Gives back the shared name of its app.
    pub(super) fn admit(&mut self, app: &str, revision: i64) -> Option<Arc<str>> {
        let Some((name, _)) = self.0.get_key_value(app) else {
            let name: Arc<str> = app.into();
            self.0.insert(name.clone(), Seen { revision, told: 1, came: 1 });
            return Some(name);
        };
        let name = name.clone();
        let seen = self.0.get_mut(app)?;
        if revision > seen.revision {
            *seen = Seen { revision, told: 1, came: 1 };
            return Some(name);
        }
        if revision < seen.revision {
            return None;
        }
        seen.came = seen.came.saturating_add(1);
        let is_new = seen.came > seen.told;
        seen.told = seen.told.max(seen.came);
        is_new.then_some(name)
    }

    /// A token came: the revisions of which something was told since the last one are whole, and nothing new of them
    /// can come.
    pub(super) fn close(&mut self, since: &Passed) {
        for (app, _) in since.iter() {
            if let Some(seen) = self.0.get_mut(app) {
                seen.told = u32::MAX;
            }
        }
    }

    /// Keeps within its bound; to be called where there is a token for all that was told.
    pub(super) fn trim(&mut self) {
        if self.0.len() > APPS_MAX {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(marks: &mut Marks, events: &[(&str, i64)]) -> Vec<bool> {
        events.iter().map(|(app, revision)| marks.admit(app, *revision).is_some()).collect()
    }

    #[test]
    fn what_comes_again_on_a_new_stream_is_kept_back_and_the_rest_is_not() {
        let mut marks = Marks::default();
        assert_eq!(admitted(&mut marks, &[("pay", 5), ("pay", 6), ("pay", 6)]), [true; 3]);
        marks.begin();
        let again = [("pay", 5), ("pay", 6), ("pay", 6), ("pay", 6), ("pay", 7)];
        assert_eq!(admitted(&mut marks, &again), [false, false, false, true, true]);
    }

    #[test]
    fn a_revision_that_is_whole_gets_nothing_more() {
        let mut marks = Marks::default();
        let mut since = Passed::default();
        since.note(&marks.admit("pay", 6).expect("it is new"), 6);
        marks.close(&since);
        assert_eq!(admitted(&mut marks, &[("pay", 6), ("pay", 6), ("pay", 7)]), [false, false, true]);
    }

    #[test]
    fn apps_are_told_apart() {
        let mut marks = Marks::default();
        assert_eq!(admitted(&mut marks, &[("pay", 900), ("shop", 5), ("shop", 6)]), [true; 3]);
    }

    #[test]
    fn a_token_of_the_middle_of_a_revision_is_kept_to() {
        let mut marks = Marks::default();
        let token: super::super::token::ResumeToken = "A~pay:6:2".parse().expect("a token");
        marks.recall(token.passed());
        let events = [("pay", 5), ("pay", 6), ("pay", 6), ("pay", 6), ("shop", 1)];
        assert_eq!(admitted(&mut marks, &events), [false, false, false, true, true]);
    }

    #[test]
    fn it_is_bounded() {
        let mut marks = Marks::default();
        for app in 0..=APPS_MAX {
            marks.admit(&app.to_string(), 1);
        }
        marks.trim();
        assert!(marks.0.is_empty());
    }
}
