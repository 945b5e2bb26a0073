//! The one thing that steps cannot show: publishing and looking at once, from threads of their own. What must hold is the
//! order in which entries, marks and the end of what is marked become visible.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    thread,
};

use semel_core::{
    event::{Event, Record},
    facts::{Facts, RunFacts},
    id::{JobKey, Revision, RunId, Timestamp},
    job::Labels,
    run::Phase,
};

use super::world::{app, job, viewer};
use crate::transport::watch::{
    cursor::{Cursor, Turn},
    filter::{Apps, Filter, Kinds},
    hub::{Seat, Shared},
    ring::Entry,
};

const RECORDS: u64 = 20_000;
const RUNS: u8 = 7;
/// Small enough that threads fall behind it now and then.
const RING: usize = 512;

fn run_id(at: u8) -> RunId {
    RunId([at; 16])
}

/// One step of one of the runs.
pub(in crate::transport::watch) fn record(revision: u64) -> Record {
    let at = u8::try_from(revision * 31 % u64::from(RUNS)).expect("it is small");
    let facts = RunFacts {
        job: JobKey { app: app("a"), job: job("x") },
        from: Phase::Retrying,
        labels: Arc::default(),
        held: None,
        cause: None,
    };
    Record {
        revision: Revision(revision),
        time: Timestamp(0),
        request_id: None,
        principal: "".into(),
        events: vec![Event::RunQueued { run_id: run_id(at) }],
        facts: vec![Facts::Run(facts)],
    }
}

/// Only these runs.
pub(in crate::transport::watch) fn filter(runs: &[u8]) -> Filter {
    Filter {
        apps: Apps::One(app("a")),
        jobs: BTreeSet::new(),
        runs: runs.iter().map(|at| run_id(*at)).collect(),
        labels: Labels::new(),
        kinds: Kinds::ALL,
    }
}

/// Looks until everything was published and passed; gives how many events it was told.
fn watch(shared: &Arc<Shared>, store: &Mutex<Vec<Arc<Entry>>>, filter: Filter) -> usize {
    let (filter, principal) = (Arc::new(filter), viewer(&["a"]));
    let seat = Seat::take(shared, &filter, None).expect("there is room");
    let mut cursor = Cursor::new(filter, seat.slot.clone(), Revision(0));
    let mut told = 0;
    while cursor.position() < Revision(RECORDS) {
        let mut turn = cursor.turn(shared, &principal);
        if matches!(turn, Turn::Read) {
            let from = usize::try_from(cursor.position().0).expect("it is small");
            let page: Vec<_> = store.lock().expect("no thread died").iter().skip(from).take(100).cloned().collect();
            turn = cursor.take_page(&page, &principal);
        }
        match turn {
            Turn::Tell(batch) => told += batch.events.len(),
            Turn::Idle => thread::yield_now(),
            Turn::Again | Turn::Read => {}
        }
    }
    told
}

#[test]
fn whoever_looks_while_others_publish_misses_nothing() {
    let shared = Arc::new(Shared::new(Revision(0), RING));
    let store = Mutex::new(Vec::new());
    let wanted: [&[u8]; 4] = [&[], &[0], &[1, 2], &[3, 4, 5]];
    let told = thread::scope(|scope| {
        let watchers = wanted.map(|runs| scope.spawn(|| watch(&shared, &store, filter(runs))));
        let mut next = 1;
        while next <= RECORDS {
            let end = (next + next % 9).min(RECORDS);
            let entries: Vec<_> =
                (next..=end).map(|revision| Arc::new(Entry::of(&record(revision), |_| None))).collect();
            store.lock().expect("no thread died").extend(entries.iter().cloned());
            // Sometimes the ring is passed by.
            if end % 37 == 0 {
                shared.pass(Revision(end));
            } else {
                shared.publish(&entries).wake();
            }
            next = end + 1;
        }
        watchers.map(|watcher| watcher.join().expect("it ends"))
    });
    for (runs, told) in wanted.iter().zip(told) {
        let matching = (1..=RECORDS).filter(|revision| {
            runs.is_empty() || runs.contains(&u8::try_from(revision * 31 % u64::from(RUNS)).expect("it is small"))
        });
        assert_eq!(told, matching.count(), "{runs:?}");
    }
}
