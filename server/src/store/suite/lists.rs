//! Lists: order, pages, filters and bounds.

use semel_core::{
    command::Method,
    id::{JobKey, Revision, RunId, Timestamp},
    run::{Phase, Run},
};

use super::{Place, Session, fixtures::*};
use crate::store::{Batch, DedupKey, Reader, RequestQuery, RunQuery, SCAN_ROWS_MAX};

/// The ids of all pages of a list, and how many pages there were.
fn all_runs(reader: &dyn Reader, query: &RunQuery) -> (Vec<RunId>, usize) {
    let (mut ids, mut pages, mut query) = (Vec::new(), 0, query.clone());
    loop {
        let page = reader.runs(&query).expect("a read");
        assert!(page.items.len() <= query.limit);
        assert!(page.next.is_none() || page.next < query.before || query.before.is_none(), "a page leads on");
        ids.extend(page.items.iter().map(|run| run.id));
        pages += 1;
        match page.next {
            Some(next) => query.before = Some(next),
            None => return (ids, pages),
        }
    }
}

fn all_requests(reader: &dyn Reader, query: &RequestQuery) -> Vec<DedupKey> {
    let (mut keys, mut query) = (Vec::new(), query.clone());
    loop {
        let page = reader.requests(&query).expect("a read");
        assert!(page.items.len() <= query.limit);
        keys.extend(page.items.into_iter().map(|(key, _)| key));
        match page.next {
            Some(next) => query.before = Some(next),
            None => return keys,
        }
    }
}

pub(super) fn runs_come_newest_first_without_gap_or_repetition(place: &impl Place) {
    let (ours, other) = (job_key("pay", "settle"), job_key("pay", "report"));
    // Two runs of each millisecond, in turn of two jobs; every fifth has ended.
    let runs: Vec<Run> = (0..30)
        .map(|number| {
            let key = if number % 2 == 0 { &ours } else { &other };
            run(run_id(number / 2, number.cast_unsigned()), key)
        })
        .collect();
    let finished: Vec<Run> = runs.iter().step_by(5).cloned().map(ended).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { live: runs.iter().collect(), ..batch(1) });
    session.commit(&Batch { finished: finished.iter().collect(), ..batch(2) });

    let newest_first: Vec<RunId> = runs.iter().rev().map(|run| run.id).collect();
    let of_job: Vec<RunId> = runs.iter().rev().filter(|run| run.job == ours).map(|run| run.id).collect();
    for limit in [1, 2, 7, 15, 29, 30, 31] {
        let of_app = RunQuery { limit, ..runs_of("pay") };
        assert_eq!(all_runs(&*session.reader, &of_app), (newest_first.clone(), 30_usize.div_ceil(limit)), "{limit}");
        let query = RunQuery { job: Some(ours.job.clone()), ..of_app };
        assert_eq!(all_runs(&*session.reader, &query), (of_job.clone(), 15_usize.div_ceil(limit)), "{limit}");
    }
}

pub(super) fn runs_are_filtered(place: &impl Place) {
    let labelled = |mut run: Run, value: &str| {
        std::sync::Arc::make_mut(&mut run.labels).insert("size".to_owned(), value.to_owned());
        run
    };
    let key = job_key("pay", "settle");
    let a = labelled(run(run_id(1, 1), &key), "big");
    let b = labelled(ended(run(run_id(2, 2), &key)), "big");
    let c = run(run_id(3, 3), &job_key("pay", "settle2"));
    let d = run(run_id(4, 4), &job_key("pay/x", "settle"));
    let e = run(run_id(5, 5), &job_key("payroll", "settle"));
    let mut session = Session::start(place);
    session.commit(&Batch { live: vec![&a, &c, &d, &e], finished: vec![&b], ..batch(1) });

    let check = |query: RunQuery, expected: &[&Run]| {
        let ids = all_runs(&*session.reader, &query).0;
        assert_eq!(ids, expected.iter().map(|run| run.id).collect::<Vec<_>>(), "{query:?}");
    };
    let label = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    check(runs_of("pay"), &[&c, &b, &a]);
    check(runs_of("pay/x"), &[&d]);
    check(runs_of("none"), &[]);
    check(RunQuery { job: Some(job_name("settle")), ..runs_of("pay") }, &[&b, &a]);
    check(RunQuery { job: Some(job_name("none")), ..runs_of("pay") }, &[]);
    check(RunQuery { phases: vec![Phase::Queued], ..runs_of("pay") }, &[&c, &a]);
    check(RunQuery { phases: vec![Phase::Running, Phase::Failed], ..runs_of("pay") }, &[&b]);
    check(RunQuery { labels: label("size", "big"), ..runs_of("pay") }, &[&b, &a]);
    check(RunQuery { labels: label("size", "small"), ..runs_of("pay") }, &[]);
    let both = RunQuery { labels: label("size", "big"), phases: vec![Phase::Queued], ..runs_of("pay") };
    check(RunQuery { job: Some(job_name("settle")), ..both }, &[&a]);
}

pub(super) fn runs_are_bounded_by_time(place: &impl Place) {
    let key = job_key("pay", "settle");
    let runs: Vec<Run> = (0..10).map(|number| run(run_id(number, 1), &key)).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { live: runs.iter().collect(), ..batch(1) });
    let times = |from: Option<Timestamp>, until: Option<Timestamp>, before: Option<i64>| {
        let query = RunQuery { from, until, before: before.map(|time| run_id(time, 1)), ..runs_of("pay") };
        let of_app = all_runs(&*session.reader, &query);
        let of_job = all_runs(&*session.reader, &RunQuery { job: Some(key.job.clone()), ..query });
        assert_eq!(of_app, of_job);
        of_app.0.iter().map(|id| id.time().0 - START).collect::<Vec<_>>()
    };
    assert_eq!(times(Some(at(7)), None, None), [9, 8, 7]);
    assert_eq!(times(None, Some(at(2)), None), [1, 0]);
    assert_eq!(times(Some(at(3)), Some(at(5)), None), [4, 3]);
    assert_eq!(times(Some(at(3)), Some(at(8)), Some(6)), [5, 4, 3]);
    assert_eq!(times(Some(at(5)), Some(at(5)), None), [0; 0]);
    assert_eq!(times(Some(at(5)), Some(at(2)), None), [0; 0]);
    assert_eq!(times(Some(at(100)), None, None), [0; 0]);
    assert_eq!(times(Some(Timestamp(i64::MIN)), Some(Timestamp(i64::MAX)), Some(1)), [0]);
}

pub(super) fn a_run_that_ended_in_its_first_batch_is_listed(place: &impl Place) {
    let key = job_key("pay", "settle");
    let run = ended(run(run_id(1, 1), &key));
    let mut session = Session::start(place);
    session.commit(&Batch { finished: vec![&run], ..batch(1) });
    let query = RunQuery { job: Some(key.job), ..runs_of("pay") };
    assert_eq!(session.reader.runs(&query).expect("a read").items, [run]);
    drop(session);
    assert!(Session::start(place).loaded.rows.runs.is_empty());
}

pub(super) fn a_list_of_runs_looks_at_a_bounded_number_of_rows(place: &impl Place) {
    let ours = job_key("pay", "settle");
    let bare = |id, key: &JobKey| Run { attempts: Vec::new(), ..run(id, key) };
    let old = bare(run_id(0, 1), &ours);
    let newer = 1 + SCAN_ROWS_MAX as u64;
    let many: Vec<Run> = (1..=newer).map(|number| bare(run_id(1, number), &job_key("other", "busy"))).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { live: many.iter().chain([&old]).collect(), ..batch(1) });

    let first = session.reader.runs(&runs_of("pay")).expect("a read");
    assert_eq!((first.items.len(), first.next), (0, Some(run_id(1, 2))), "empty, and yet not the last");
    let second = session.reader.runs(&RunQuery { before: first.next, ..runs_of("pay") }).expect("a read");
    assert_eq!((&second.items[..], second.next), (&[old][..], None));

    let none = RunQuery { phases: vec![Phase::Expired], job: Some(job_name("busy")), ..runs_of("other") };
    let page = session.reader.runs(&none).expect("a read");
    assert_eq!((page.items.len(), page.next), (0, Some(run_id(1, 2))), "so it is within a job");
    assert_eq!(all_runs(&*session.reader, &none), (Vec::new(), 2));
}

pub(super) fn requests_come_newest_first_and_filtered(place: &impl Place) {
    let key = |number: i64| request_key("pay", number, 1);
    let requests = vec![
        (key(1), dedup(Method::RunJob, "ann")),
        (key(2), dedup(Method::CreateJob, "ann")),
        (key(3), dedup(Method::RunJob, "bob")),
        (request_key("pay/x", 3, 1), dedup(Method::RunJob, "bob")),
        (request_key("payroll", 4, 1), dedup(Method::RunJob, "bob")),
        (key(5), dedup(Method::RunJob, "ann")),
    ];
    let mut session = Session::start(place);
    session.commit(&Batch { requests: requests.clone(), ..batch(1) });
    let check = |query: RequestQuery, expected: &[i64]| {
        let expected: Vec<_> = expected.iter().map(|number| key(*number)).collect();
        for limit in [1, 2, 100] {
            assert_eq!(all_requests(&*session.reader, &RequestQuery { limit, ..query.clone() }), expected, "{query:?}");
        }
    };
    let all = || requests_of("pay");
    check(all(), &[5, 3, 2, 1]);
    check(RequestQuery { method: Some(Method::RunJob), ..all() }, &[5, 3, 1]);
    check(RequestQuery { principal: Some("ann".to_owned()), ..all() }, &[5, 2, 1]);
    check(RequestQuery { from: Some(at(2)), until: Some(at(5)), ..all() }, &[3, 2]);
    check(RequestQuery { before: Some(request_id(3, 1)), ..all() }, &[2, 1]);
    check(RequestQuery { from: Some(at(6)), ..all() }, &[]);
    let page = session.reader.requests(&RequestQuery { limit: 1, ..all() }).expect("a read");
    assert_eq!(page.items, [requests[5].clone()]);
}

pub(super) fn a_list_of_requests_misses_nothing_where_apps_share_an_id(place: &impl Place) {
    let old: Vec<DedupKey> = ["a", "b", "c"].map(|app| request_key(app, 0, 1)).to_vec();
    // One less than the bound: the bound falls between rows with the same id.
    let busy = (1..SCAN_ROWS_MAX as u64).map(|number| request_key("z", 1, number));
    let keys: Vec<DedupKey> = busy.chain(old).collect();
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, &keys));
    for app in ["a", "b", "c"] {
        assert_eq!(all_requests(&*session.reader, &requests_of(app)), [request_key(app, 0, 1)], "{app}");
    }
}

pub(super) fn jobs_come_in_order_and_only_of_the_app(place: &impl Place) {
    let keys = ["pay a", "pay a-b", "pay a.b", "pay b", "pay-roll a", "pay/x a", "pay0 a", "payroll a", "pa z"]
        .map(|name| name.split_once(' ').map(|(app, job)| job_key(app, job)).expect("two names"));
    let jobs: Vec<_> = keys.iter().rev().map(job).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { jobs: jobs.iter().map(|job| (&job.key, Some(job))).collect(), ..batch(1) });
    let names = |app: &str, after: Option<&str>, limit| {
        let jobs = session.reader.jobs(&app_name(app), after.map(job_name).as_ref(), limit).expect("a read");
        assert!(jobs.iter().all(|job| job.key.app == app_name(app)));
        jobs.iter().map(|job| job.key.job.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("pay", None, 10), ["a", "a-b", "a.b", "b"]);
    assert_eq!(names("pay", None, 2), ["a", "a-b"]);
    assert_eq!(names("pay", Some("a-b"), 10), ["a.b", "b"]);
    assert_eq!(names("pay", Some("a-c"), 1), ["a.b"], "after a name that is not there");
    assert_eq!(names("pay", Some("b"), 10), [""; 0]);
    assert_eq!(names("pay/x", None, 10), ["a"]);
    assert_eq!(names("p", None, 10), [""; 0]);
    drop(session);
    let loaded: Vec<_> = Session::start(place).loaded.rows.jobs.into_iter().map(|job| job.key).collect();
    let mut in_order = keys.to_vec();
    in_order.sort();
    assert_eq!(loaded, in_order);
}

pub(super) fn apps_come_in_order(place: &impl Place) {
    let apps = ["pay/x", "pay", "zoo", "pay0", "pay-x"].map(app);
    let mut session = Session::start(place);
    session.commit(&Batch { apps: apps.iter().map(|app| (&app.name, Some(app))).collect(), ..batch(1) });
    let names = |after: Option<&str>, limit| {
        let apps = session.reader.apps(after.map(app_name).as_ref(), limit).expect("a read");
        apps.iter().map(|app| app.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 10), ["pay", "pay-x", "pay/x", "pay0", "zoo"]);
    assert_eq!(names(Some("pay"), 2), ["pay-x", "pay/x"]);
    assert_eq!(names(Some("pay1"), 10), ["zoo"]);
    assert_eq!(names(Some("zoo"), 10), [""; 0]);
}

pub(super) fn logs_come_in_pages_and_only_of_the_run(place: &impl Place) {
    let (ours, next) = (run_id(1, 1), run_id(1, 2));
    let rows: Vec<_> = (0..300).map(|index| log_row(ours, index)).chain([log_row(next, 0), log_row(next, 7)]).collect();
    let mut session = Session::start(place);
    session.commit(&Batch { logs: rows.iter().collect(), ..batch(1) });
    let logs = |id, from, limit| session.reader.logs(id, from, limit).expect("a read");
    assert_eq!(logs(ours, 0, 256), rows[..256]);
    assert_eq!(logs(ours, 256, 256), rows[256..300]);
    assert_eq!(logs(ours, 300, 256), []);
    assert_eq!(logs(next, 1, 10), [log_row(next, 7)]);
    assert_eq!(logs(run_id(9, 9), 0, 10), []);
}

pub(super) fn records_come_from_a_revision_on(place: &impl Place) {
    let mut session = Session::start(place);
    session.commit(&Batch { records: (1..=300).map(record).collect(), ..batch(300) });
    session.commit(&Batch { records: vec![record(302), record(305)], ..batch(306) });
    let revisions = |from, limit| {
        let records = session.reader.records(Revision(from), limit).expect("a read");
        records.iter().map(|record| record.revision.0).collect::<Vec<_>>()
    };
    assert_eq!(revisions(0, 3), [1, 2, 3]);
    assert_eq!(revisions(255, 3), [255, 256, 257]);
    assert_eq!(revisions(299, 10), [299, 300, 302, 305]);
    assert_eq!(revisions(306, 10), [0; 0]);
    assert_eq!(revisions(u64::MAX, 10), [0; 0]);
}
