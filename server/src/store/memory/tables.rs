//! The tables in memory, and what a batch does to them.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use semel_core::{
    codec,
    id::{AppName, JobKey, JobName, RequestId, Revision, RunId, Timestamp, TokenId, TriggerKey},
    run::{Run, RunState},
    state::{BlobKind, Rows, UniqueHold},
    window::DedupRecord,
};

use crate::store::{Batch, Committed, DedupKey, Error, Fetched, Forgotten, Loaded, Wanted, list};

/// An encoded row.
pub(super) type Row = Box<[u8]>;

/// The store id: fixed, so that a simulation is the same each time.
const STORE_ID: [u8; 16] = *b"semel-memory-sim";

/// See the module.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) epoch: u64,
    revision: Revision,
    high_water: Timestamp,
    pub(super) window_floor: Timestamp,
    pub(super) attempt_floor: u32,
    /// By id, then app, as on disk.
    pub(super) requests: BTreeMap<RequestId, BTreeMap<AppName, Row>>,
    window_counts: BTreeMap<AppName, u64>,
    pub(super) records: BTreeMap<Revision, Row>,
    pub(super) runs: BTreeMap<RunId, Row>,
    pub(super) live: BTreeSet<RunId>,
    /// Finished runs of which something is still there, by their end.
    pub(super) ended: BTreeSet<(Timestamp, RunId)>,
    pub(super) runs_by_job: BTreeMap<JobKey, BTreeSet<RunId>>,
    pub(super) blobs: BTreeMap<(RunId, BlobKind), Row>,
    pub(super) logs: BTreeMap<(RunId, u32), Row>,
    pub(super) jobs: BTreeMap<AppName, BTreeMap<JobName, Row>>,
    pub(super) apps: BTreeMap<AppName, Row>,
    tokens: BTreeMap<TokenId, Timestamp>,
    triggers: BTreeMap<TriggerKey, Row>,
    unique: BTreeMap<(JobKey, String), Row>,
}

fn encode<T: Encode<()>>(value: &T) -> Row {
    codec::encode(value).into_boxed_slice()
}

/// A row, decoded if it is there.
pub(super) fn decode<T: for<'b> Decode<'b, ()>>(row: Option<&Row>) -> Result<Option<T>, codec::Error> {
    row.map(|row| codec::decode(row)).transpose()
}

fn all<'r, T: for<'b> Decode<'b, ()>>(rows: impl Iterator<Item = &'r Row>) -> Result<Vec<T>, codec::Error> {
    rows.map(|row| codec::decode(row)).collect()
}

impl Tables {
    pub(super) fn load(&self) -> Result<Loaded, codec::Error> {
        let unique = |(key, row): (&(JobKey, String), &Row)| Ok((key.clone(), codec::decode::<UniqueHold>(row)?));
        let rows = Rows {
            apps: all(self.apps.values())?,
            tokens: self.tokens.iter().map(|(id, expire_time)| (*id, *expire_time)).collect(),
            jobs: all(self.jobs.values().flat_map(BTreeMap::values))?,
            runs: all(self.live.iter().filter_map(|id| self.runs.get(id)))?,
            triggers: all(self.triggers.values())?,
            unique: self.unique.iter().map(unique).collect::<Result<_, codec::Error>>()?,
        };
        Ok(Loaded {
            rows,
            revision: self.revision,
            high_water: self.high_water,
            window_floor: self.window_floor,
            attempt_floor: self.attempt_floor,
            window_counts: self.window_counts.clone(),
            store_id: STORE_ID,
            ..Loaded::default()
        })
    }

    pub(super) fn prefetch(&self, wanted: &Wanted) -> Result<Fetched, codec::Error> {
        let mut fetched = Fetched::default();
        for key in &wanted.requests {
            if let Some(record) = decode(self.request(key))? {
                fetched.requests.insert(key.clone(), record);
            }
        }
        for (id, with_input) in &wanted.runs {
            let Some(run) = decode(self.runs.get(id))? else { continue };
            let input = self.blobs.get(&(*id, BlobKind::Payload)).filter(|_| *with_input);
            fetched.runs.push((run, decode(input)?));
        }
        Ok(fetched)
    }

    pub(super) fn request(&self, key: &DedupKey) -> Option<&Row> {
        self.requests.get(&key.request_id)?.get(&key.app)
    }

    pub(super) fn oldest_revision(&self) -> Revision {
        self.records.keys().next().copied().unwrap_or_else(|| self.revision.next())
    }

    /// What the disk refuses too: going back, and remembering or recording a thing twice.
    pub(super) fn check(&self, batch: &Batch<'_>) -> Result<(), Error> {
        let broken = |rule: &str| Err(Error::Engine { doing: "commit", source: rule.into() });
        let recorded = self.records.keys().next_back().map(|revision| revision.0);
        let revisions = recorded.into_iter().chain(batch.records.iter().map(|record| record.revision.0));
        if !revisions.is_sorted_by(|a, b| a < b) {
            return broken("a record of the batch is there already");
        }
        let last = batch.records.last().map_or(self.revision, |record| record.revision);
        if batch.revision < last.max(self.revision) {
            return broken("the revision goes back");
        }
        let mut seen = BTreeSet::new();
        if batch.requests.iter().any(|(key, _)| self.request(key).is_some() || !seen.insert(key)) {
            return broken("a request of the batch is there already");
        }
        Ok(())
    }

    /// Takes in a batch that was checked.
    pub(super) fn apply(&mut self, batch: &Batch<'_>) -> Result<Committed, codec::Error> {
        let arrivals = self.arrivals(batch)?;
        let forgotten = batch.forget.map_or_else(|| Ok(Forgotten::default()), |forget| self.forget(&forget))?;
        self.revision = batch.revision;
        self.high_water = self.high_water.max(batch.now);
        for (key, record) in &batch.requests {
            self.put_request(key, record);
            *self.window_counts.entry(key.app.clone()).or_default() += 1;
        }
        for (key, record) in arrivals {
            self.put_request(key, &record);
        }
        for record in &batch.records {
            self.records.insert(record.revision, encode(record));
        }
        for run in &batch.live {
            self.put_run(run);
            self.live.insert(run.id);
        }
        for run in &batch.finished {
            self.put_run(run);
            self.live.remove(&run.id);
            if let RunState::Ended { time, .. } = run.state {
                self.ended.insert((time, run.id));
            }
        }
        self.put_named(batch);
        for blob in &batch.blobs {
            self.blobs.insert((blob.run_id, blob.kind), encode(&blob.payload));
        }
        for row in &batch.logs {
            self.logs.insert((row.run_id, row.index), encode(*row));
        }
        let expired = batch.expire.map_or_else(BTreeMap::new, |(before, max)| self.expire(before, max));
        Ok(Committed { expired, forgotten })
    }

    /// The requests whose arrivals change, as they will be. The only part of a batch that has to be read first.
    fn arrivals<'b>(&self, batch: &'b Batch<'_>) -> Result<Vec<(&'b DedupKey, DedupRecord)>, codec::Error> {
        if batch.arrivals.is_empty() {
            return Ok(Vec::new());
        }
        let new: BTreeMap<_, _> = batch.requests.iter().map(|(key, record)| (key, record)).collect();
        let mut changed = Vec::new();
        for (key, arrivals) in &batch.arrivals {
            let record = match new.get(key) {
                Some(record) => Some((*record).clone()),
                None => decode(self.request(key))?,
            };
            changed.extend(record.map(|record| (key, record.with(*arrivals))));
        }
        Ok(changed)
    }

    fn put_request(&mut self, key: &DedupKey, record: &DedupRecord) {
        self.requests.entry(key.request_id).or_default().insert(key.app.clone(), encode(record));
    }

    fn put_run(&mut self, run: &Run) {
        if self.runs.insert(run.id, encode(run)).is_none() {
            self.runs_by_job.entry(run.job.clone()).or_default().insert(run.id);
        }
    }

    fn put_named(&mut self, batch: &Batch<'_>) {
        for (name, app) in &batch.apps {
            match app {
                Some(app) => self.apps.insert((*name).clone(), encode(*app)),
                None => self.apps.remove(*name),
            };
        }
        for (token_id, expire_time) in &batch.tokens {
            match expire_time {
                Some(expire_time) => self.tokens.insert(*token_id, *expire_time),
                None => self.tokens.remove(token_id),
            };
        }
        for (key, job) in &batch.jobs {
            let jobs = self.jobs.entry(key.app.clone()).or_default();
            match job {
                Some(job) => jobs.insert(key.job.clone(), encode(*job)),
                None => jobs.remove(&key.job),
            };
        }
        for (key, standing) in &batch.triggers {
            match standing {
                Some(standing) => self.triggers.insert((*key).clone(), encode(*standing)),
                None => self.triggers.remove(*key),
            };
        }
        for (key, hold) in &batch.unique {
            match hold {
                Some(hold) => self.unique.insert((*key).clone(), encode(*hold)),
                None => self.unique.remove(*key),
            };
        }
    }

    fn expire(&mut self, before: Timestamp, max: usize) -> BTreeMap<AppName, u64> {
        let mut expired: BTreeMap<AppName, u64> = BTreeMap::new();
        let end = list::first_id(before).map(RequestId);
        for _ in 0..max {
            let Some(mut oldest) = self.requests.first_entry() else { break };
            if end.is_some_and(|end| *oldest.key() >= end) {
                break;
            }
            let (app, _) = oldest.get_mut().pop_first().expect("an id without requests is taken out");
            if oldest.get().is_empty() {
                oldest.remove();
            }
            *expired.entry(app).or_default() += 1;
        }
        for (app, lost) in &expired {
            let count = self.window_counts.get_mut(app).expect("each request was counted when it came");
            *count -= lost;
            if *count == 0 {
                self.window_counts.remove(app);
            }
        }
        expired
    }
}
