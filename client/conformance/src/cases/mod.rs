//! The cases, a file for each theme. Each says in its row what it holds a client to, and is a function of that name.

mod clock;
mod connections;
mod credentials;
mod expiry;
mod faults;
mod ids;
mod once;
mod refusals;
mod retries;
mod submit;
mod submit_faults;
mod versions;
mod waiting;
mod watch;
mod watch_ends;
mod worker;
mod worker_links;

use crate::case::Case;

/// Cases that belong together.
#[derive(Debug)]
pub struct Theme {
    /// Its name.
    pub name: &'static str,
    /// Its cases.
    pub cases: &'static [Case],
}

/// All of them, in the order of the table.
pub const THEMES: &[Theme] = &[
    Theme { name: "once", cases: once::CASES },
    Theme { name: "ids", cases: ids::CASES },
    Theme { name: "clocks", cases: clock::CASES },
    Theme { name: "connections", cases: connections::CASES },
    Theme { name: "credentials", cases: credentials::CASES },
    Theme { name: "expiry", cases: expiry::CASES },
    Theme { name: "refusals", cases: refusals::CASES },
    Theme { name: "retries", cases: retries::CASES },
    Theme { name: "networks", cases: faults::CASES },
    Theme { name: "many runs", cases: submit::CASES },
    Theme { name: "many runs over bad networks", cases: submit_faults::CASES },
    Theme { name: "waiting", cases: waiting::CASES },
    Theme { name: "watching", cases: watch::CASES },
    Theme { name: "ends of watches", cases: watch_ends::CASES },
    Theme { name: "workers", cases: worker::CASES },
    Theme { name: "workers over bad networks", cases: worker_links::CASES },
    Theme { name: "other versions", cases: versions::CASES },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_and_says_a_sentence() {
        let mut names = BTreeSet::new();
        for case in THEMES.iter().flat_map(|theme| theme.cases) {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(case.says.ends_with('.') && !case.says.contains('|'), "{}: {:?}", case.name, case.says);
        }
    }
}
