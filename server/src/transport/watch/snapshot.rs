//! What is told before the events: the rows that the filter lets through, page by page. Each page is a look of its own, and
//! commits go on meanwhile; so rows that changed after the revision from which the events go on are left out here, and the
//! events tell of them. What is told is then exactly the state at that revision and all that came after it.

use std::sync::Arc;

use semel_core::{
    id::{AppName, JobName, Revision, RunId},
    job::Job,
    policy::Principal,
    run::{Phase, Run},
};
use semel_proto::v1;

use super::filter::{Apps, Filter};
use crate::{
    engine::Connected,
    store::{Error, Reader, RunQuery, RunScan},
    transport::convert::{event, job, run},
};

/// Rows of one page.
const PAGE_MAX: usize = 200;
/// Bytes of one message, about: clients take 4 MiB by default.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Which rows of which kind are next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Runs that are older than this one.
    Runs(Option<RunId>),
    /// The runs that were named, from this one on.
    Named(usize),
    /// Jobs behind this one.
    Jobs(Option<AppName>, Option<JobName>),
    /// Workers.
    Workers,
}

/// What belongs into a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) filter: Arc<Filter>,
    pub(crate) principal: Arc<Principal>,
    /// The finished runs too.
    pub(crate) is_all: bool,
    /// From here on the events tell.
    pub(crate) revision: Revision,
}

/// A page: the messages that it makes, and where the next one begins.
pub(crate) type Page = (Vec<v1::WatchSnapshot>, Option<Place>);

impl Plan {
    /// Where it begins.
    pub(crate) fn begin(&self) -> Place {
        if self.filter.runs.is_empty() { Place::Runs(None) } else { Place::Named(0) }
    }

    /// Reads a page of rows. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn page(&self, reader: &dyn Reader, place: &Place) -> Result<Page, Error> {
        match place {
            Place::Runs(before) => {
                let (runs, next) = self.runs(reader, *before)?;
                Ok((self.run_messages(&runs), next.map(|next| Place::Runs(Some(next))).or(self.after_runs())))
            }
            Place::Named(from) => {
                let named: Vec<RunId> = self.filter.runs.iter().skip(*from).take(PAGE_MAX).copied().collect();
                let runs = named.iter().filter_map(|id| reader.run(*id).transpose()).collect::<Result<Vec<_>, _>>()?;
                let next = from + named.len();
                let is_more = next < self.filter.runs.len();
                Ok((self.run_messages(&runs), is_more.then_some(Place::Named(next))))
            }
            Place::Jobs(app, after) => {
                let (jobs, next) = self.jobs(reader, app.as_ref(), after.as_ref())?;
                Ok((self.job_messages(&jobs), next.or(self.after_jobs())))
            }
            Place::Workers => Ok((Vec::new(), None)),
        }
    }

    /// The messages of workers.
    pub(crate) fn workers(&self, connected: Vec<Connected>) -> Vec<v1::WatchSnapshot> {
        let held = connected
            .into_iter()
            .filter(|worker| worker.revision <= self.revision && self.filter.holds_worker(worker, &self.principal));
        let mut workers: Vec<v1::Worker> = held.map(|worker| event::connected(&worker)).collect();
        workers.sort_by(|a, b| (&a.app, &a.worker_name, &a.worker_id).cmp(&(&b.app, &b.worker_name, &b.worker_id)));
        pieces(workers).map(|workers| v1::WatchSnapshot { workers, ..Default::default() }).collect()
    }

    fn after_runs(&self) -> Option<Place> {
        if self.filter.wants_jobs() { Some(Place::Jobs(None, None)) } else { self.after_jobs() }
    }

    fn after_jobs(&self) -> Option<Place> {
        self.filter.wants_workers().then_some(Place::Workers)
    }

    fn runs(&self, reader: &dyn Reader, before: Option<RunId>) -> Result<(Vec<Run>, Option<RunId>), Error> {
        let page = match &self.filter.apps {
            Apps::One(app) if self.is_all => {
                let job = if self.filter.jobs.len() == 1 { self.filter.jobs.first().cloned() } else { None };
                reader.runs(&RunQuery {
                    app: app.clone(),
                    job,
                    phases: Vec::<Phase>::new(),
                    labels: self.filter.labels.clone(),
                    from: None,
                    until: None,
                    before,
                    limit: PAGE_MAX,
                })?
            }
            _ => reader.scan_runs(&RunScan { is_all: self.is_all, before, limit: PAGE_MAX })?,
        };
        Ok((page.items, page.next))
    }

    /// Jobs of the app where the last page ended, or of the next one that is watched.
    fn jobs(
        &self,
        reader: &dyn Reader,
        app: Option<&AppName>,
        after: Option<&JobName>,
    ) -> Result<(Vec<Job>, Option<Place>), Error> {
        let app = match (&self.filter.apps, app) {
            (Apps::One(one), _) => one.clone(),
            (Apps::Any(_), Some(app)) if after.is_some() => app.clone(),
            (Apps::Any(_), last) => {
                let apps = reader.apps(last, PAGE_MAX)?;
                let Some(last) = apps.last().map(|app| app.name.clone()) else { return Ok((Vec::new(), None)) };
                let next = apps.into_iter().find(|app| self.filter.holds_app(&app.name, &self.principal));
                let Some(next) = next else { return Ok((Vec::new(), Some(Place::Jobs(Some(last), None)))) };
                next.name
            }
        };
        let jobs = reader.jobs(&app, after, PAGE_MAX)?;
        let next = match jobs.last() {
            Some(last) if jobs.len() == PAGE_MAX => Some(Place::Jobs(Some(app), Some(last.key.job.clone()))),
            _ => matches!(self.filter.apps, Apps::Any(_)).then_some(Place::Jobs(Some(app), None)),
        };
        Ok((jobs, next))
    }

    fn run_messages(&self, runs: &[Run]) -> Vec<v1::WatchSnapshot> {
        let held = runs.iter().filter(|row| {
            row.revision <= self.revision
                && (self.is_all || !row.state.phase().is_terminal())
                && self.filter.holds_run(row, &self.principal)
        });
        pieces(held.map(run::run).collect()).map(|runs| v1::WatchSnapshot { runs, ..Default::default() }).collect()
    }

    fn job_messages(&self, jobs: &[Job]) -> Vec<v1::WatchSnapshot> {
        let held = jobs.iter().filter(|row| row.etag <= self.revision && self.filter.holds_job(row));
        let shown = held.map(|row| {
            let mut shown = job::job(row, semel_core::state::JobCounts::default());
            if let Some(spec) = &mut shown.spec {
                spec.payload = None;
            }
            shown
        });
        pieces(shown.collect()).map(|jobs| v1::WatchSnapshot { jobs, ..Default::default() }).collect()
    }
}

/// Rows, a message full at a time.
fn pieces<M: prost::Message>(rows: Vec<M>) -> impl Iterator<Item = Vec<M>> {
    let mut rows = rows.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut piece = vec![rows.next()?];
        let mut bytes = piece[0].encoded_len();
        while let Some(next) = rows.next_if(|next| bytes + next.encoded_len() <= MESSAGE_BYTES_MAX) {
            bytes += next.encoded_len();
            piece.push(next);
        }
        Some(piece)
    })
}
