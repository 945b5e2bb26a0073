//! What a watcher wants to see. Judges events, and the rows of a snapshot, by the same rules.

use std::collections::BTreeSet;

use semel_core::{
    app::{AppPattern, Role},
    id::{AppName, JobName, RunId},
    job::{Job, Labels},
    policy::{self, Principal},
    run::Run,
};
use semel_proto::v1::EventKind;
use sha2::{Digest, Sha256};

use crate::{
    engine::Connected,
    transport::convert::event::{Told, kinds_of_state, worker_kind},
};

/// Kinds of events, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u64);

impl Kinds {
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// The ends of runs.
    pub(crate) const TERMINAL: [EventKind; 4] =
        [EventKind::RunSucceeded, EventKind::RunFailed, EventKind::RunCancelled, EventKind::RunExpired];

    pub(crate) fn of(kinds: &[EventKind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | bit(*kind)))
    }

    pub(crate) fn has(self, kind: EventKind) -> bool {
        self.0 & bit(kind) != 0
    }

    fn has_any(self, kinds: &[EventKind]) -> bool {
        kinds.iter().any(|kind| self.has(*kind))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Every kind has a number below 64; a test holds the protocol to it.
fn bit(kind: EventKind) -> u64 {
    1 << (kind as i32)
}

const JOB_KINDS: [EventKind; 5] =
    [EventKind::JobCreated, EventKind::JobUpdated, EventKind::JobDeleted, EventKind::JobPaused, EventKind::JobResumed];

/// Of which apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Apps {
    /// Of this one, which the caller may view: that was looked at when the watch was opened.
    One(AppName),
    /// Of those that a pattern holds and the caller may view.
    Any(Vec<AppPattern>),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) apps: Apps,
    pub(crate) jobs: BTreeSet<JobName>,
    pub(crate) runs: BTreeSet<RunId>,
    pub(crate) labels: Labels,
    pub(crate) kinds: Kinds,
}

/// Where a watcher is woken for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A run.
    Run(RunId),
    /// A job and its runs.
    Job(AppName, JobName),
    /// What bears a label, in an app.
    Label(AppName, String, String),
    /// An app.
    App(AppName),
    /// Everything.
    All,
}

impl Filter {
    /// Whether an event is let through to this caller.
    pub(crate) fn lets_through(&self, told: &Told, principal: &Principal) -> bool {
        self.kinds.has(told.kind)
            && told.app.as_ref().is_none_or(|app| self.holds_app(app, principal))
            && holds(&self.runs, told.run_id.as_ref())
            && holds(&self.jobs, told.job.as_ref())
            && self.holds_labels(&told.labels)
    }

    /// Whether a run is in the snapshot for this caller.
    pub(crate) fn holds_run(&self, run: &Run, principal: &Principal) -> bool {
        self.kinds.has_any(kinds_of_state(run.state.phase()))
            && self.holds_app(&run.job.app, principal)
            && holds(&self.runs, Some(&run.id))
            && holds(&self.jobs, Some(&run.job.job))
            && self.holds_labels(&run.labels)
    }

    /// Whether jobs are in the snapshot at all.
    pub(crate) fn wants_jobs(&self) -> bool {
        self.runs.is_empty() && self.kinds.has_any(&JOB_KINDS)
    }

    /// Whether a job of an app that is held is in the snapshot.
    pub(crate) fn holds_job(&self, job: &Job) -> bool {
        self.wants_jobs() && holds(&self.jobs, Some(&job.key.job)) && self.holds_labels(&job.spec.labels)
    }

    /// Whether workers are in the snapshot at all.
    pub(crate) fn wants_workers(&self) -> bool {
        self.runs.is_empty() && self.jobs.is_empty() && self.labels.is_empty()
    }

    /// Whether a worker is in the snapshot for this caller.
    pub(crate) fn holds_worker(&self, worker: &Connected, principal: &Principal) -> bool {
        self.wants_workers()
            && self.kinds.has(worker_kind(worker.standing))
            && self.holds_app(&worker.hello.app, principal)
    }

    /// Whether an app is watched by this caller.
    pub(crate) fn holds_app(&self, app: &AppName, principal: &Principal) -> bool {
        match &self.apps {
            Apps::One(one) => one == app,
            Apps::Any(patterns) => {
                patterns.iter().any(|pattern| pattern.holds(app)) && principal.may(Role::Viewer, app)
            }
        }
    }

    /// Whether the caller may view anything of what is watched; for one app, that app.
    pub(crate) fn is_open_to(&self, principal: &Principal) -> bool {
        match &self.apps {
            Apps::One(app) => principal.may(Role::Viewer, app),
            Apps::Any(patterns) => views(principal)
                .any(|grant| patterns.iter().any(|pattern| pattern.covers(grant) || grant.covers(pattern))),
        }
    }

    /// Whether somebody who could watch by these grants still can see all of it by others.
    pub(crate) fn is_still_whole(&self, before: &Principal, now: &Principal) -> bool {
        match &self.apps {
            Apps::One(app) => now.may(Role::Viewer, app),
            Apps::Any(_) => views(before).all(|had| views(now).any(|has| has.covers(had))),
        }
    }

    /// Where its watcher is woken for: for whatever could be let through, and little else.
    pub(crate) fn keys(&self) -> Vec<Key> {
        if !self.runs.is_empty() {
            return self.runs.iter().copied().map(Key::Run).collect();
        }
        match &self.apps {
            Apps::One(app) if !self.jobs.is_empty() => {
                self.jobs.iter().map(|job| Key::Job(app.clone(), job.clone())).collect()
            }
            Apps::One(app) => match self.labels.first_key_value() {
                // One of them is enough: whatever is let through bears it.
                Some((key, value)) => vec![Key::Label(app.clone(), key.clone(), value.clone())],
                None => vec![Key::App(app.clone())],
            },
            Apps::Any(_) => vec![Key::All],
        }
    }

    /// Binds resume tokens: equal for filters that let the same through, and else as good as never.
    pub(crate) fn fingerprint(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        let mut part = |kind: u8, bytes: &[u8]| {
            hash.update([kind]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        match &self.apps {
            Apps::One(app) => part(1, app.as_str().as_bytes()),
            Apps::Any(patterns) => {
                let patterns: BTreeSet<&AppPattern> = patterns.iter().collect();
                patterns.iter().for_each(|pattern| part(2, pattern.to_string().as_bytes()));
            }
        }
        self.jobs.iter().for_each(|job| part(3, job.as_str().as_bytes()));
        self.runs.iter().for_each(|run| part(4, &run.0));
        for (key, value) in &self.labels {
            part(5, key.as_bytes());
            part(6, value.as_bytes());
        }
        part(7, &self.kinds.0.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        *digest.first_chunk().expect("a digest is longer")
    }

    fn holds_labels(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Told {
    /// Whom it wakes, besides those who watch everything.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let of_app = self.app.clone().map(Key::App);
        let of_job = self.app.clone().zip(self.job.clone()).map(|(app, job)| Key::Job(app, job));
        [self.run_id.map(Key::Run), of_job, of_app, Some(Key::All)].into_iter().flatten()
    }

    /// The same for those who watch a label: apart, for an event may bear many and seldom is one watched.
    pub(crate) fn label_keys(&self) -> impl Iterator<Item = Key> {
        let app = self.app.iter();
        app.flat_map(|app| self.labels.iter().map(|(key, value)| Key::Label(app.clone(), key.clone(), value.clone())))
    }
}

/// Whether a value is wanted; an empty set wants everything, also what has no such value.
fn holds<T: Ord>(wanted: &BTreeSet<T>, value: Option<&T>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
}

/// Where a principal may view.
fn views(principal: &Principal) -> impl Iterator<Item = &AppPattern> {
    let grants = principal.grants.iter().filter(|grant| policy::includes(grant.role, Role::Viewer));
    grants.map(|grant| &grant.apps)
}

#[cfg(test)]
mod tests {
    use semel_core::app::Grant;

    use super::*;

    pub(super) fn filter(apps: Apps) -> Filter {
        Filter { apps, jobs: BTreeSet::new(), runs: BTreeSet::new(), labels: Labels::new(), kinds: Kinds::ALL }
    }

    fn any(patterns: &[&str]) -> Apps {
        Apps::Any(patterns.iter().map(|text| AppPattern::parse(text).expect("a pattern")).collect())
    }

    fn viewer(patterns: &[&str]) -> Principal {
        let grant = |text: &&str| Grant { role: Role::Viewer, apps: AppPattern::parse(text).expect("a pattern") };
        Principal { name: "app:me".into(), app: None, grants: patterns.iter().map(grant).collect() }
    }

    #[test]
    fn every_kind_of_the_protocol_fits_into_a_set() {
        let kinds: Vec<EventKind> = (1..64).filter_map(|number| EventKind::try_from(number).ok()).collect();
        assert_eq!(kinds.len(), 25);
        assert!((64..1000).all(|number| EventKind::try_from(number).is_err()));
        let all = Kinds::of(&kinds);
        assert!(kinds.iter().all(|kind| all.has(*kind) && Kinds::ALL.has(*kind)));
        assert!(!Kinds::of(&Kinds::TERMINAL).has(EventKind::RunStarted));
    }

    #[test]
    fn a_prefix_is_open_to_whoever_may_view_a_part_of_it() {
        let of_pay = filter(any(&["pay/*"]));
        for (grants, open) in [
            (&["pay/a"][..], true),
            (&["*"], true),
            (&["pay/*"], true),
            (&["pay"], false),
            (&["shop"], false),
            (&[], false),
        ] {
            assert_eq!(of_pay.is_open_to(&viewer(grants)), open, "{grants:?}");
        }
    }

    #[test]
    fn a_watch_is_no_longer_whole_once_a_grant_that_it_rested_on_is_gone() {
        let of_all = filter(any(&["*"]));
        assert!(of_all.is_still_whole(&viewer(&["a", "b/c"]), &viewer(&["a", "b/*"])));
        assert!(!of_all.is_still_whole(&viewer(&["a", "b"]), &viewer(&["a"])));
        let of_one = filter(Apps::One(AppName::parse("a").expect("a name")));
        assert!(of_one.is_still_whole(&viewer(&["a", "b"]), &viewer(&["a"])));
        assert!(!of_one.is_still_whole(&viewer(&["a", "b"]), &viewer(&["b"])));
    }

    #[test]
    fn a_fingerprint_tells_filters_apart_and_not_the_order_in_which_they_were_said() {
        let one = |job: &str| {
            let mut filter = filter(Apps::One(AppName::parse("a").expect("a name")));
            filter.jobs.insert(JobName::parse(job).expect("a name"));
            filter
        };
        assert_eq!(one("x").fingerprint(), one("x").fingerprint());
        assert_ne!(one("x").fingerprint(), one("y").fingerprint());
        assert_eq!(filter(any(&["a", "b"])).fingerprint(), filter(any(&["b", "a"])).fingerprint());
        assert_ne!(filter(any(&["a"])).fingerprint(), filter(Apps::One(AppName::parse("a").expect("a"))).fingerprint());
        let labelled = |key: &str, value: &str| {
            let mut filter = filter(any(&["*"]));
            filter.labels.insert(key.to_owned(), value.to_owned());
            filter
        };
        assert_ne!(labelled("a", "b").fingerprint(), labelled("ab", "").fingerprint());
    }
}
