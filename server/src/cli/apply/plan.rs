//! What would be done: each job of the files beside what is there. Reads and compares; changes nothing.

use semel_proto::v1::{GetJobRequest, Job};
use serde_json::{Value, json};

use super::source::Item;
use crate::{
    cli::{
        failure::Failure,
        job::{form, tree::Difference},
        out,
        session::Session,
        show,
    },
    transport,
};

/// From so many jobs on it is said how far it is.
const MANY: usize = 100;

/// What is to be done about a job.
#[derive(Debug)]
pub(super) enum Action {
    /// There is none of this name.
    Create,
    /// It differs.
    Change {
        /// What was read.
        etag: String,
        /// In what.
        differences: Vec<Difference>,
    },
    /// It is what the file says.
    Unchanged,
}

/// A job of a file and what is to be done about it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) item: Item,
    pub(super) action: Action,
}

impl Action {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change { .. } => "change",
            Self::Unchanged => "unchanged",
        }
    }

    fn differences(&self) -> &[Difference] {
        match self {
            Self::Change { differences, .. } => differences,
            _ => &[],
        }
    }
}

/// Reads what is there of each job.
pub(super) async fn make(items: Vec<Item>, session: &Session) -> Result<Vec<Step>, Failure> {
    let (mut steps, count) = (Vec::new(), items.len());
    for item in items {
        let request = GetJobRequest { app: item.app.clone(), job: item.job.clone(), ..Default::default() };
        let action = match session.client().await?.call(request).await {
            Ok(answer) => compare(&item, answer.job.unwrap_or_default()),
            Err(error) if error.reason() == Some("NOT_FOUND") => Action::Create,
            Err(error) => return Err(Failure::read(error)),
        };
        steps.push(Step { item, action });
        if steps.len() % MANY == 0 {
            session.remark(&format!("{} of {count} jobs are compared", steps.len()));
        }
    }
    Ok(steps)
}

fn compare(item: &Item, there: Job) -> Action {
    let spec = there.spec.unwrap_or_default();
    let spec = transport::settled(&spec).unwrap_or(spec);
    if spec == item.settled {
        return Action::Unchanged;
    }
    Action::Change { etag: there.etag, differences: form::job(&spec).differences(&form::job(&item.settled)) }
}

/// For people.
pub(super) fn text(steps: &[Step]) -> String {
    let row = |step: &Step| {
        let line = |found: &Difference| {
            let side = |side: &Option<String>| side.as_deref().map_or("(none)".to_owned(), out::cell);
            format!("{}: {} -> {}", out::cell(&found.field), side(&found.old), side(&found.new))
        };
        let changes: Vec<String> = step.action.differences().iter().map(line).collect();
        vec![out::cell(&step.name()), step.action.word().to_owned(), out::cell(&step.item.place()), changes.join("\n")]
    };
    show::list(&["JOB", "PLAN", "FILE", "CHANGES"], steps.iter().map(row).collect())
}

/// In one line.
pub(super) fn summary(steps: &[Step]) -> String {
    let count = |word: &str| steps.iter().filter(|step| step.action.word() == word).count();
    format!("{} to create, {} to change, {} unchanged", count("create"), count("change"), count("unchanged"))
}

impl Step {
    /// The job with its app, if the file or the command line names one.
    pub(super) fn name(&self) -> String {
        match self.item.app.as_str() {
            "" => self.item.job.clone(),
            app => format!("{app}/{}", self.item.job),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let changes: Vec<Value> = (self.action.differences().iter())
            .map(|found| json!({ "field": found.field, "old": found.old, "new": found.new }))
            .collect();
        json!({
            "app": self.item.app,
            "job": self.item.job,
            "place": self.item.place(),
            "plan": self.action.word(),
            "changes": changes,
        })
    }
}
