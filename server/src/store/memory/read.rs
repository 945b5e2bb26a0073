//! The reading half in memory. Each call holds the lock as long as it lasts, and so sees one moment.

use std::ops::Bound;

use minicbor::Decode;
use semel_core::{
    app::App,
    codec::{self, Payload},
    event::Record,
    id::{AppName, JobKey, JobName, RequestId, Revision, RunId},
    job::Job,
    run::Run,
    state::{BlobKind, LogRow},
    window::DedupRecord,
};

use super::{
    Disk,
    tables::{Row, decode},
};
use crate::store::{
    DedupKey, Error, Page, Reader, RequestQuery, RunQuery, RunScan,
    list::{Pager, Span},
};

impl Reader for Disk {
    fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.with(|tables| decode(tables.runs.get(&id)))
    }

    fn blob(&self, id: RunId, kind: BlobKind) -> Result<Option<Payload>, Error> {
        self.with(|tables| decode(tables.blobs.get(&(id, kind))))
    }

    fn runs(&self, query: &RunQuery) -> Result<Page<Run, RunId>, Error> {
        let mut pager = Pager::new(query.limit);
        let Some(span) = Span::of_runs(query) else { return Ok(pager.end()) };
        let range = bounds(&span, RunId);
        self.with(|tables| {
            let of_job = query.job.as_ref().map(|job| JobKey { app: query.app.clone(), job: job.clone() });
            let ids: Box<dyn Iterator<Item = &RunId>> = match of_job.map(|key| tables.runs_by_job.get(&key)) {
                Some(Some(ids)) => Box::new(ids.range(range).rev()),
                Some(None) => Box::new(std::iter::empty()),
                None => Box::new(tables.runs.range(range).rev().map(|(id, _)| id)),
            };
            for id in ids {
                if pager.ends_before(*id) {
                    return Ok(pager.cut());
                }
                let run: Option<Run> = decode(tables.runs.get(id))?;
                pager.take(*id, run.filter(|run| query.matches(run)));
            }
            Ok(pager.end())
        })
    }

    fn scan_runs(&self, scan: &RunScan) -> Result<Page<Run, RunId>, Error> {
        let mut pager = Pager::new(scan.limit);
        let range = (Bound::Unbounded, scan.before.map_or(Bound::Unbounded, Bound::Excluded));
        self.with(|tables| {
            let ids: Box<dyn Iterator<Item = &RunId>> = match scan.is_all {
                true => Box::new(tables.runs.range(range).rev().map(|(id, _)| id)),
                false => Box::new(tables.live.range(range).rev()),
            };
            for id in ids {
                if pager.ends_before(*id) {
                    return Ok(pager.cut());
                }
                pager.take(*id, decode(tables.runs.get(id))?);
            }
            Ok(pager.end())
        })
    }

    fn logs(&self, id: RunId, from: u32, limit: usize) -> Result<Vec<LogRow>, Error> {
        self.with(|tables| first(tables.logs.range((id, from)..=(id, u32::MAX)), limit))
    }

    fn job(&self, key: &JobKey) -> Result<Option<Job>, Error> {
        self.with(|tables| decode(tables.jobs.get(&key.app).and_then(|jobs| jobs.get(&key.job))))
    }

    fn jobs(&self, app: &AppName, after: Option<&JobName>, limit: usize) -> Result<Vec<Job>, Error> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|tables| match tables.jobs.get(app) {
            Some(jobs) => first(jobs.range::<JobName, _>((after, Bound::Unbounded)), limit),
            None => Ok(Vec::new()),
        })
    }

    fn app(&self, name: &AppName) -> Result<Option<App>, Error> {
        self.with(|tables| decode(tables.apps.get(name)))
    }

    fn apps(&self, after: Option<&AppName>, limit: usize) -> Result<Vec<App>, Error> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|tables| first(tables.apps.range::<AppName, _>((after, Bound::Unbounded)), limit))
    }

    fn request(&self, key: &DedupKey) -> Result<Option<DedupRecord>, Error> {
        self.with(|tables| decode(tables.request(key)))
    }

    fn requests(&self, query: &RequestQuery) -> Result<Page<(DedupKey, DedupRecord), RequestId>, Error> {
        let mut pager = Pager::new(query.limit);
        let Some(span) = Span::of_requests(query) else { return Ok(pager.end()) };
        self.with(|tables| {
            for (id, of_apps) in tables.requests.range(bounds(&span, RequestId)).rev() {
                for (app, row) in of_apps.iter().rev() {
                    if pager.ends_before(*id) {
                        return Ok(pager.cut());
                    }
                    let record: Option<DedupRecord> = decode(Some(row).filter(|_| *app == query.app))?;
                    let record = record.filter(|record| query.matches(record));
                    let key = DedupKey { request_id: *id, app: query.app.clone() };
                    pager.take(*id, record.map(|record| (key, record)));
                }
            }
            Ok(pager.end())
        })
    }

    fn records(&self, from: Revision, limit: usize) -> Result<Vec<Record>, Error> {
        self.with(|tables| first(tables.records.range(from..), limit))
    }

    fn oldest_revision(&self) -> Result<Revision, Error> {
        self.with(|tables| Ok(tables.oldest_revision()))
    }

    fn oldest_request(&self) -> Result<Option<RequestId>, Error> {
        self.with(|tables| Ok(tables.requests.keys().next().copied()))
    }
}

fn bounds<K>(span: &Span, id: fn([u8; 16]) -> K) -> (Bound<K>, Bound<K>) {
    (Bound::Included(id(span.lower)), span.upper.map_or(Bound::Unbounded, |upper| Bound::Excluded(id(upper))))
}

/// The first rows of a range.
fn first<'r, K: 'r, T: for<'b> Decode<'b, ()>>(
    rows: impl Iterator<Item = (&'r K, &'r Row)>,
    limit: usize,
) -> Result<Vec<T>, codec::Error> {
    rows.take(limit).map(|(_, row)| codec::decode(row)).collect()
}
