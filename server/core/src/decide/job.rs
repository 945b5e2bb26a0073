//! Jobs: making, changing, pausing and deleting them.

use std::sync::Arc;

use super::{Decision, trigger};
use crate::{
    command::Stamp,
    event::Event,
    id::{JobKey, Revision},
    job::{Job, JobSpec, Pause},
    rejection::Rejection,
    reply::Reply,
    state::State,
};

pub(super) fn create(state: &State, stamp: Stamp, key: &JobKey, spec: &Arc<JobSpec>) -> Decision {
    if state.app(&key.app).is_none() {
        return Err(Rejection::NotFound { what: "app", name: key.app.to_string() });
    }
    if state.job(key).is_some() {
        return Err(Rejection::AlreadyExists { what: "job", name: key.to_string() });
    }
    trigger::unlike_itself(state, key, spec)?;
    let job = Job {
        key: key.clone(),
        spec: spec.clone(),
        etag: stamp.revision,
        pause: None,
        create_time: stamp.now,
        update_time: stamp.now,
    };
    Ok((vec![Event::JobCreated { job: Box::new(job.clone()) }], Reply::Job(job)))
}

pub(super) fn update(
    state: &State,
    stamp: Stamp,
    key: &JobKey,
    etag: Option<Revision>,
    spec: &Arc<JobSpec>,
) -> Decision {
    let mut job = touched(find(state, key, etag)?, stamp);
    trigger::unlike_itself(state, key, spec)?;
    job.spec = spec.clone();
    let mut events = trigger::replaced(state, stamp, key, spec);
    events.extend(trigger::stop_backfills(state, key, spec));
    events.push(Event::JobUpdated { key: key.clone(), spec: spec.clone() });
    Ok((events, Reply::Job(job)))
}

pub(super) fn delete(state: &State, key: &JobKey, etag: Option<Revision>) -> Decision {
    find(state, key, etag)?;
    let count = state.counts(key).live;
    if count > 0 {
        return Err(Rejection::JobHasLiveRuns { count });
    }
    Ok((vec![Event::JobDeleted { key: key.clone() }], Reply::Done))
}

pub(super) fn pause(state: &State, stamp: Stamp, key: &JobKey, note: &str) -> Decision {
    let mut job = touched(find(state, key, None)?, stamp);
    job.pause = Some(Pause::again(job.pause.as_ref(), note, stamp.now));
    Ok((vec![Event::JobPaused { key: key.clone(), note: note.to_owned() }], Reply::Job(job)))
}

pub(super) fn resume(state: &State, stamp: Stamp, key: &JobKey) -> Decision {
    let job = find(state, key, None)?;
    if job.pause.is_none() {
        return Ok((Vec::new(), Reply::Job(job.clone())));
    }
    let mut job = touched(job, stamp);
    job.pause = None;
    Ok((vec![Event::JobResumed { key: key.clone() }], Reply::Job(job)))
}

/// The job as it will be once the event has been evolved.
fn touched(job: &Job, stamp: Stamp) -> Job {
    Job { etag: stamp.revision, update_time: stamp.now, ..job.clone() }
}

pub(super) fn find<'a>(state: &'a State, key: &JobKey, etag: Option<Revision>) -> Result<&'a Job, Rejection> {
    let job = state.job(key).ok_or_else(|| Rejection::NotFound { what: "job", name: key.to_string() })?;
    match etag {
        Some(etag) if etag != job.etag => {
            Err(Rejection::EtagMismatch { what: "job", name: key.to_string(), current: job.etag })
        }
        _ => Ok(job),
    }
}
