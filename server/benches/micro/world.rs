//! A state with one app and one job, and submissions to it as the engine makes them. Only what the measurements need; no
//! rule of the domain is repeated here.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use semel_core::{
    State,
    app::NewSecret,
    codec::Payload,
    command::{Command, Method, Origin, RunJob, Stamp},
    decide::{self, Cold},
    event::{Event, Record},
    id::{AppName, JobKey, JobName, Millis, ProcessorName, RequestId, Revision, RunId, Timestamp},
    job::{JobSpec, LostWorker, Plan, RetryPolicy},
    limits::Limits,
    reply::Reply,
    run::Run,
    window::{DedupRecord, Fingerprint},
};
use semel_proto::{fingerprint::Content as _, v1};
use semel_server::store::{Batch, DedupKey, Epoch, Store};

/// The time of the first submission, in milliseconds; each further one is a millisecond later.
const START: i64 = 1_750_000_000_000;
const PAYLOAD: &[u8] = b"{\"n\":1}";

/// See the module.
pub(crate) struct World {
    state: State,
    key: JobKey,
    revision: Revision,
    requests: Vec<(DedupKey, DedupRecord)>,
    records: Vec<Record>,
}

/// What the transport gets for one submission.
pub(crate) fn request() -> v1::RunJobRequest {
    v1::RunJobRequest {
        app: "pay".to_owned(),
        job: "settle".to_owned(),
        payload: Some(v1::Payload { data: PAYLOAD.into(), content_type: "application/json".to_owned() }),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        ..Default::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let app = AppName::parse("pay").expect("a good name");
        let key = JobKey { app, job: JobName::parse("settle").expect("a good name") };
        let plan = Plan {
            processor: ProcessorName::parse("exec").expect("a good name"),
            retry: RetryPolicy::default(),
            attempt_timeout: Some(Millis(60_000)),
            lost_worker: LostWorker::Retry,
        };
        let spec = JobSpec {
            plan: Arc::new(plan),
            payload: None,
            run_timeout: None,
            max_running: None,
            priority: 0,
            labels: BTreeMap::new().into(),
            description: "settles".to_owned(),
            triggers: BTreeMap::new(),
        };
        let state = State::new(Limits::default());
        let mut world =
            Self { state, key: key.clone(), revision: Revision(0), requests: Vec::new(), records: Vec::new() };
        let (app, secret) = (world.key.app.clone(), NewSecret { hash: [7; 32], key_id: "k".to_owned() });
        let create = Command::CreateApp { app, description: String::new(), grants: Vec::new(), secret };
        world.execute(&create, Method::CreateApp);
        world.execute(&Command::CreateJob { key, spec: Arc::new(spec) }, Method::CreateJob);
        world
    }

    /// Decides on one more submission, and leaves it at that.
    pub(crate) fn decide(&self) -> (Vec<Event>, Reply) {
        self.decide_on(&self.run_job()).expect("it is not refused")
    }

    /// One more submission, with all that its commit will write.
    pub(crate) fn submit(&mut self) {
        let command = self.run_job();
        self.execute(&command, Method::RunJob);
    }

    /// The rows of one submission.
    pub(crate) fn submitted(mut self) -> (Run, Record, DedupRecord) {
        self.forget();
        self.submit();
        let record = self.records.pop().expect("it was just submitted");
        let (_, dedup) = self.requests.pop().expect("it was just submitted");
        let changes = self.state.take_changes();
        let run = self.state.live_rows(&changes).next().expect("it was just submitted").clone();
        (run, record, dedup)
    }

    /// Writes what was submitted since the last time.
    pub(crate) fn commit(&mut self, epoch: Epoch, store: &mut dyn Store) {
        let changes = self.state.take_changes();
        let batch = Batch {
            now: self.now(),
            revision: self.revision,
            requests: std::mem::take(&mut self.requests),
            records: std::mem::take(&mut self.records),
            jobs: changes.jobs.iter().map(|key| (key, self.state.job(key))).collect(),
            live: self.state.live_rows(&changes).collect(),
            blobs: changes.blobs.iter().collect(),
            ..Batch::default()
        };
        store.commit(epoch, &batch).expect("the store takes it");
    }

    /// Lets go of what a commit would have written.
    pub(crate) fn forget(&mut self) {
        drop(self.state.take_changes());
        self.requests.clear();
        self.records.clear();
    }

    fn execute(&mut self, command: &Command, method: Method) {
        let (stamp, request_id) = (self.stamp(), self.request_id());
        let (events, reply) = self.decide_on(command).expect("it is not refused");
        for event in &events {
            self.state.evolve(stamp, event);
        }
        self.revision = stamp.revision;
        let principal: std::sync::Arc<str> = "pay".into();
        let fingerprint = request().fingerprint();
        let dedup = DedupRecord {
            method,
            principal: principal.clone(),
            fingerprint: Fingerprint {
                version: fingerprint.version,
                digest: fingerprint.digest,
                leaves: fingerprint.leaves,
            },
            revision: stamp.revision,
            execute_time: stamp.now,
            reply,
            arrivals: 1,
            told: None,
            trace: None,
        };
        self.requests.push((DedupKey { request_id, app: self.key.app.clone() }, dedup));
        let request_id = Some(request_id);
        self.records.push(Record {
            revision: stamp.revision,
            time: stamp.now,
            request_id,
            principal,
            events,
            facts: Vec::new(),
        });
    }

    fn decide_on(&self, command: &Command) -> decide::Decision {
        let origin = Origin { request_id: self.request_id(), trace: None };
        semel_core::decide(&self.state, &Cold::default(), self.stamp(), &origin, command)
    }

    fn run_job(&self) -> Command {
        let data = Bytes::from_static(PAYLOAD);
        Command::RunJob(RunJob {
            key: self.key.clone(),
            payload: Some(Payload { content_type: "application/json".to_owned(), data }),
            labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
            priority: None,
            start_time: None,
            deadline: None,
            unique_key: None,
        })
    }

    fn stamp(&self) -> Stamp {
        Stamp { now: self.now(), revision: self.revision.next(), entropy: 0x5eed }
    }

    fn now(&self) -> Timestamp {
        Timestamp(START + i64::try_from(self.revision.0).expect("it is small"))
    }

    /// In time order, as callers mint them.
    fn request_id(&self) -> RequestId {
        RequestId(RunId::new(self.now(), self.revision, 0xca11).0)
    }
}
