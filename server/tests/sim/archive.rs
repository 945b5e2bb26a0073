//! What retention has taken out of the store, kept for the checker: it judges whole histories. What is here was durable
//! and past its time when it was taken; the rest the checker reads from the store.

use std::collections::BTreeMap;

use semel_core::{
    event::Record,
    id::{Revision, RunId, Timestamp},
    run::{Run, RunState},
};
use semel_server::store::{Batch, Forget, Reader};

/// See the module.
#[derive(Default)]
pub(crate) struct Archive {
    pub(crate) records: Vec<Record>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    /// Runs that are not archived and ended at this time at the earliest: a commit that failed may have said another one.
    ended: BTreeMap<RunId, Timestamp>,
}

const PAGE: usize = 500;

impl Archive {
    /// Keeps what a commit may forget, as it is before.
    pub(crate) fn before(&mut self, reader: &dyn Reader, batch: &Batch<'_>) {
        for run in &batch.finished {
            if let RunState::Ended { time, .. } = run.state {
                let first = self.ended.entry(run.id).or_insert(time);
                *first = time.min(*first);
            }
        }
        if let Some(forget) = &batch.forget {
            self.keep_runs(reader, forget);
            self.keep_records(reader, forget);
        }
    }

    fn keep_runs(&mut self, reader: &dyn Reader, forget: &Forget) {
        let Some(before) = forget.ended_before else { return };
        let due: Vec<RunId> = self.ended.iter().filter(|(_, time)| **time < before).map(|(id, _)| *id).collect();
        for id in due {
            let Some(run) = reader.run(id).expect("the memory can be read") else { continue };
            if matches!(run.state, RunState::Ended { time, .. } if time < before) {
                self.ended.remove(&id);
                self.runs.insert(id, run);
            }
        }
    }

    fn keep_records(&mut self, reader: &dyn Reader, forget: &Forget) {
        let Some(before) = forget.recorded_before else { return };
        loop {
            let next = self.records.last().map_or(Revision(1), |record| record.revision.next());
            let page = reader.records(next, PAGE).expect("the memory can be read");
            let is_whole = page.len() == PAGE && page.iter().all(|record| record.time < before);
            self.records.extend(page.into_iter().take_while(|record| record.time < before));
            if !is_whole {
                return;
            }
        }
    }
}
