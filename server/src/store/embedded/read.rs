//! The reading half. Each call takes one view, and lets it go at its end: a snapshot that holds up nobody.

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
    Shard,
    tables::{self, Table, meta},
    trouble::Trouble,
    view::{Range, View},
};
use crate::store::{
    DedupKey, DiskStatus, Error, Page, Reader, RequestQuery, RunQuery, RunScan,
    list::{Pager, Span},
};

impl Reader for Shard {
    fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.read(|view| view.row(Table::Runs, &id.0))
    }

    fn blob(&self, id: RunId, kind: BlobKind) -> Result<Option<Payload>, Error> {
        self.read(|view| view.row(Table::Blobs, &tables::blob(id, kind)))
    }

    fn runs(&self, query: &RunQuery) -> Result<Page<Run, RunId>, Error> {
        let pager = Pager::new(query.limit);
        let Some(span) = Span::of_runs(query) else { return Ok(pager.end()) };
        self.read(|view| match &query.job {
            Some(job) => runs_of_job(view, query, job, &span, pager),
            None => runs_of_app(view, query, &span, pager),
        })
    }

    fn scan_runs(&self, scan: &RunScan) -> Result<Page<Run, RunId>, Error> {
        self.read(|view| all_runs(view, scan))
    }

    fn logs(&self, id: RunId, from: u32, limit: usize) -> Result<Vec<LogRow>, Error> {
        let (first, last) = (tables::log(id, from), tables::log(id, u32::MAX));
        let range = (Bound::Included(first.as_slice()), Bound::Included(last.as_slice()));
        self.read(|view| rows(view, Table::Logs, range, limit))
    }

    fn job(&self, key: &JobKey) -> Result<Option<Job>, Error> {
        self.read(|view| view.row(Table::Jobs, &tables::job(&key.app, &key.job)))
    }

    fn jobs(&self, app: &AppName, after: Option<&JobName>, limit: usize) -> Result<Vec<Job>, Error> {
        let first = after.map_or_else(|| tables::app_prefix(app), |after| tables::job(app, after));
        let mut end = tables::app_prefix(app);
        *end.last_mut().expect("a prefix ends with a zero byte") = 1;
        let range = (Bound::Excluded(first.as_slice()), Bound::Excluded(end.as_slice()));
        self.read(|view| rows(view, Table::Jobs, range, limit))
    }

    fn app(&self, name: &AppName) -> Result<Option<App>, Error> {
        self.read(|view| view.row(Table::Apps, name.as_str().as_bytes()))
    }

    fn apps(&self, after: Option<&AppName>, limit: usize) -> Result<Vec<App>, Error> {
        let first = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str().as_bytes()));
        self.read(|view| rows(view, Table::Apps, (first, Bound::Unbounded), limit))
    }

    fn request(&self, key: &DedupKey) -> Result<Option<DedupRecord>, Error> {
        self.read(|view| view.row(Table::Requests, &tables::request(key)))
    }

    fn requests(&self, query: &RequestQuery) -> Result<Page<(DedupKey, DedupRecord), RequestId>, Error> {
        let pager = Pager::new(query.limit);
        let Some(span) = Span::of_requests(query) else { return Ok(pager.end()) };
        self.read(|view| requests_of_app(view, query, &span, pager))
    }

    fn records(&self, from: Revision, limit: usize) -> Result<Vec<Record>, Error> {
        let first = from.0.to_be_bytes();
        self.read(|view| rows(view, Table::Records, (Bound::Included(first.as_slice()), Bound::Unbounded), limit))
    }

    fn oldest_revision(&self) -> Result<Revision, Error> {
        self.read(|view| match view.all(Table::Records)?.next().transpose()? {
            Some((key, _)) => Ok(Revision(tables::number(key)?)),
            None => Ok(Revision(view.meta_number(meta::REVISION)?).next()),
        })
    }

    fn oldest_request(&self) -> Result<Option<RequestId>, Error> {
        self.read(|view| match view.all(Table::Requests)?.next().transpose()? {
            Some((key, _)) => Ok(Some(RequestId(tables::split_request(key)?.0))),
            None => Ok(None),
        })
    }

    fn disk(&self) -> Result<Option<DiskStatus>, Error> {
        self.disk_status().map(Some).map_err(|trouble| trouble.at("read"))
    }
}

/// The owner of a stored run, without the rest of it: most rows that a list passes over belong to somebody else.
#[derive(Decode)]
struct RunOwner<'b> {
    #[b(1)]
    job: JobOwner<'b>,
}

#[derive(Decode)]
struct JobOwner<'b> {
    #[b(0)]
    app: &'b str,
}

impl Shard {
    fn read<T>(&self, call: impl FnOnce(&View<'_>) -> Result<T, Trouble>) -> Result<T, Error> {
        self.view().and_then(|view| call(&view)).map_err(|trouble| trouble.at("read"))
    }
}

fn runs_of_job(
    view: &View<'_>,
    query: &RunQuery,
    job: &JobName,
    span: &Span,
    mut pager: Pager<Run, RunId>,
) -> Result<Page<Run, RunId>, Trouble> {
    let prefix = tables::job_prefix(&query.app, job);
    let first = [prefix.as_slice(), &span.lower].concat();
    let last = [prefix.as_slice(), &span.upper.unwrap_or([0xff; 16])].concat();
    let last = if span.upper.is_some() { Bound::Excluded(&last[..]) } else { Bound::Included(&last[..]) };
    for row in view.rev_range(Table::RunsByJob, (Bound::Included(&first[..]), last))? {
        let id = tables::last_run_id(row?.0)?;
        if pager.ends_before(id) {
            return Ok(pager.cut());
        }
        let run: Run = view.required(Table::Runs, &id.0, "run of a job")?;
        pager.take(id, query.matches(&run).then_some(run));
    }
    Ok(pager.end())
}

fn runs_of_app(
    view: &View<'_>,
    query: &RunQuery,
    span: &Span,
    mut pager: Pager<Run, RunId>,
) -> Result<Page<Run, RunId>, Trouble> {
    for row in view.rev_range(Table::Runs, span_bounds(span))? {
        let (id, value) = row?;
        let id = tables::last_run_id(id)?;
        if pager.ends_before(id) {
            return Ok(pager.cut());
        }
        let is_ours = codec::decode::<RunOwner<'_>>(value)?.job.app == query.app.as_str();
        let run: Option<Run> = if is_ours { Some(codec::decode(value)?) } else { None };
        pager.take(id, run.filter(|run| query.matches(run)));
    }
    Ok(pager.end())
}

fn all_runs(view: &View<'_>, scan: &RunScan) -> Result<Page<Run, RunId>, Trouble> {
    let mut pager = Pager::new(scan.limit);
    let table = if scan.is_all { Table::Runs } else { Table::Live };
    let before = scan.before.as_ref().map_or(Bound::Unbounded, |before| Bound::Excluded(before.0.as_slice()));
    for row in view.rev_range(table, (Bound::Unbounded, before))? {
        let (key, value) = row?;
        let id = tables::last_run_id(key)?;
        if pager.ends_before(id) {
            return Ok(pager.cut());
        }
        let run: Run = if scan.is_all { codec::decode(value)? } else { view.required(Table::Runs, key, "live run")? };
        pager.take(id, Some(run));
    }
    Ok(pager.end())
}

fn requests_of_app(
    view: &View<'_>,
    query: &RequestQuery,
    span: &Span,
    mut pager: Pager<(DedupKey, DedupRecord), RequestId>,
) -> Result<Page<(DedupKey, DedupRecord), RequestId>, Trouble> {
    for row in view.rev_range(Table::Requests, span_bounds(span))? {
        let (key, value) = row?;
        let (id, app) = tables::split_request(key)?;
        let request_id = RequestId(id);
        if pager.ends_before(request_id) {
            return Ok(pager.cut());
        }
        let is_ours = app == query.app.as_str().as_bytes();
        let record: Option<DedupRecord> = if is_ours { Some(codec::decode(value)?) } else { None };
        let record = record.filter(|record| query.matches(record));
        pager.take(request_id, record.map(|record| (DedupKey { request_id, app: query.app.clone() }, record)));
    }
    Ok(pager.end())
}

/// The bounds of keys that begin with an id.
fn span_bounds(span: &Span) -> Range<'_> {
    let upper = span.upper.as_ref().map_or(Bound::Unbounded, |upper| Bound::Excluded(upper.as_slice()));
    (Bound::Included(span.lower.as_slice()), upper)
}

/// The first rows of a range.
fn rows<T: for<'b> Decode<'b, ()>>(
    view: &View<'_>,
    table: Table,
    range: Range<'_>,
    limit: usize,
) -> Result<Vec<T>, Trouble> {
    view.range(table, range)?.take(limit).map(|row| Ok(codec::decode(row?.1)?)).collect()
}
