//! A state from the rows of a store.

use std::sync::Arc;

use super::{State, UniqueRow};
use crate::{
    app::App,
    id::{Timestamp, TokenId},
    job::Job,
    limits::Limits,
    run::Run,
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
            state.runs.insert(run.id, Arc::new(run));
        }
        state
    }
}
