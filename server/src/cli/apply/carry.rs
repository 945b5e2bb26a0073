//! The plan, carried out: a call for each job, each under an id of its own that follows from that of the whole command. A job
//! that is refused does not keep the others from theirs; what would befall all of them ends it.

use semel_client::RequestId;
use semel_proto::v1::{
    CreateJobRequest, Disposition, GetRequestRequest, RequestState, ResponseHeader, UpdateJobRequest,
};
use serde_json::{Value, json};

use super::plan::{Action, Step};
use crate::cli::{
    failure::{Failure, block},
    hints::Exit,
    ids, out,
    session::{Mutation, Session},
};

/// What became of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was made or changed, now or earlier under the same id.
    Applied(Disposition),
    /// Nothing was to do.
    Unchanged,
    /// The call failed.
    Refused(Failure),
    /// An earlier failure would have befallen it too.
    NotSent,
}

/// Carries out a plan. `again` says that the id was given, so that it may have been used before.
pub(super) async fn out(steps: &[Step], id: RequestId, again: bool, session: &Session) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(steps.len());
    let mut stopped = false;
    for step in steps {
        let outcome = if stopped { Outcome::NotSent } else { one(step, id, again, session).await };
        if let Outcome::Refused(failure) = &outcome {
            stopped = !matches!(failure.exit(), Exit::Usage | Exit::State);
            tell(step, failure, session);
        }
        outcomes.push(outcome);
    }
    outcomes
}

async fn one(step: &Step, id: RequestId, again: bool, session: &Session) -> Outcome {
    let (app, job) = (step.item.app.clone(), step.item.job.clone());
    let id = ids::of_part(ids::DOCUMENTS, id, step.item.number);
    let spec = Some(step.item.spec.clone());
    let mutation = Mutation { request_id: Some(id) };
    let header = match &step.action {
        Action::Unchanged if again => return earlier(app, id, session).await,
        Action::Unchanged => return Outcome::Unchanged,
        Action::Create => {
            let request = CreateJobRequest { app, job, spec, ..Default::default() };
            session.mutate(mutation, |_| request.clone()).await.map(|answer| answer.header)
        }
        Action::Change { etag, .. } => {
            let request = UpdateJobRequest { app, job, etag: etag.clone(), spec, ..Default::default() };
            session.mutate(mutation, |_| request.clone()).await.map(|answer| answer.header)
        }
    };
    match header {
        Ok(header) => Outcome::Applied(header.as_ref().map(ResponseHeader::disposition).unwrap_or_default()),
        Err(failure) => Outcome::Refused(failure),
    }
}

/// Whether a job that is as it should be became so under this very id. That it cannot be told changes nothing.
async fn earlier(app: String, id: RequestId, session: &Session) -> Outcome {
    let request = GetRequestRequest { app, target_request_id: id.to_string(), ..Default::default() };
    let record = session.read(request).await.ok().and_then(|answer| answer.request);
    match record.map(|record| record.state()) {
        Some(RequestState::Done) => Outcome::Applied(Disposition::Replayed),
        _ => Outcome::Unchanged,
    }
}

/// Says at once what was refused, with the line of each field that is at fault.
fn tell(step: &Step, failure: &Failure, session: &Session) {
    for (field, problem) in failure.violations() {
        session.remark(&out::cell(&step.item.mistake(field, problem).to_string()));
    }
    if failure.reason() == Some("ETAG_MISMATCH") {
        session.remark(&format!("{} was changed after the plan was made", out::cell(&step.name())));
    }
}

impl Outcome {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Applied(Disposition::Replayed) => "REPLAYED",
            Self::Applied(_) => "EXECUTED",
            Self::Unchanged => "UNCHANGED",
            Self::Refused(_) => "REFUSED",
            Self::NotSent => "NOT_SENT",
        }
    }

    /// For programs, added to what the plan says of the job.
    pub(super) fn json(&self, step: &Step) -> Value {
        let mut object = step.json();
        object["outcome"] = json!(self.word());
        if let Self::Refused(failure) = self {
            let mistakes: Vec<Value> =
                failure.violations().map(|(field, problem)| step.item.mistake(field, problem).json()).collect();
            object["error"] = failure.json();
            object["mistakes"] = json!(mistakes);
        }
        object
    }
}

/// What was applied, in one line.
pub(super) fn summary(outcomes: &[Outcome], id: RequestId) -> String {
    let count = |word: &str| outcomes.iter().filter(|outcome| outcome.word() == word).count();
    let mut text = format!("request {id} {} EXECUTED, {} REPLAYED", count("EXECUTED"), count("REPLAYED"));
    for (word, said) in [("UNCHANGED", "unchanged"), ("REFUSED", "refused"), ("NOT_SENT", "not sent")] {
        if count(word) > 0 {
            text.push_str(&format!(", {} {said}", count(word)));
        }
    }
    text
}

/// What was not applied and what to do; nothing if all was.
pub(super) fn trouble(steps: &[Step], outcomes: &[Outcome], id: RequestId) -> Option<(String, Exit)> {
    let (mut rows, mut exit) = (Vec::new(), Exit::Done);
    for (step, outcome) in steps.iter().zip(outcomes) {
        match outcome {
            Outcome::Refused(failure) => {
                rows.push(("refused", format!("{} ({}): {}", step.name(), step.item.place(), failure.brief())));
                if failure.reason() == Some("ETAG_MISMATCH") {
                    rows.push((
                        "next",
                        "look at the new plan with --dry-run, then apply it without --request-id".to_owned(),
                    ));
                } else {
                    rows.extend(failure.next().map(|next| ("next", next)));
                }
                // A later one is at least as grave: what befalls all of them comes last.
                exit = failure.exit();
            }
            Outcome::NotSent => rows.push(("not sent", format!("{} ({})", step.name(), step.item.place()))),
            Outcome::Applied(_) | Outcome::Unchanged => {}
        }
    }
    if rows.is_empty() {
        return None;
    }
    let again = format!("send the same files again with --request-id {id}: what was applied is not applied twice");
    rows.extend((exit == Exit::Later).then_some(("again", again)));
    let rows: Vec<(&str, String)> = rows.into_iter().map(|(name, value)| (name, out::cell(&value))).collect();
    Some((block("not all was applied", &rows), exit))
}
