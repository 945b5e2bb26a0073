//! A snapshot and the events behind it are one story: each run is told once, and its last state can always be had.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use semel_core::id::Revision;
use semel_proto::v1::{self, event::Subject};

use super::{
    model::{filter, op, ops, play_on},
    world::{Watcher, World, viewer},
};
use crate::transport::{convert::run, watch::snapshot::Plan};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// While a snapshot is read page by page, the world goes on between the pages.
    #[test]
    fn a_snapshot_and_what_follows_tell_every_run_once(
        before in ops(),
        between in prop::collection::vec(prop::collection::vec(op(), 0..10), 0..6),
        at in 0..64_usize,
        is_all: bool,
    ) {
        let (mut world, _) = play_on(World::new(), &before);
        world.commit();
        // Kinds are left out: what a kind hides is another matter.
        let filter = filter(&world, at % 15);
        let principal = viewer(&["*"]);
        let revision = world.engine.revision();
        let mut watcher = Watcher::open(&world, filter.clone(), principal.clone());
        let plan = Plan { filter: Arc::new(filter.clone()), principal: Arc::new(principal.clone()), is_all, revision };
        let mut rows: Vec<v1::Run> = Vec::new();
        let mut place = Some(plan.begin());
        let mut between = between.into_iter();
        while let Some(next) = place {
            let (messages, further) = plan.page(&*world.reader(), &next).expect("it can be read");
            rows.extend(messages.into_iter().flat_map(|message| message.runs));
            place = further;
            let meanwhile: Vec<_> = between.next().unwrap_or_default();
            world = play_on(world, &meanwhile).0;
        }
        world.commit();
        watcher.resume(&world);
        watcher.catch_up(&world);
        let mut known: BTreeMap<String, v1::RunState> = BTreeMap::new();
        for row in &rows {
            prop_assert!(row.revision <= i64::try_from(revision.0).expect("it is small"));
            prop_assert!(known.insert(row.run_id.clone(), row.state()).is_none(), "a run comes once");
        }
        for event in &watcher.told {
            let Some(Subject::Run(event)) = &event.subject else { continue };
            let former = known.insert(event.run_id.clone(), event.to_state());
            if let Some(former) = former {
                prop_assert_eq!(former, event.from_state(), "each step begins where the last one ended");
            }
        }
        if watcher.compacted.is_none() {
            let now = world.engine.revision();
            let last = Plan { filter: Arc::new(filter), principal: Arc::new(principal), is_all: true, revision: now };
            let truth = all_runs(&last, &world, now);
            for (run_id, state) in &known {
                prop_assert_eq!(truth.get(run_id), Some(state));
            }
            if is_all {
                prop_assert_eq!(known.len(), truth.len());
            }
        }
    }
}

/// The last state of every run that the filter lets through.
fn all_runs(plan: &Plan, world: &World, now: Revision) -> BTreeMap<String, v1::RunState> {
    assert_eq!(plan.revision, now);
    let reader = world.reader();
    let runs = world.runs.iter().filter_map(|(_, id)| reader.run(*id).expect("it can be read"));
    let held = runs.filter(|row| plan.filter.holds_run(row, &plan.principal));
    held.map(|row| (row.id.to_string(), run::phase(row.state.phase()))).collect()
}

/// Whatever events were forgotten.
#[test]
fn the_last_state_of_a_run_is_in_a_snapshot_after_all_its_events_were_forgotten() {
    let mut world = World::new();
    world.run_job(World::key(0, 0), super::model::labels("one"), None);
    world.commit();
    for _ in 0..20 {
        world.pass_time(super::world::KEPT);
        world.commit();
    }
    assert!(world.oldest() > Revision(8), "the events of the run are gone");
    let filter = Arc::new(filter(&world, 0));
    let plan = Plan { filter, principal: Arc::new(viewer(&["*"])), is_all: true, revision: world.engine.revision() };
    let (messages, _) = plan.page(&*world.reader(), &plan.begin()).expect("it can be read");
    let runs: Vec<_> = messages.into_iter().flat_map(|message| message.runs).collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state(), v1::RunState::Queued);
    let mut late = Watcher::open_behind(&world, (*plan.filter).clone(), viewer(&["*"]), Revision(1));
    late.catch_up(&world);
    assert_eq!(late.compacted, Some(world.oldest()));
}
