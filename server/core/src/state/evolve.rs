//! The only mutator. It cannot fail: whatever could be wrong was refused by `decide`.

use std::sync::Arc;

use super::{Blob, BlobKind, LogRow, State, UniqueHold};
use crate::{
    codec::Payload,
    command::Stamp,
    event::Event,
    id::{JobKey, RunId, Timestamp},
    job::Pause,
    run::{self, Attempt, AttemptEnd, AttemptOutcome, Run, RunState},
};

impl State {
    /// Makes it so.
    pub fn evolve(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::AppCreated { app } | Event::AppUpdated { app } => {
                self.changes.apps.insert(app.name.clone());
                self.apps.insert(app.name.clone(), (**app).clone());
            }
            Event::AppDeleted { app } => {
                self.changes.apps.insert(app.clone());
                self.apps.remove(app);
            }
            Event::TokenRevoked { token_id, expire_time, .. } => {
                self.changes.tokens.insert(*token_id);
                if let Some(former) = self.revoked.insert(*token_id, *expire_time) {
                    self.index.remove_token(*token_id, former);
                }
                self.index.insert_token(*token_id, *expire_time);
            }
            Event::TokenForgotten { token_id } => {
                self.changes.tokens.insert(*token_id);
                if let Some(expire_time) = self.revoked.remove(token_id) {
                    self.index.remove_token(*token_id, expire_time);
                }
            }
            Event::JobCreated { job } => {
                self.changes.jobs.insert(job.key.clone());
                self.jobs.insert(job.key.clone(), (**job).clone());
                self.put_triggers(&job.key, stamp);
            }
            Event::JobUpdated { key, spec } => {
                self.require_job(key).spec = spec.clone();
                self.job_changed(key, stamp);
                self.put_triggers(key, stamp);
            }
            Event::JobPaused { key, note } => {
                let job = self.require_job(key);
                job.pause = Some(Pause::again(job.pause.as_ref(), note, stamp.now));
                self.job_changed(key, stamp);
            }
            Event::JobResumed { key } => {
                self.require_job(key).pause = None;
                self.job_changed(key, stamp);
            }
            Event::JobDeleted { key } => {
                self.changes.jobs.insert(key.clone());
                self.jobs.remove(key);
                self.drop_triggers(key);
                // A job that is made again under the name is another one: its runs are not those of the old.
                let of_job = self.unique.range((key.clone(), String::new())..).take_while(|((job, _), _)| job == key);
                let held: Vec<_> = of_job.map(|(held, _)| held.clone()).collect();
                held.iter().for_each(|held| self.release_key(held));
            }
            Event::RunCreated { .. }
            | Event::RunQueued { .. }
            | Event::AttemptStarted { .. }
            | Event::AttemptEnded { .. }
            | Event::RunRetrying { .. }
            | Event::RunCancelRequested { .. }
            | Event::RunEnded { .. }
            | Event::LogAppended { .. } => self.evolve_run(stamp, event),
            Event::TriggerFired { .. }
            | Event::TriggerSkipped { .. }
            | Event::TriggerPaused { .. }
            | Event::TriggerResumed { .. }
            | Event::BackfillStarted { .. }
            | Event::BackfillEnded { .. } => self.evolve_trigger(stamp, event),
            Event::UniqueKeyReleased { key, unique_key } => self.release_key(&(key.clone(), unique_key.clone())),
            // Told to those who watch, and kept nowhere else.
            Event::WorkerChanged { .. } | Event::WorkersReset => {}
        }
    }

    fn evolve_run(&mut self, stamp: Stamp, event: &Event) {
        match event {
            Event::RunCreated { run, unique_until, payload } => self.run_created(run, *unique_until, payload.clone()),
            Event::RunQueued { run_id } => {
                self.change_run(*run_id, stamp, |run| run.state = RunState::Queued { since: stamp.now });
            }
            Event::AttemptStarted { run_id, number, worker_id, worker_name, deadline } => {
                let attempt = Attempt {
                    number: *number,
                    worker_id: *worker_id,
                    worker_name: worker_name.clone(),
                    start_time: stamp.now,
                    deadline: *deadline,
                    end: None,
                };
                self.change_run(*run_id, stamp, |run| {
                    run.push_attempt(attempt);
                    run.state = RunState::Running;
                });
            }
            Event::AttemptEnded { run_id, how, error, result, .. } => {
                self.attempt_ended(*run_id, stamp, *how, error, result.clone());
            }
            Event::RunRetrying { run_id, until } => {
                self.change_run(*run_id, stamp, |run| run.state = RunState::Retrying { until: *until });
            }
            Event::RunCancelRequested { run_id, reason, give_up_time } => {
                self.change_run(*run_id, stamp, |run| {
                    run.reason.clone_from(reason);
                    run.state = RunState::Cancelling { give_up_time: *give_up_time };
                });
            }
            Event::RunEnded { run_id, outcome, reason } => {
                self.change_run(*run_id, stamp, |run| {
                    run.reason.clone_from(reason);
                    run.state = RunState::Ended { outcome: *outcome, time: stamp.now };
                });
            }
            Event::LogAppended { run_id, number, stream, data } => {
                let row = LogRow {
                    run_id: *run_id,
                    index: 0,
                    number: *number,
                    stream: *stream,
                    time: stamp.now,
                    data: data.clone(),
                };
                self.log_appended(row);
            }
            _ => unreachable!("the caller names the events about runs"),
        }
    }

    fn job_changed(&mut self, key: &JobKey, stamp: Stamp) {
        self.touch_revision(key, stamp.revision, stamp.now);
        self.index.publish_job(key, self.jobs.get(key));
    }

    fn run_created(&mut self, run: &Arc<Run>, unique_until: Option<Timestamp>, payload: Option<Payload>) {
        if let Some(payload) = payload {
            self.changes.blobs.push(Blob { run_id: run.id, kind: BlobKind::Payload, payload });
        }
        if let Some(unique_key) = &run.unique_key {
            let hold = UniqueHold {
                run_id: run.id,
                create_time: run.create_time,
                until: unique_until,
                phase: run.state.phase(),
            };
            self.put_hold((run.job.clone(), unique_key.clone()), hold);
        }
        self.index.insert_run(run, self.jobs.get(&run.job));
        self.index.triggers.insert_run(run);
        if let Some(key) = run.trigger() {
            self.rearm(&key);
        }
        self.changes.runs.insert(run.id);
        self.runs.insert(run.id, run.clone());
    }

    /// The one way to change a run: out of the indexes, changed, and back, or away if it has ended.
    fn change_run(&mut self, id: RunId, stamp: Stamp, change: impl FnOnce(&mut Run)) {
        let mut run = self.require_run(id);
        let job = self.jobs.get(&run.job);
        self.index.remove_run(&run, job);
        let from = run.state.phase();
        // In the batch that made it, it is shared with what the log says of it; never after.
        let changed = Arc::make_mut(&mut run);
        change(changed);
        changed.revision = stamp.revision;
        let to = run.state.phase();
        assert!(from == to || run::may_follow(from, to), "{} may not follow {}", to.as_str(), from.as_str());
        if to.is_terminal() {
            self.run_ended(Arc::unwrap_or_clone(run), stamp);
            return;
        }
        self.index.insert_run(&run, self.jobs.get(&run.job));
        self.changes.runs.insert(id);
        self.runs.insert(id, run);
    }

    fn run_ended(&mut self, run: Run, stamp: Stamp) {
        let now = stamp.now;
        self.triggers_after(&run, stamp);
        if let Some(unique_key) = run.unique_key.clone() {
            let key = (run.job.clone(), unique_key);
            if let Some(hold) = self.unique.get(&key).filter(|hold| hold.run_id == run.id).cloned() {
                match hold.until.filter(|until| *until > now) {
                    Some(_) => self.put_hold(key, UniqueHold { phase: run.state.phase(), ..hold }),
                    None => self.release_key(&key),
                }
            }
        }
        self.changes.runs.remove(&run.id);
        self.changes.finished.insert(run.id, run);
    }

    fn attempt_ended(&mut self, id: RunId, stamp: Stamp, how: AttemptOutcome, error: &str, result: Option<Payload>) {
        // The run's own event follows in the same commit and takes it out of this in-between: no index is touched here.
        let run = self.runs.get_mut(&id).expect("an event names a run that is not finished: decide looked");
        let run = Arc::make_mut(run);
        let attempt = run.attempts.last_mut().expect("a run that is held has an attempt");
        attempt.end = Some(AttemptEnd { how, time: stamp.now, error: error.to_owned() });
        match how {
            AttemptOutcome::Failed | AttemptOutcome::TimedOut => run.failed_count += 1,
            AttemptOutcome::Lost => run.lost_count += 1,
            AttemptOutcome::Succeeded | AttemptOutcome::Cancelled | AttemptOutcome::Released => {}
        }
        if !error.is_empty() {
            error.clone_into(&mut run.reason);
        }
        if let Some(payload) = result {
            run.has_result = true;
            self.changes.blobs.push(Blob { run_id: id, kind: BlobKind::Result, payload });
        }
        self.changes.runs.insert(id);
    }

    fn log_appended(&mut self, mut row: LogRow) {
        let run = self.runs.get_mut(&row.run_id).expect("an event names a run that is not finished: decide looked");
        let run = Arc::make_mut(run);
        row.index = run.log_chunks;
        run.log_chunks += 1;
        run.log_bytes += row.data.len() as u64;
        self.changes.runs.insert(row.run_id);
        self.changes.logs.push(row);
    }

    fn put_hold(&mut self, key: (JobKey, String), hold: UniqueHold) {
        if let Some(former) = self.unique.get(&key) {
            self.index.remove_hold(&key, former);
        }
        self.index.insert_hold(&key, &hold);
        self.changes.unique.insert(key.clone(), Some(hold.clone()));
        self.unique.insert(key, hold);
    }

    fn release_key(&mut self, key: &(JobKey, String)) {
        if let Some(hold) = self.unique.remove(key) {
            self.index.remove_hold(key, &hold);
            self.changes.unique.insert(key.clone(), None);
        }
    }
}
