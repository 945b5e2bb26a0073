//! What must always hold. Tests ask after every step.

use super::{State, Trigger, index::Index};
use crate::limits;

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
            index.triggers.insert_run(run);
        }
        self.check_triggers(&mut index);
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

    fn check_triggers(&self, index: &mut Index) {
        for (key, trigger) in &self.triggers {
            let standing = trigger.standing();
            assert_eq!(key, &standing.key, "a trigger stands under its name");
            let job = self.jobs.get(&key.job).expect("a trigger has a job");
            assert!(job.spec.triggers.contains_key(&key.name), "a trigger stands in the definition of its job");
            let mut anew = Trigger::new(standing.clone(), job.spec.clone());
            assert_eq!((anew.spec(), anew.next()), (trigger.spec(), trigger.next()), "a trigger is what its row says");
            index.triggers.insert(&mut anew);
            assert!(standing.due.len() <= limits::DUE_KEPT_MAX, "what is due has a bound");
            assert!(standing.waiting.len() <= limits::BUFFER_MAX as usize, "what waits has a bound");
            assert!(standing.last_fires.len() <= limits::FIRES_KEPT_MAX, "what is kept of fires has a bound");
        }
        let defined: usize = self.jobs.values().map(|job| job.spec.triggers.len()).sum();
        assert_eq!(defined, self.triggers.len(), "each trigger of a job stands somewhere");
    }
}
