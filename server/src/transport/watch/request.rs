//! The wish to watch: parsed and checked, all faults at once.

use std::collections::BTreeSet;

use semel_core::{
    app::AppPattern,
    id::{AppName, JobName, Millis, Revision},
    limits,
    policy::Principal,
};
use semel_proto::v1::{self, EventKind, watch_request};

use super::filter::{Apps, Filter, Kinds};
use crate::transport::convert::fields::Fields;

/// Patterns of apps: grants have as many at most that matter.
const APPS_MAX: usize = 16;
/// Jobs of one watch. More are an app.
const JOBS_MAX: usize = 64;
/// Runs of one watch: each is looked up and marked by its own.
const RUNS_MAX: usize = 256;
/// How long a stream is silent at most, if nothing is said.
const INTERVAL_DEFAULT: Millis = Millis::from_secs(30);
/// Below it, progress would be most of what is sent.
const INTERVAL_MIN: Millis = Millis::from_secs(1);
/// Proxies end streams that were silent for five minutes.
const INTERVAL_MAX: Millis = Millis::from_secs(240);

/// See the module.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) filter: Filter,
    pub(crate) start: Start,
    /// None, or whether the finished runs belong to it.
    pub(crate) snapshot: Option<bool>,
    pub(crate) interval: Millis,
}

/// From where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// From now on.
    Now,
    /// From this revision on, inclusive.
    From(Revision),
    /// From where this token says.
    Token(String),
}

impl Wish {
    /// Reads a request. None if something is wrong with it; the fields say what.
    pub(crate) fn parse(fields: &mut Fields, request: &v1::WatchRequest, principal: &Principal) -> Option<Self> {
        let apps = parse_apps(fields, request, principal);
        let jobs = parse_names(fields, &request.jobs);
        let runs = parse_runs(fields, &request.run_ids);
        let labels = fields.labels("labels", &request.labels);
        let kinds = parse_kinds(fields, request);
        let interval = request.progress_interval.as_ref();
        let interval = fields.span("progress_interval", interval, INTERVAL_MIN, INTERVAL_MAX);
        let start = parse_start(fields, request.start.as_ref());
        let snapshot = parse_snapshot(fields, request);
        let filter = Filter { apps: apps?, jobs, runs, labels, kinds };
        let wish = Self { filter, start: start?, snapshot, interval: interval.unwrap_or(INTERVAL_DEFAULT) };
        fields.is_clean().then_some(wish)
    }
}

fn parse_apps(fields: &mut Fields, request: &v1::WatchRequest, principal: &Principal) -> Option<Apps> {
    if request.apps.is_empty() {
        if !request.app.is_empty() {
            return fields.take("app", AppName::parse(&request.app)).map(Apps::One);
        }
        if principal.app.is_none() {
            fields.note("app", "must be given, or apps: the caller has no app of its own");
        }
        return principal.app.clone().map(Apps::One);
    }
    if !request.app.is_empty() {
        fields.note("app", "must be empty when apps are given");
    }
    if request.apps.len() > APPS_MAX {
        fields.note("apps", format!("must be at most {APPS_MAX}"));
        return None;
    }
    let patterns = request.apps.iter().enumerate();
    let parsed = patterns.filter_map(|(at, text)| fields.take(&format!("apps[{at}]"), AppPattern::parse(text)));
    Some(Apps::Any(parsed.collect()))
}

fn parse_names(fields: &mut Fields, jobs: &[String]) -> BTreeSet<JobName> {
    if jobs.len() > JOBS_MAX {
        fields.note("jobs", format!("must be at most {JOBS_MAX}"));
        return BTreeSet::new();
    }
    let jobs = jobs.iter().enumerate();
    jobs.filter_map(|(at, name)| fields.take(&format!("jobs[{at}]"), JobName::parse(name))).collect()
}

fn parse_runs(fields: &mut Fields, run_ids: &[String]) -> BTreeSet<semel_core::id::RunId> {
    if run_ids.len() > RUNS_MAX {
        fields.note("run_ids", format!("must be at most {RUNS_MAX}"));
        return BTreeSet::new();
    }
    run_ids.iter().filter_map(|id| fields.run_id(id)).collect()
}

fn parse_kinds(fields: &mut Fields, request: &v1::WatchRequest) -> Kinds {
    let mut kinds = Vec::new();
    for (at, number) in request.kinds.iter().enumerate() {
        match EventKind::try_from(*number) {
            Ok(kind) if kind != EventKind::Unspecified => kinds.push(kind),
            _ => fields.note(&format!("kinds[{at}]"), "must be one of the kinds of events"),
        }
    }
    let named = if request.kinds.is_empty() { Kinds::ALL } else { Kinds::of(&kinds) };
    if !request.terminal_only {
        return named;
    }
    let ends = named.and(Kinds::of(&Kinds::TERMINAL));
    if ends.is_empty() {
        fields.note("kinds", "must name an end of a run when terminal_only is set: nothing would ever be told");
    }
    ends
}

fn parse_start(fields: &mut Fields, start: Option<&watch_request::Start>) -> Option<Start> {
    match start {
        None => Some(Start::Now),
        Some(watch_request::Start::ResumeToken(token)) => Some(Start::Token(token.clone())),
        Some(watch_request::Start::FromRevision(revision)) => {
            let parsed = u64::try_from(*revision).ok().filter(|revision| *revision > 0);
            if parsed.is_none() {
                fields.note("from_revision", "must be 1 or more");
            }
            parsed.map(|revision| Start::From(Revision(revision)))
        }
    }
}

fn parse_snapshot(fields: &mut Fields, request: &v1::WatchRequest) -> Option<bool> {
    let snapshot = match v1::SnapshotScope::try_from(request.snapshot) {
        Ok(v1::SnapshotScope::Unspecified) => None,
        Ok(v1::SnapshotScope::Live) => Some(false),
        Ok(v1::SnapshotScope::All) => Some(true),
        Err(_) => {
            fields.note("snapshot", "must be one of the scopes");
            None
        }
    };
    if snapshot.is_some() && request.start.is_some() {
        fields.note("snapshot", "goes with neither from_revision nor resume_token: it begins now");
    }
    snapshot
}

/// The bounds on labels are those of jobs and runs.
const _: () = assert!(limits::LABELS_MAX == 32);
