//! `semel job export`: jobs as YAML that `semel apply` takes, without what is as if it were not said.

use std::time::Duration;

use clap::Args;
use semel_proto::v1::{
    FixedRate, GetJobRequest, Job, JobSpec, ListJobsRequest, PageRequest, TriggerSpec, trigger_spec::When,
};
use serde_json::json;

use super::{form, tree::Tree};
use crate::{
    cli::{failure::Failure, global::Output, job_file::put_span, out, session::Session},
    transport,
};

/// What a page holds at most.
const PAGE_SIZE: i32 = 100;

/// Which jobs.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Their names
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All of the app
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: ExportArgs, session: &Session) -> Result<(), Failure> {
    let jobs = if args.all { all(session).await? } else { by_name(args.names, session).await? };
    let documents: Vec<(Job, String)> = jobs.into_iter().map(|job| (job.clone(), document(&job))).collect();
    match session.output {
        Output::Table => {
            let texts: Vec<&str> = documents.iter().map(|(_, text)| text.as_str()).collect();
            out::text(&texts.join("---\n"))
        }
        Output::Json => {
            let jobs: Vec<_> = documents
                .iter()
                .map(|(job, yaml)| json!({ "app": job.app, "job": job.name, "etag": job.etag, "yaml": yaml }))
                .collect();
            out::json(&json!({ "jobs": jobs }))
        }
    }
}

async fn by_name(names: Vec<String>, session: &Session) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for job in names {
        jobs.extend(session.read(GetJobRequest { job, ..Default::default() }).await?.job);
    }
    Ok(jobs)
}

async fn all(session: &Session) -> Result<Vec<Job>, Failure> {
    let (mut jobs, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = Some(PageRequest { page_size: PAGE_SIZE, page_token });
        let answer = session.read(ListJobsRequest { page, ..Default::default() }).await?;
        jobs.extend(answer.jobs);
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            return Ok(jobs);
        }
    }
}

/// One job as a document.
fn document(job: &Job) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let usual = usual();
    let usual_trigger = usual.get("triggers").and_then(|triggers| triggers.get("any"));
    let mut fields =
        vec![("app".to_owned(), Tree::Text(job.app.clone())), ("job".to_owned(), Tree::Text(job.name.clone()))];
    if let Tree::Map(said) = form::job(&spec).without(&usual) {
        fields.extend(said.into_iter().map(|(name, tree)| match (name.as_str(), tree, usual_trigger) {
            ("triggers", Tree::Map(triggers), Some(usual)) => {
                let triggers = triggers.into_iter().map(|(name, trigger)| (name, trigger.without(usual))).collect();
                ("triggers".to_owned(), Tree::Map(triggers))
            }
            ("retry", retry, _) => (name, usual.get("retry").map_or(retry.clone(), |usual| retry.without(usual))),
            (_, tree, _) => (name, tree),
        }));
    }
    Tree::Map(fields).yaml()
}

/// A job and a trigger that say no more than they must. What makes these two what they are is left out.
fn usual() -> Tree {
    let mut rate = FixedRate::default();
    put_span(&mut rate.period, Some(Duration::from_secs(1)));
    let trigger = TriggerSpec { when: Some(When::Rate(rate)), ..TriggerSpec::default() };
    let triggers = [("any".to_owned(), trigger)].into();
    let spec = JobSpec { processor: "any".to_owned(), triggers, ..JobSpec::default() };
    let Tree::Map(fields) = form::job(&transport::settled(&spec).unwrap_or(spec)) else { return Tree::Map(Vec::new()) };
    let keep = |(name, tree): (String, Tree)| match (name.as_str(), tree) {
        ("processor", _) => None,
        ("triggers", Tree::Map(triggers)) => {
            let no_when = Tree::Map(vec![("rate".to_owned(), Tree::Text("1s".to_owned()))]);
            let triggers = triggers.into_iter().map(|(name, trigger)| (name, trigger.without(&no_when))).collect();
            Some(("triggers".to_owned(), Tree::Map(triggers)))
        }
        (_, tree) => Some((name, tree)),
    };
    Tree::Map(fields.into_iter().filter_map(keep).collect())
}

#[cfg(test)]
mod tests;
