//! Readers beside the writer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use semel_core::{
    id::{Revision, RunId},
    run::Run,
};

use super::{Place, Session, fixtures::*};
use crate::store::{Batch, Reader};

const COMMITS: u64 = 200;

/// Each batch writes two runs and a record, all with its revision. Whoever sees one of them must see the others.
pub(super) fn readers_see_a_batch_whole_or_not_at_all(place: &impl Place) {
    let key = job_key("pay", "settle");
    let (first, second) = (run_id(1, 1), run_id(2, 2));
    let of_revision = |id: RunId, revision: u64| Run { revision: Revision(revision), ..run(id, &key) };
    let mut session = Session::start(place);
    let is_done = AtomicBool::new(false);
    let readers = [session.store.reader(), session.store.reader()];
    thread::scope(|scope| {
        let watchers = readers.each_ref().map(|reader| {
            scope.spawn(|| {
                let mut last = 0;
                // One more look after the end, so that each reader sees the end.
                loop {
                    let is_last = is_done.load(Ordering::Acquire);
                    last = look(&**reader, last);
                    if is_last {
                        return last;
                    }
                }
            })
        });
        for revision in 1..=COMMITS {
            let (first, second) = (of_revision(first, revision), of_revision(second, revision));
            session.commit(&Batch { live: vec![&first, &second], records: vec![record(revision)], ..batch(revision) });
            let seen = session.reader.run(first.id).expect("a read").map(|run| run.revision.0);
            assert_eq!(seen, Some(revision), "whoever committed sees it at once");
        }
        is_done.store(true, Ordering::Release);
        for watcher in watchers {
            assert_eq!(watcher.join().expect("a reader"), COMMITS);
        }
    });
}

/// Looks once, and gives the revision that was seen, which is not less than the last one.
fn look(reader: &dyn Reader, last: u64) -> u64 {
    let page = reader.runs(&runs_of("pay")).expect("a read");
    let revisions: Vec<u64> = page.items.iter().map(|run| run.revision.0).collect();
    let seen = match revisions[..] {
        [] => 0,
        [second, first] => {
            assert_eq!(first, second, "half a batch");
            first
        }
        _ => panic!("{revisions:?}"),
    };
    assert!(seen >= last, "time goes back: {seen} after {last}");
    let records = reader.records(Revision(seen.max(1)), 1).expect("a read");
    assert!(seen == 0 || records[0].revision.0 == seen, "a run without its record");
    seen
}
