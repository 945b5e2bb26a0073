//! What must always hold. Tests ask after every step.

use super::{State, index::Index};

impl State {
    /// Builds every index anew from the primary facts and compares.
    ///
    /// # Panics
    /// When something does not hold: a fault of ours.
    pub fn check_invariants(&self) {
        let mut index = Index::default();
        for (token_id, expire_time) in &self.revoked {
            index.insert_token(*token_id, *expire_time);
        }
        for (key, hold) in &self.unique {
            index.insert_hold(key, hold);
            let live = self.runs.get(&hold.run_id);
            assert_eq!(live.is_none(), hold.phase.is_terminal(), "a key is held by a run that is where it says");
        }
        for run in self.runs.values() {
            assert!(!run.state.phase().is_terminal(), "a finished run is not in memory");
            assert!(self.jobs.contains_key(&run.job), "a live run has a job");
            let held = run.held().is_some();
            let open = run.attempts.last().is_some_and(|attempt| attempt.end.is_none());
            assert_eq!(held, open, "an attempt is open exactly while a worker holds the run");
            index.insert_run(run, self.jobs.get(&run.job));
        }
        for job in self.jobs.values() {
            assert!(self.apps.contains_key(&job.key.app), "a job has an app");
            if let (Some(max), Some(queue)) = (job.spec.max_running, self.index.queues.get(&job.key)) {
                // An update may have lowered the limit below what is under way; then nothing new may be ready.
                let running = queue.counts().running;
                let ready = self.index.ready.heads().any(|(_, _, head)| self.runs[&head.run_id].job == job.key);
                assert!(running < u64::from(max) || !ready, "a job at its limit starts nothing");
            }
        }
        assert_eq!(self.index, index, "the indexes say what the facts say");
    }
}
