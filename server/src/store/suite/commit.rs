//! Commit, load, prefetch and the epoch.

use semel_core::{
    command::Method,
    id::{AppName, JobName, Revision, Timestamp},
    state::{Blob, BlobKind},
};

use super::{Place, Session, fixtures::*};
use crate::store::{Batch, Epoch, Error, Wanted};

pub(super) fn a_new_store_is_empty(place: &impl Place) {
    let Session { store: _store, loaded, reader } = Session::start(place);
    assert_eq!((loaded.revision, loaded.high_water, loaded.epoch), (Revision(0), Timestamp(0), Epoch(1)));
    assert!(loaded.window_counts.is_empty() && loaded.rows.apps.is_empty() && loaded.rows.runs.is_empty());
    assert!(loaded.rows.jobs.is_empty() && loaded.rows.tokens.is_empty() && loaded.rows.unique.is_empty());
    assert!(loaded.rows.triggers.is_empty());
    assert_ne!(loaded.store_id, [0; 16]);
    assert_eq!(reader.run(run_id(0, 1)).expect("a read"), None);
    assert!(reader.records(Revision(0), 10).expect("a read").is_empty());
    let page = reader.runs(&runs_of("pay")).expect("a read");
    assert_eq!((page.items.len(), page.next), (0, None));
}

pub(super) fn every_kind_of_row_comes_back_as_it_went_in(place: &impl Place) {
    let key = job_key("pay/eu", "settle");
    let (live, finished) = (run(run_id(1, 1), &key), ended(run(run_id(2, 2), &key)));
    let (app, job) = (app("pay/eu"), job(&key));
    let request = (request_key("pay/eu", 3, 3), dedup(Method::CreateJob, "pay"));
    let unique = (key.clone(), "order 7".to_owned());
    let hold = hold(live.id);
    let (trigger, standing) = (trigger_key(&key), standing(&key));
    let blob = |kind, text| Blob { run_id: live.id, kind, payload: payload(text) };
    let blobs = [blob(BlobKind::Payload, "in"), blob(BlobKind::Result, "")];
    let log = log_row(live.id, 0);
    let mut session = Session::start(place);
    session.commit(&Batch {
        requests: vec![request.clone()],
        records: vec![record(1)],
        apps: vec![(&app.name, Some(&app))],
        tokens: vec![(token_id(1), Some(at(77)))],
        jobs: vec![(&key, Some(&job))],
        live: vec![&live],
        finished: vec![&finished],
        triggers: vec![(&trigger, Some(&standing))],
        unique: vec![(&unique, Some(&hold))],
        blobs: blobs.iter().collect(),
        logs: vec![&log],
        ..batch(1)
    });
    let store_id = session.loaded.store_id;
    for reopen in [false, true] {
        if reopen {
            drop(session);
            session = Session::start(place);
            let rows = &session.loaded.rows;
            assert_eq!((&rows.apps[..], &rows.jobs[..]), (&[app.clone()][..], &[job.clone()][..]));
            assert_eq!((&rows.runs[..], &rows.tokens[..]), (&[live.clone()][..], &[(token_id(1), at(77))][..]));
            assert_eq!(rows.unique, [(unique.clone(), hold.clone())]);
            assert_eq!(rows.triggers, std::slice::from_ref(&standing));
            assert_eq!(session.loaded.store_id, store_id);
        }
        let reader = &session.reader;
        assert_eq!(reader.run(live.id).expect("a read").as_ref(), Some(&live));
        assert_eq!(reader.run(finished.id).expect("a read").as_ref(), Some(&finished));
        assert_eq!(reader.app(&app.name).expect("a read").as_ref(), Some(&app));
        assert_eq!(reader.job(&key).expect("a read").as_ref(), Some(&job));
        assert_eq!(reader.request(&request.0).expect("a read").as_ref(), Some(&request.1));
        assert_eq!(reader.blob(live.id, BlobKind::Payload).expect("a read"), Some(payload("in")));
        assert_eq!(reader.blob(live.id, BlobKind::Result).expect("a read"), Some(payload("")));
        assert_eq!(reader.blob(finished.id, BlobKind::Result).expect("a read"), None);
        assert_eq!(reader.logs(live.id, 0, 10).expect("a read"), std::slice::from_ref(&log));
        assert_eq!(reader.records(Revision(1), 10).expect("a read"), [record(1)]);
    }
}

pub(super) fn a_batch_that_breaks_a_rule_leaves_nothing_behind(place: &impl Place) {
    let key = job_key("pay", "settle");
    let mut session = Session::start(place);
    session.commit(&Batch { records: vec![record(5)], ..batch_of_requests(5, &[request_key("pay", 1, 1)]) });

    let (run, app, blob) = (
        run(run_id(2, 2), &key),
        app("pay"),
        Blob { run_id: run_id(2, 2), kind: BlobKind::Payload, payload: payload("") },
    );
    let new = request_key("pay", 2, 2);
    let good = || Batch {
        records: vec![record(6)],
        apps: vec![(&app.name, Some(&app))],
        live: vec![&run],
        blobs: vec![&blob],
        ..batch_of_requests(6, std::slice::from_ref(&new))
    };
    let again = |mut batch: Batch<'static>| {
        batch.requests.push((request_key("pay", 1, 1), small_dedup()));
        batch
    };
    let broken = [
        ("a request that is there", Batch { requests: again(batch(6)).requests, ..good() }),
        ("a request twice", Batch { requests: [good().requests, good().requests].concat(), ..good() }),
        ("a record that is there", Batch { records: vec![record(5)], ..good() }),
        ("records out of order", Batch { records: vec![record(7), record(6)], revision: Revision(7), ..good() }),
        ("a record beyond the revision", Batch { records: vec![record(6), record(7)], ..good() }),
        ("a revision that goes back", Batch { records: Vec::new(), revision: Revision(4), ..good() }),
    ];
    for (what, batch) in &broken {
        assert!(matches!(session.try_commit(batch), Err(Error::Engine { .. })), "{what}");
        let reader = &session.reader;
        assert_eq!(reader.run(run.id).expect("a read"), None, "{what}");
        assert_eq!(reader.blob(run.id, BlobKind::Payload).expect("a read"), None, "{what}");
        assert_eq!(reader.request(&new).expect("a read"), None, "{what}");
        assert_eq!(reader.apps(None, 10).expect("a read"), [], "{what}");
        assert_eq!(reader.records(Revision(0), 10).expect("a read"), [record(5)], "{what}");
    }
    session.commit(&good());
    drop(session);
    let loaded = Session::start(place).loaded;
    assert_eq!((loaded.revision, loaded.window_counts[&app.name]), (Revision(6), 2));
}

pub(super) fn what_was_committed_is_loaded_again(place: &impl Place) {
    let key = job_key("pay", "settle");
    let runs: Vec<_> = (1..=4).map(|number| run(run_id(number, 1), &key)).collect();
    let (first_ended, last_ended) = (ended(runs[0].clone()), ended(runs[3].clone()));
    let mut session = Session::start(place);
    session.commit(&Batch { live: vec![&runs[0], &runs[1]], ..batch(3) });
    session.commit(&Batch { live: vec![&runs[2]], finished: vec![&first_ended, &last_ended], ..batch(9) });
    session.commit(&batch(9));
    drop(session);

    let session = Session::start(place);
    assert_eq!((session.loaded.revision, session.loaded.high_water), (Revision(9), at(9)));
    assert_eq!(session.loaded.epoch, Epoch(2));
    assert_eq!(session.loaded.rows.runs, runs[1..3], "only what is not finished");
    assert_eq!(session.reader.run(runs[0].id).expect("a read"), Some(first_ended));
}

pub(super) fn the_former_owner_is_fenced(place: &impl Place) {
    let mut session = Session::start(place);
    session.commit(&batch(1));
    let newer = session.store.load().expect("a load").epoch;
    assert_eq!(newer, Epoch(2));
    let refused = session.try_commit(&Batch { records: vec![record(2)], ..batch(2) });
    assert!(matches!(refused, Err(Error::Fenced { held: Epoch(1), current: Epoch(2) })), "{refused:?}");
    assert!(session.reader.records(Revision(0), 10).expect("a read").is_empty());
    assert!(session.store.commit(newer, &Batch { records: vec![record(2)], ..batch(2) }).is_ok());
}

pub(super) fn nobody_commits_without_having_taken_over(place: &impl Place) {
    let mut store = place.open();
    assert!(matches!(store.commit(Epoch(1), &batch(1)), Err(Error::Fenced { .. })));
    drop(store);
    assert_eq!(Session::start(place).loaded.revision, Revision(0));
}

pub(super) fn what_was_deleted_is_gone(place: &impl Place) {
    let key = job_key("pay", "settle");
    let (app, job, unique, hold) = (app("pay"), job(&key), (key.clone(), "order 7".to_owned()), hold(run_id(1, 1)));
    let (trigger, standing) = (trigger_key(&key), standing(&key));
    let mut session = Session::start(place);
    session.commit(&Batch {
        apps: vec![(&app.name, Some(&app))],
        tokens: vec![(token_id(1), Some(at(1))), (token_id(2), Some(at(2)))],
        jobs: vec![(&key, Some(&job))],
        triggers: vec![(&trigger, Some(&standing))],
        unique: vec![(&unique, Some(&hold))],
        ..batch(1)
    });
    session.commit(&Batch {
        apps: vec![(&app.name, None)],
        tokens: vec![(token_id(1), None), (token_id(9), None)],
        jobs: vec![(&key, None)],
        triggers: vec![(&trigger, None)],
        unique: vec![(&unique, None)],
        ..batch(2)
    });
    assert_eq!(session.reader.app(&app.name).expect("a read"), None);
    assert_eq!(session.reader.job(&key).expect("a read"), None);
    assert!(session.reader.jobs(&app.name, None, 9).expect("a read").is_empty());
    drop(session);
    let rows = Session::start(place).loaded.rows;
    assert!(rows.apps.is_empty() && rows.jobs.is_empty() && rows.unique.is_empty());
    assert!(rows.triggers.is_empty());
    assert_eq!(rows.tokens, [(token_id(2), at(2))]);
}

pub(super) fn the_high_water_mark_never_goes_back(place: &impl Place) {
    let mut session = Session::start(place);
    session.commit(&Batch { now: at(500), ..batch(1) });
    session.commit(&Batch { now: at(400), ..batch(2) });
    drop(session);
    assert_eq!(Session::start(place).loaded.high_water, at(500));
}

pub(super) fn prefetch_gives_what_is_there_and_input_only_if_asked(place: &impl Place) {
    let key = job_key("pay", "settle");
    let (live, finished) = (run(run_id(1, 1), &key), ended(run(run_id(2, 2), &key)));
    let blob = |run_id, kind, text| Blob { run_id, kind, payload: payload(text) };
    let input = blob(finished.id, BlobKind::Payload, "in");
    let result = blob(live.id, BlobKind::Result, "out");
    let request = request_key("pay", 1, 1);
    let mut session = Session::start(place);
    session.commit(&Batch {
        live: vec![&live],
        finished: vec![&finished],
        blobs: vec![&input, &result],
        ..batch_of_requests(1, std::slice::from_ref(&request))
    });
    let wanted = Wanted {
        requests: vec![request.clone(), request_key("pay", 1, 2), request_key("other", 1, 1)],
        runs: vec![(finished.id, true), (live.id, true), (run_id(9, 9), true), (finished.id, false)],
    };
    let fetched = session.store.prefetch(&wanted).expect("a read");
    assert_eq!(fetched.requests.into_iter().collect::<Vec<_>>(), [(request, small_dedup())]);
    let input = Some(payload("in"));
    assert_eq!(fetched.runs, [(finished.clone(), input), (live, None), (finished, None)]);
}

pub(super) fn the_longest_unique_key_fits_under_the_longest_names(place: &impl Place) {
    let key = job_key(&"a".repeat(128), &"j".repeat(128));
    let long = |last: &str| (key.clone(), "k".repeat(254) + last);
    let (first, second, job) = (long("1"), long("2"), job(&key));
    let run = run(run_id(1, 1), &key);
    let (of_first, of_second) = (hold(run_id(1, 1)), hold(run_id(2, 2)));
    let mut session = Session::start(place);
    session.commit(&Batch {
        jobs: vec![(&key, Some(&job))],
        live: vec![&run],
        unique: vec![(&first, Some(&of_first)), (&second, Some(&of_second))],
        ..batch_of_requests(1, &[request_key(key.app.as_str(), 1, 1)])
    });
    session.commit(&Batch { unique: vec![(&first, None)], ..batch(2) });
    let query = crate::store::RunQuery { job: Some(key.job.clone()), ..runs_of(key.app.as_str()) };
    assert_eq!(session.reader.runs(&query).expect("a read").items, [run]);
    drop(session);
    assert_eq!(Session::start(place).loaded.rows.unique, [(second, of_second)]);
}

pub(super) fn unique_keys_that_look_alike_are_kept_apart(place: &impl Place) {
    let names: [(AppName, JobName, &str); 4] = [
        (app_name("a"), job_name("b"), "c"),
        (app_name("a/b"), job_name("c"), "c"),
        (app_name("a"), job_name("bc"), ""),
        (app_name("a"), job_name("b"), "\0c"),
    ];
    let unique = |(app, job, key): &(AppName, JobName, &str)| {
        (semel_core::id::JobKey { app: app.clone(), job: job.clone() }, (*key).to_owned())
    };
    let mut rows: Vec<_> =
        names.iter().zip(1..).map(|(name, number)| (unique(name), hold(run_id(number, 1)))).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { unique: rows.iter().map(|(key, hold)| (key, Some(hold))).collect(), ..batch(1) });
    drop(session);
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(Session::start(place).loaded.rows.unique, rows);
}
