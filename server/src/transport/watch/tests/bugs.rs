//! The watch bugs in etcd's own record (the table in its `tests/robustness/README.md`), each with the test that would catch
//! it here. The promises would catch them too, over random histories; here each is said again in the plain, under its
//! number. A test below holds this table to the code.
//!
//! | issue of etcd | what went wrong there | test here |
//! |---|---|---|
//! | #15220 | progress notifications were not in step with the stream | `etcd_15220_progress_is_never_ahead_of_the_events` |
//! | #15271 | a watch travelled back in time after a partition | `etcd_15271_a_watch_never_travels_back_in_time` |
//! | #17247 | an event was told twice | `etcd_17247_no_event_is_told_twice` |
//! | #17529 | events were lost when a stream starved | `etcd_17529_a_starved_watcher_loses_nothing` |
//! | #17780 | the revision went down by a crash during a compaction | `etcd_17780_no_revision_goes_down_by_a_crash` |
//! | #18089 | an event was dropped when it was compacted | `etcd_18089_nothing_is_dropped_at_a_compaction` |
//! | #19179 | a watch from the compacted revision itself missed an event | `etcd_19179_a_watch_from_the_oldest_revision_is_whole` |
//! | #20221 | a watch on a future revision told old events | `etcd_20221_a_watch_that_begins_ahead_tells_nothing_older` |

use std::sync::Arc;

use semel_core::id::{Millis, Revision};

use super::{
    model::{expected, filter, labels},
    world::{KEPT, RING_MAX, Watcher, World, viewer},
};

fn all(world: &World) -> Watcher {
    Watcher::open(world, filter(world, 0), viewer(&["*"]))
}

fn should(world: &World, watcher: &Watcher) -> Vec<semel_proto::v1::Event> {
    expected(&world.log, watcher.begun, &watcher.filter, &watcher.principal)
}

fn runs(world: &mut World, count: usize) {
    for at in 0..count {
        world.run_job(World::key(at, at), labels("one"), None);
        world.commit();
    }
}

#[test]
fn etcd_15220_progress_is_never_ahead_of_the_events() {
    let mut world = World::new();
    let mut watcher = all(&world);
    for _ in 0..20 {
        runs(&mut world, 3);
        watcher.turn(&world);
        let position = watcher.position().expect("it is open");
        let due = should(&world, &watcher);
        let due = due.iter().filter(|event| event.revision <= i64::try_from(position.0).expect("small"));
        assert_eq!(due.count(), watcher.told.len(), "whatever lies up to the position was told");
    }
}

#[test]
fn etcd_15271_a_watch_never_travels_back_in_time() {
    let mut world = World::new();
    let mut watcher = all(&world);
    runs(&mut world, 3);
    watcher.catch_up(&world);
    let before = watcher.position();
    world.pass_time(Millis(KEPT.0 * 2));
    world.commit();
    world.restart();
    runs(&mut world, 3);
    watcher.resume(&world);
    watcher.catch_up(&world);
    assert!(watcher.position() > before);
    assert!(watcher.told.is_sorted_by(|a, b| a.revision <= b.revision));
    assert_eq!(watcher.told, should(&world, &watcher));
}

#[test]
fn etcd_17529_a_starved_watcher_loses_nothing() {
    let mut world = World::new();
    let mut starved = all(&world);
    let mut quick = all(&world);
    for _ in 0..RING_MAX * 5 {
        runs(&mut world, 2);
        quick.catch_up(&world);
    }
    world.commit_past_the_ring();
    starved.catch_up(&world);
    assert_eq!(starved.told.len(), RING_MAX * 10);
    assert_eq!(starved.told, quick.told);
}

#[test]
fn etcd_18089_nothing_is_dropped_at_a_compaction() {
    let mut world = World::new();
    let mut watcher = all(&world);
    runs(&mut world, RING_MAX * 3);
    watcher.turn(&world);
    runs(&mut world, RING_MAX * 3);
    // Some of what it has not read yet is forgotten now: it is told so, and what it was told is a whole beginning.
    world.pass_time(Millis(KEPT.0 * 2));
    for _ in 0..20 {
        world.commit();
    }
    watcher.catch_up(&world);
    let should = should(&world, &watcher);
    assert_eq!(watcher.told[..], should[..watcher.told.len()]);
    assert_eq!(watcher.compacted, Some(world.oldest()));
}

#[test]
fn etcd_19179_a_watch_from_the_oldest_revision_is_whole() {
    let mut world = World::new();
    runs(&mut world, 10);
    world.pass_time(Millis(KEPT.0 * 2));
    (0..4).for_each(|_| world.commit());
    let oldest = world.oldest();
    assert!(oldest > Revision(10) && oldest < world.engine.revision(), "some are gone and some are kept");
    let mut whole = Watcher::open_behind(&world, filter(&world, 0), viewer(&["*"]), Revision(oldest.0 - 1));
    whole.catch_up(&world);
    assert_eq!((whole.compacted, &whole.told), (None, &should(&world, &whole)));
    assert_eq!(whole.told[0].revision, i64::try_from(oldest.0).expect("small"), "the oldest itself is told");
    let mut late = Watcher::open_behind(&world, filter(&world, 0), viewer(&["*"]), Revision(oldest.0 - 2));
    assert_eq!(late.compacted, Some(oldest), "one further back is told so, before its first turn");
    assert!(!late.turn(&world) && late.told.is_empty());
}

#[test]
fn etcd_17247_no_event_is_told_twice() {
    let mut world = World::new();
    let mut watcher = all(&world);
    for round in 0..20 {
        runs(&mut world, 2);
        watcher.turn(&world);
        match round % 3 {
            0 => watcher.resume(&world),
            1 => watcher.disconnect(),
            _ => watcher.catch_up(&world),
        }
    }
    watcher.catch_up(&world);
    assert_eq!(watcher.told.len(), 40);
    assert!(watcher.told.is_sorted_by(|a, b| a.revision < b.revision), "each of these revisions has one event");
}

#[test]
fn etcd_17780_no_revision_goes_down_by_a_crash() {
    let mut world = World::new();
    let mut watcher = all(&world);
    runs(&mut world, 10);
    for _ in 0..5 {
        world.pass_time(KEPT);
        world.commit();
        let (before, oldest) = (world.engine.revision(), world.oldest());
        world.restart();
        assert_eq!((world.engine.revision(), world.oldest()), (before, oldest));
        runs(&mut world, 1);
        assert!(world.engine.revision() > before);
        watcher.resume(&world);
        watcher.turn(&world);
        assert!(watcher.told.is_sorted_by(|a, b| a.revision <= b.revision));
    }
}

#[test]
fn what_the_filter_holds_back_moves_the_position_on() {
    let mut world = World::new();
    runs(&mut world, 1);
    let mut narrow = filter(&world, 0);
    narrow.runs.insert(world.runs[0].1);
    let mut watcher = Watcher::open(&world, narrow, viewer(&["*"]));
    watcher.catch_up(&world);
    runs(&mut world, 30);
    assert!(!watcher.turn(&world), "there is nothing for it, and it need not look at the others to know");
    assert_eq!(watcher.position(), Some(world.engine.revision()));
    assert!(watcher.told.is_empty());
}

#[test]
fn etcd_20221_a_watch_that_begins_ahead_tells_nothing_older() {
    let mut world = World::new();
    // The ring lags behind what is committed: the watch begins behind the commit all the same.
    let lagging = Arc::clone(&world.shared);
    world.shared = Arc::new(crate::transport::watch::hub::Shared::new(Revision(0), RING_MAX));
    runs(&mut world, 2);
    world.shared = lagging;
    let mut watcher = all(&world);
    let begun = watcher.begun;
    assert!(!watcher.turn(&world));
    assert_eq!(watcher.position(), Some(begun), "a ring that lags does not draw it back");
    runs(&mut world, 2);
    watcher.catch_up(&world);
    assert!(watcher.told.iter().all(|event| event.revision > i64::try_from(begun.0).expect("small")));
    assert_eq!(watcher.told, should(&world, &watcher));
}

#[test]
fn the_events_of_one_revision_stay_together() {
    let mut world = World::new();
    for _ in 0..40 {
        world.run_job(World::key(0, 0), labels(&"long".repeat(20)), Some(Millis(1000)));
    }
    world.commit();
    let mut watcher = all(&world);
    world.pass_time(Millis(2000));
    world.commit();
    let revision = world.log.iter().find(|record| record.events.len() >= 40).expect("one tick").revision;
    while watcher.turn(&world) {
        let of_it = watcher.told.iter().filter(|event| event.revision == i64::try_from(revision.0).expect("small"));
        let count = of_it.count();
        assert!(count == 0 || count == 40, "all of them or none: {count}");
    }
    assert_eq!(watcher.told, should(&world, &watcher));
    // It took several messages: a break in between must not show a part.
    let mut broken = Watcher::open_behind(&world, filter(&world, 0), viewer(&["*"]), watcher.begun);
    broken.turn(&world);
    assert!(broken.told.is_empty(), "what came so far is not the whole of its revision");
    broken.resume(&world);
    broken.catch_up(&world);
    assert_eq!(broken.told, watcher.told);
}

#[test]
fn every_bug_of_the_table_has_its_test() {
    let source = include_str!("bugs.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! | #"));
    let named = rows.map(|row| row.rsplit('`').nth(1).expect("a test"));
    let named: Vec<&str> = named.collect();
    assert_eq!(named.len(), 8);
    for test in named {
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{test} is not there");
    }
}
