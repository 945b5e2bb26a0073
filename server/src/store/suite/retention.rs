//! Forgetting finished runs and old records: what goes, what stays, and how much at a time.

use std::sync::Arc;

use semel_core::{
    event::{Event, Record},
    id::{Revision, RunId, Timestamp},
    run::Run,
    state::{Blob, BlobKind, LogRow},
};

use super::{Place, Session, fixtures::*};
use crate::store::{Batch, Forget, Forgotten, Reader, RunQuery};

fn forget_runs(before: Timestamp, rows: usize) -> Option<Forget> {
    Some(Forget {
        ended_before: Some(before),
        run_rows_max: rows,
        recorded_before: None,
        records_max: 0,
        bytes_max: usize::MAX,
    })
}

fn forget_records(before: Timestamp, records: usize, bytes: usize) -> Option<Forget> {
    Some(Forget {
        ended_before: None,
        run_rows_max: 0,
        recorded_before: Some(before),
        records_max: records,
        bytes_max: bytes,
    })
}

fn forgotten(runs: u64, records: u64, is_more: bool) -> Forgotten {
    Forgotten { runs, records, is_more }
}

fn settle(id: RunId) -> Run {
    run(id, &job_key("pay", "settle"))
}

fn found(reader: &dyn Reader) -> Vec<RunId> {
    let of_app = reader.runs(&runs_of("pay")).expect("a read").items;
    let of_job = RunQuery { job: Some(job_name("settle")), ..runs_of("pay") };
    assert_eq!(of_app, reader.runs(&of_job).expect("a read").items, "both ways of listing agree");
    of_app.into_iter().map(|run| run.id).collect()
}

pub(super) fn finished_runs_go_by_their_end_and_live_ones_stay(place: &impl Place) {
    // The first one made is still live, the second one ended last.
    let ids = [1, 2, 3, 4].map(|number| run_id(number, 1));
    let [live, late, early, middle] = ids.map(settle);
    let (late, early, middle) = (ended_at(late, 90), ended_at(early, 10), ended_at(middle, 50));
    let mut session = Session::start(place);
    session.commit(&Batch { live: vec![&live, &settle(ids[1]), &settle(ids[3])], ..batch(1) });
    session.commit(&Batch { finished: vec![&early, &middle, &late], ..batch(2) });

    let slice = |session: &mut Session, before| {
        session.commit(&Batch { forget: forget_runs(at(before), 1000), ..batch(3) }).forgotten
    };
    assert_eq!(slice(&mut session, 10), forgotten(0, 0, false), "at its bound it stays");
    assert_eq!(slice(&mut session, 11), forgotten(1, 0, false));
    assert_eq!(found(&*session.reader), [middle.id, late.id, live.id]);
    drop(session);
    let mut session = Session::start(place);
    assert_eq!(slice(&mut session, 1_000_000), forgotten(2, 0, false));
    assert_eq!(found(&*session.reader), [live.id]);
    assert_eq!(session.reader.run(late.id).expect("a read"), None);
    assert_eq!(session.loaded.rows.runs, [live]);
}

pub(super) fn what_lies_beside_a_run_goes_with_it_and_its_neighbours_stay(place: &impl Place) {
    let [gone, kept] = [1, 2].map(|number| run_id(1, number));
    let blobs: Vec<Blob> = [gone, kept]
        .into_iter()
        .flat_map(|run_id| {
            [BlobKind::Payload, BlobKind::Result].map(|kind| Blob { run_id, kind, payload: payload("x") })
        })
        .collect();
    let logs: Vec<LogRow> = [gone, kept].into_iter().flat_map(|id| [0, 1, 2].map(|index| log_row(id, index))).collect();
    let (first, second) = (ended_at(settle(gone), 5), ended_at(settle(kept), 6));
    let mut session = Session::start(place);
    session.commit(&Batch {
        finished: vec![&first, &second],
        blobs: blobs.iter().collect(),
        logs: logs.iter().collect(),
        ..batch(1)
    });
    let committed = session.commit(&Batch { forget: forget_runs(at(6), 1000), ..batch(2) });
    assert_eq!(committed.forgotten, forgotten(1, 0, false));
    let left = |id| {
        let blobs = [BlobKind::Payload, BlobKind::Result].map(|kind| session.reader.blob(id, kind).expect("a read"));
        (blobs.into_iter().flatten().count(), session.reader.logs(id, 0, 100).expect("a read").len())
    };
    assert_eq!((left(gone), left(kept)), ((0, 0), (2, 3)));
}

pub(super) fn a_run_with_a_long_log_goes_in_slices_and_is_not_found_after_the_first(place: &impl Place) {
    let id = run_id(1, 1);
    let logs: Vec<LogRow> = (0..25).map(|index| log_row(id, index)).collect();
    let (run, next) = (ended_at(settle(id), 5), ended_at(settle(run_id(2, 2)), 6));
    let result = Blob { run_id: id, kind: BlobKind::Result, payload: payload("x") };
    let mut session = Session::start(place);
    session.commit(&Batch {
        finished: vec![&run, &next],
        logs: logs.iter().collect(),
        blobs: vec![&result],
        ..batch(1)
    });
    let mut left = Vec::new();
    for slice in 1.. {
        let committed = session.commit(&Batch { forget: forget_runs(at(6), 10), ..batch(2) }).forgotten;
        left.push(session.reader.logs(id, 0, 100).expect("a read").len());
        assert_eq!(session.reader.run(id).expect("a read"), None, "after slice {slice}");
        assert_eq!(committed.runs, u64::from(!committed.is_more), "it counts when nothing is left");
        // Nothing is forgotten of where the work stands.
        drop(session);
        session = Session::start(place);
        if !committed.is_more {
            break;
        }
    }
    assert_eq!(left, [16, 6, 0], "ten rows at a time, the run itself among the first");
    assert_eq!(session.reader.blob(id, BlobKind::Result).expect("a read"), None);
    assert_eq!(found(&*session.reader), [next.id]);
}

pub(super) fn what_is_made_while_others_are_forgotten_is_told_whole(place: &impl Place) {
    let gone = [1, 2, 3].map(|number| ended_at(settle(run_id(number, 1)), 5));
    let made = [10, 11].map(|number| Arc::new(settle(run_id(number, 1))));
    let mut session = Session::start(place);
    session.commit(&Batch { finished: gone.iter().collect(), ..batch(1) });
    let event = |run: &Arc<Run>| Event::RunCreated { run: run.clone(), unique_until: None, payload: None };
    let records = vec![Record { events: made.iter().map(event).collect(), ..record_at(2, 9) }];
    let live = made.iter().map(Arc::as_ref).collect();
    let committed =
        session.commit(&Batch { live, records: records.clone(), forget: forget_runs(at(9), 10), ..batch(2) });
    assert_eq!(committed.forgotten, forgotten(3, 0, false));
    assert_eq!(session.reader.records(Revision(2), 9).expect("a read"), records);
    assert_eq!(found(&*session.reader), [made[1].id, made[0].id]);
}

pub(super) fn old_records_go_in_slices_and_the_oldest_that_is_left_is_known(place: &impl Place) {
    let mut session = Session::start(place);
    assert_eq!(session.reader.oldest_revision().expect("a read"), Revision(1), "the first that will be");
    let records = (1..=30).map(|revision| record_at(revision, i64::try_from(revision).expect("small"))).collect();
    session.commit(&Batch { records, ..batch(30) });

    let slice = |session: &mut Session, before, max| {
        session.commit(&Batch { forget: forget_records(at(before), max, usize::MAX), ..batch(30) }).forgotten
    };
    assert_eq!(slice(&mut session, 21, 8), forgotten(0, 8, true));
    assert_eq!(slice(&mut session, 21, 12), forgotten(0, 12, false), "the slice is full, and there is no more");
    assert_eq!(session.reader.oldest_revision().expect("a read"), Revision(21));
    assert_eq!(session.reader.records(Revision(0), 2).expect("a read"), [record_at(21, 21), record_at(22, 22)]);
    assert_eq!(slice(&mut session, 21, 8), forgotten(0, 0, false));
    drop(session);
    let mut session = Session::start(place);
    assert_eq!(slice(&mut session, 1000, 100), forgotten(0, 10, false));
    assert_eq!(session.reader.oldest_revision().expect("a read"), Revision(31), "the next one");
    session.commit(&Batch { records: vec![record_at(31, 31)], ..batch(31) });
    assert_eq!(session.reader.oldest_revision().expect("a read"), Revision(31));
}

pub(super) fn a_slice_is_bounded_by_bytes_too(place: &impl Place) {
    let mut session = Session::start(place);
    let records = (1..=10).map(|revision| record_at(revision, 1)).collect();
    session.commit(&Batch { records, ..batch(10) });
    let committed = session.commit(&Batch { forget: forget_records(at(2), 100, 1), ..batch(10) });
    assert_eq!(committed.forgotten, forgotten(0, 1, true), "one row, however small the bound");
}
