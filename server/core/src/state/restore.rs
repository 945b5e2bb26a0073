//! A state from the rows of a store.

use std::sync::Arc;

use super::{State, Trigger, UniqueRow};
use crate::{
    app::App,
    id::{Timestamp, TokenId, TriggerKey},
    job::Job,
    limits::Limits,
    run::Run,
    trigger::Standing,
};

/// All rows that a state is made of.
#[derive(Debug, Default)]
pub struct Rows {
    /// Apps.
    pub apps: Vec<App>,
    /// Revoked tokens.
    pub tokens: Vec<(TokenId, Timestamp)>,
    /// Jobs.
    pub jobs: Vec<Job>,
    /// Runs that are not finished.
    pub runs: Vec<Run>,
    /// How triggers stand.
    pub triggers: Vec<Standing>,
    /// Business keys.
    pub unique: Vec<UniqueRow>,
}

impl State {
    /// Builds the state, and all indexes with it.
    pub fn restore(limits: Limits, rows: Rows) -> Self {
        let mut state = Self::new(limits);
        state.apps = rows.apps.into_iter().map(|app| (app.name.clone(), app)).collect();
        state.jobs = rows.jobs.into_iter().map(|job| (job.key.clone(), job)).collect();
        for (token_id, expire_time) in rows.tokens {
            state.index.insert_token(token_id, expire_time);
            state.revoked.insert(token_id, expire_time);
        }
        for (key, hold) in rows.unique {
            state.index.insert_hold(&key, &hold);
            state.unique.insert(key, hold);
        }
        state.runs.reserve(rows.runs.len());
        for run in rows.runs {
            state.index.insert_run(&run, state.jobs.get(&run.job));
            state.index.triggers.insert_run(&run);
            state.runs.insert(run.id, Arc::new(run));
        }
        state.restore_triggers(rows.triggers);
        state
    }

    /// After jobs and runs: what a trigger has to do hangs on both.
    fn restore_triggers(&mut self, standings: Vec<Standing>) {
        for mut standing in standings {
            // A row without a definition would be a fault of ours; there is nothing that it could do.
            let Some(job) = self.jobs.get(&standing.key.job) else { continue };
            let Some((name, _)) = job.spec.triggers.get_key_value(&standing.key.name) else { continue };
            // The names of the job, or each trigger would keep copies of its own.
            let key = TriggerKey { job: job.key.clone(), name: name.clone() };
            standing.key = key.clone();
            let mut trigger = Box::new(Trigger::new(standing, job.spec.clone()));
            self.index.triggers.insert(&mut trigger);
            self.triggers.insert(key, trigger);
        }
    }
}
