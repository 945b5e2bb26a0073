//! The six promises of `Watch`, each by name, over random histories, filters, disconnects, compactions and restarts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use semel_core::id::Revision;
use semel_proto::v1;

use super::{
    model::{expected, ops, play},
    world::{Watcher, World},
};

fn should_have_been_told(world: &World, watcher: &Watcher) -> Vec<v1::Event> {
    expected(&world.log, watcher.begun, &watcher.filter, &watcher.principal)
}

/// Names an event among all.
fn name(event: &v1::Event) -> (i64, i32, String) {
    let subject = match &event.subject {
        Some(v1::event::Subject::Run(run)) => run.run_id.clone(),
        Some(v1::event::Subject::Job(job)) => job.job.clone(),
        Some(v1::event::Subject::Worker(worker)) => worker.worker_id.clone(),
        Some(v1::event::Subject::Trigger(trigger)) => trigger.trigger.clone(),
        None => String::new(),
    };
    (event.revision, event.kind, subject)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// The events of an app come in the order of the log, and revisions never go back.
    #[test]
    fn ordered(ops in ops()) {
        let (world, watchers) = play(&ops);
        for watcher in &watchers {
            prop_assert!(watcher.told.is_sorted_by_key(|event| event.revision));
            let mut should = should_have_been_told(&world, watcher).into_iter();
            for event in &watcher.told {
                prop_assert!(should.any(|next| next == *event), "{event:?} is not where the log has it");
            }
        }
    }

    /// No event comes twice.
    #[test]
    fn unique(ops in ops()) {
        let (_, watchers) = play(&ops);
        for watcher in &watchers {
            let names: BTreeSet<_> = watcher.told.iter().map(name).collect();
            prop_assert_eq!(names.len(), watcher.told.len());
        }
    }

    /// No event is left out, however slow the watcher was and however often it broke; or it is told that it cannot be had.
    #[test]
    fn reliable(ops in ops()) {
        let (world, watchers) = play(&ops);
        for watcher in &watchers {
            let should = should_have_been_told(&world, watcher);
            match watcher.compacted {
                None => prop_assert_eq!(&watcher.told, &should),
                Some(oldest) => {
                    prop_assert!(oldest <= world.oldest());
                    prop_assert_eq!(&watcher.told[..], &should[..watcher.told.len()]);
                }
            }
        }
    }

    /// The events of one revision come whole: no message ends in the middle of one without saying so.
    #[test]
    fn atomic(ops in ops()) {
        let (world, watchers) = play(&ops);
        for watcher in &watchers {
            let should = should_have_been_told(&world, watcher);
            for end in watcher.boundaries.iter().filter(|end| **end < should.len()) {
                prop_assert!(should[*end - 1].revision < should[*end].revision);
            }
        }
    }

    /// From any token, and from any revision that is kept, everything behind it comes, and nothing else.
    #[test]
    fn resumable(ops in ops()) {
        let (world, watchers) = play(&ops);
        for watcher in &watchers {
            let should = should_have_been_told(&world, watcher);
            for (token, told) in &watcher.tokens {
                let mut again = watcher.resumed_at(&world, token);
                let is_kept = again.begun.next() >= world.oldest();
                again.catch_up(&world);
                prop_assert_eq!(again.compacted.is_none(), is_kept);
                if is_kept {
                    prop_assert_eq!(&again.told[..], &should[*told..]);
                }
            }
        }
    }

    /// Who has nothing to hear is at the end of the log, whatever its filter held back, and its token says so.
    #[test]
    fn bookmarkable(ops in ops()) {
        let (world, watchers) = play(&ops);
        let end = world.engine.revision();
        for watcher in watchers.iter().filter(|watcher| watcher.compacted.is_none()) {
            prop_assert_eq!(watcher.position(), Some(end));
            let (token, told) = watcher.tokens.last().expect("there is one");
            prop_assert_eq!(*told, watcher.told.len());
            prop_assert_eq!(watcher.resumed_at(&world, token).begun, end);
            let positions: Vec<Revision> =
                watcher.tokens.iter().map(|(token, _)| watcher.resumed_at(&world, token).begun).collect();
            prop_assert!(positions.is_sorted());
        }
    }
}
