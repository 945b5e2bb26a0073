//! Whatever batches come, the store on disk and the one in memory read alike.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use semel_core::{
    app::App,
    command::Method,
    event::Record,
    id::{AppName, JobKey, Revision, RunId, Timestamp, TokenId},
    job::Job,
    run::{Phase, Run},
    state::{Blob, BlobKind, LogRow, UniqueHold},
    window::{Arrivals, DedupRecord, Told},
};

use super::{InMemory, OnDisk, Place, Session, fixtures::*};
use crate::store::{Batch, DedupKey, Forget, Page, Reader, RequestQuery, RunQuery, Wanted};

const APPS: [&str; 4] = ["a", "a/b", "ab", "b"];
const JOBS: [&str; 3] = ["j", "j-1", "j1"];
const RUNS: u8 = 16;
const REQUESTS: u8 = 24;

/// One row of a batch. Small numbers, so that batches meet each other's rows.
#[derive(Clone, Copy, Debug)]
enum Op {
    App { app: u8, is_there: bool },
    Token { token: u8, is_there: bool },
    Job { app: u8, job: u8, is_there: bool },
    Run { run: u8, ends: bool, change: u8 },
    Unique { app: u8, key: u8, is_there: bool },
    Blob { run: u8, is_result: bool, text: u8 },
    Log { run: u8, index: u8 },
    Request { request: u8, app: u8, by_ann: bool },
    Arrival { request: u8, app: u8, arrivals: u8 },
    Record { skipped: u8 },
    Expire { before: u8, max: u8 },
    Forget { ended_before: u8, recorded_before: u8, rows: u8, bytes: u16 },
}

fn op() -> impl Strategy<Value = Op> {
    let (app, job, run, request) = (|| 0..4_u8, || 0..3_u8, || 0..RUNS, || 0..REQUESTS);
    prop_oneof![
        1 => (app(), any::<bool>()).prop_map(|(app, is_there)| Op::App { app, is_there }),
        1 => (0..3_u8, any::<bool>()).prop_map(|(token, is_there)| Op::Token { token, is_there }),
        1 => (app(), job(), any::<bool>()).prop_map(|(app, job, is_there)| Op::Job { app, job, is_there }),
        4 => (run(), any::<bool>(), any::<u8>()).prop_map(|(run, ends, change)| Op::Run { run, ends, change }),
        1 => (app(), 0..3_u8, any::<bool>()).prop_map(|(app, key, is_there)| Op::Unique { app, key, is_there }),
        1 => (run(), any::<bool>(), any::<u8>()).prop_map(|(run, is_result, text)| Op::Blob { run, is_result, text }),
        1 => (run(), 0..4_u8).prop_map(|(run, index)| Op::Log { run, index }),
        4 => (request(), app(), any::<bool>()).prop_map(|(request, app, by_ann)| Op::Request { request, app, by_ann }),
        1 => (request(), app(), any::<u8>()).prop_map(|(request, app, arrivals)| Op::Arrival { request, app, arrivals }),
        2 => (0..3_u8).prop_map(|skipped| Op::Record { skipped }),
        1 => (request(), 0..6_u8).prop_map(|(before, max)| Op::Expire { before, max }),
        2 => (0..50_u8, 0..50_u8, 0..9_u8, 0..900_u16).prop_map(|(ended_before, recorded_before, rows, bytes)| {
            Op::Forget { ended_before, recorded_before, rows, bytes }
        }),
    ]
}

fn app_at(app: u8) -> AppName {
    app_name(APPS[usize::from(app)])
}

fn job_at(app: u8, job: u8) -> JobKey {
    job_key(APPS[usize::from(app)], JOBS[usize::from(job)])
}

/// Two runs of each millisecond.
fn run_at(run: u8) -> RunId {
    run_id(i64::from(run / 2), u64::from(run))
}

fn request_at(request: u8, app: u8) -> DedupKey {
    request_key(APPS[usize::from(app)], i64::from(request / 2), u64::from(request))
}

/// The rows of a batch, as an engine would have them: each at most once, and only what the rules allow.
#[derive(Default)]
struct Owned {
    revision: u64,
    apps: BTreeMap<AppName, Option<App>>,
    tokens: BTreeMap<TokenId, Option<Timestamp>>,
    jobs: BTreeMap<JobKey, Option<Job>>,
    runs: BTreeMap<RunId, (Run, bool)>,
    unique: BTreeMap<(JobKey, String), Option<UniqueHold>>,
    blobs: Vec<Blob>,
    logs: Vec<LogRow>,
    requests: BTreeMap<DedupKey, DedupRecord>,
    arrivals: Vec<(DedupKey, Arrivals)>,
    records: Vec<Record>,
    expire: Option<(Timestamp, usize)>,
    forget: Option<Forget>,
}

impl Owned {
    fn take(&mut self, op: Op, ended_runs: &mut BTreeSet<RunId>, reader: &dyn Reader) {
        match op {
            Op::App { app: at, is_there } => {
                self.apps.insert(app_at(at), is_there.then(|| app(APPS[usize::from(at)])));
            }
            Op::Token { token, is_there } => {
                self.tokens.insert(token_id(token), is_there.then(|| at(5)));
            }
            Op::Job { app, job: at, is_there } => {
                let key = job_at(app, at);
                self.jobs.insert(key.clone(), is_there.then(|| job(&key)));
            }
            Op::Run { run: slot, ends, change } => self.take_run(slot, ends, change, ended_runs),
            Op::Unique { app, key, is_there } => {
                let hold = is_there.then(|| hold(run_at(key)));
                self.unique.insert((job_at(app, 0), format!("key {key}")), hold);
            }
            Op::Blob { run, is_result, text } => {
                let kind = if is_result { BlobKind::Result } else { BlobKind::Payload };
                self.blobs.push(Blob { run_id: run_at(run), kind, payload: payload(&text.to_string()) });
            }
            Op::Log { run, index } => self.logs.push(log_row(run_at(run), u32::from(index))),
            Op::Request { request, app, by_ann } => {
                let key = request_at(request, app);
                if reader.request(&key).expect("a read").is_none() {
                    let method = if by_ann { Method::RunJob } else { Method::CancelRun };
                    self.requests.insert(key, dedup(method, if by_ann { "ann" } else { "bob" }));
                }
            }
            Op::Arrival { request, app, arrivals } => {
                let told = (arrivals % 3 == 0).then(|| Told { previous_attempts: arrivals.into(), proxy_attempts: 1 });
                self.arrivals.push((request_at(request, app), Arrivals { count: u64::from(arrivals), told }));
            }
            Op::Record { skipped } => {
                self.revision += 1 + u64::from(skipped);
                self.records.push(record_at(self.revision, i64::try_from(self.revision).expect("small")));
            }
            Op::Forget { ended_before, recorded_before, rows, bytes } => {
                let before = |millis: u8| (millis > 0).then(|| at(i64::from(millis)));
                self.forget = Some(Forget {
                    ended_before: before(ended_before),
                    run_rows_max: usize::from(rows),
                    recorded_before: before(recorded_before),
                    records_max: usize::from(rows),
                    bytes_max: usize::from(bytes),
                });
            }
            Op::Expire { before, max } => self.expire = Some((at(i64::from(before / 2)), usize::from(max))),
        }
    }

    fn take_run(&mut self, slot: u8, ends: bool, change: u8, ended_runs: &mut BTreeSet<RunId>) {
        let key = job_at(slot % 4, slot % 3);
        let run = Run { priority: i32::from(change), ..run(run_at(slot), &key) };
        if ended_runs.contains(&run.id) {
            return;
        }
        if ends {
            ended_runs.insert(run.id);
        }
        self.runs.insert(run.id, (if ends { ended_at(run, i64::from(change % 40)) } else { run }, ends));
    }

    fn batch(&self) -> Batch<'_> {
        let runs = |ended| self.runs.values().filter(move |(_, ends)| *ends == ended).map(|(run, _)| run).collect();
        Batch {
            requests: self.requests.clone().into_iter().collect(),
            arrivals: self.arrivals.clone(),
            records: self.records.clone(),
            apps: self.apps.iter().map(|(key, app)| (key, app.as_ref())).collect(),
            tokens: self.tokens.clone().into_iter().collect(),
            jobs: self.jobs.iter().map(|(key, job)| (key, job.as_ref())).collect(),
            live: runs(false),
            finished: runs(true),
            unique: self.unique.iter().map(|(key, hold)| (key, hold.as_ref())).collect(),
            blobs: self.blobs.iter().collect(),
            logs: self.logs.iter().collect(),
            expire: self.expire,
            forget: self.forget,
            ..batch(self.revision)
        }
    }
}

/// All that can be read, as text, a line for each question. Text, so that a difference shows as a line.
fn everything(reader: &dyn Reader) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |what: String, found: &dyn std::fmt::Debug| lines.push(format!("{what}: {found:?}"));
    for id in (0..RUNS).map(run_at) {
        note(format!("run {id}"), &reader.run(id).expect("a read"));
        note(format!("input {id}"), &reader.blob(id, BlobKind::Payload).expect("a read"));
        note(format!("result {id}"), &reader.blob(id, BlobKind::Result).expect("a read"));
        note(format!("logs {id}"), &reader.logs(id, 1, 2).expect("a read"));
    }
    for (index, name) in (0..).zip(APPS) {
        let app = app_name(name);
        note(format!("app {name}"), &reader.app(&app).expect("a read"));
        note(format!("apps after {name}"), &reader.apps(Some(&app), 2).expect("a read"));
        note(format!("jobs {name}"), &reader.jobs(&app, None, 9).expect("a read"));
        note(format!("jobs {name} after"), &reader.jobs(&app, Some(&job_name("j-1")), 9).expect("a read"));
        note(format!("job {name}"), &reader.job(&job_at(index, 1)).expect("a read"));
        for query in run_queries(name) {
            note(format!("{query:?}"), &parts(reader.runs(&query).expect("a read")));
        }
        for query in request_queries(name) {
            note(format!("{query:?}"), &parts(reader.requests(&query).expect("a read")));
        }
        for request in 0..REQUESTS {
            let key = request_at(request, index);
            note(format!("{key:?}"), &reader.request(&key).expect("a read"));
        }
    }
    note("oldest".to_owned(), &reader.oldest_revision().expect("a read"));
    note("oldest request".to_owned(), &reader.oldest_request().expect("a read"));
    note("records".to_owned(), &reader.records(Revision(3), 100).expect("a read"));
    lines
}

fn parts<T, K>(page: Page<T, K>) -> (Vec<T>, Option<K>) {
    (page.items, page.next)
}

fn run_queries(app: &str) -> Vec<RunQuery> {
    let all = runs_of(app);
    let of_job = |job| RunQuery { job: Some(job_name(job)), ..all.clone() };
    vec![
        RunQuery { limit: 2, ..all.clone() },
        RunQuery { phases: vec![Phase::Failed], before: Some(run_at(9)), ..all.clone() },
        RunQuery { from: Some(at(2)), until: Some(at(6)), limit: 3, ..all.clone() },
        RunQuery { limit: 1, ..of_job("j") },
        RunQuery { from: Some(at(3)), ..of_job("j-1") },
        RunQuery { until: Some(at(5)), before: Some(run_at(12)), ..of_job("j1") },
        all,
    ]
}

fn request_queries(app: &str) -> Vec<RequestQuery> {
    let all = requests_of(app);
    vec![
        RequestQuery { limit: 2, ..all.clone() },
        RequestQuery { method: Some(Method::RunJob), from: Some(at(3)), ..all.clone() },
        RequestQuery { principal: Some("bob".to_owned()), until: Some(at(9)), ..all.clone() },
        RequestQuery { before: Some(request_at(9, 0).request_id), limit: 3, ..all.clone() },
        all,
    ]
}

fn read_alike(disk: &mut Session, memory: &mut Session) {
    for (on_disk, in_memory) in everything(&*disk.reader).iter().zip(everything(&*memory.reader)) {
        assert_eq!(*on_disk, in_memory);
    }
    let wanted = || Wanted {
        requests: (0..REQUESTS).map(|request| request_at(request, request % 4)).collect(),
        runs: (0..RUNS).map(|run| (run_at(run), run % 2 == 0)).collect(),
    };
    let (on_disk, in_memory) = (disk.store.prefetch(&wanted()), memory.store.prefetch(&wanted()));
    let (on_disk, in_memory) = (on_disk.expect("a read"), in_memory.expect("a read"));
    assert_eq!((on_disk.runs, on_disk.requests), (in_memory.runs, in_memory.requests));
}

fn load_alike(disk: &Session, memory: &Session) {
    let (on_disk, in_memory) = (&disk.loaded, &memory.loaded);
    assert_eq!(on_disk.window_counts, in_memory.window_counts);
    assert_eq!(
        (on_disk.revision, on_disk.high_water, on_disk.epoch),
        (in_memory.revision, in_memory.high_water, in_memory.epoch)
    );
    assert_eq!(format!("{:?}", on_disk.rows), format!("{:?}", in_memory.rows));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_read_alike_whatever_is_committed(
        batches in prop::collection::vec(prop::collection::vec(op(), 0..24), 1..10),
    ) {
        let (on_disk, in_memory) = (OnDisk::empty(), InMemory::empty());
        let (mut disk, mut memory) = (Session::start(&on_disk), Session::start(&in_memory));
        let (mut ended_runs, mut revision) = (BTreeSet::new(), 0);
        for ops in batches {
            let mut owned = Owned { revision, ..Owned::default() };
            for op in ops {
                owned.take(op, &mut ended_runs, &*disk.reader);
            }
            revision = owned.revision;
            prop_assert_eq!(disk.commit(&owned.batch()), memory.commit(&owned.batch()));
            read_alike(&mut disk, &mut memory);
        }
        drop((disk, memory));
        let (mut disk, mut memory) = (Session::start(&on_disk), Session::start(&in_memory));
        load_alike(&disk, &memory);
        read_alike(&mut disk, &mut memory);
    }
}
