//! Forgetting finished runs and old records, slice by slice as on disk.

use semel_core::{
    codec,
    event::Record,
    id::{RunId, Timestamp},
    run::Run,
    state::BlobKind,
};

use super::tables::{Tables, decode};
use crate::store::{Forget, Forgotten, forget::Budget};

impl Tables {
    pub(super) fn forget(&mut self, forget: &Forget) -> Result<Forgotten, codec::Error> {
        let mut forgotten = Forgotten::default();
        if let Some(before) = forget.ended_before {
            self.forget_runs(&mut forgotten, before, Budget::of_runs(forget))?;
        }
        if let Some(before) = forget.recorded_before {
            self.forget_records(&mut forgotten, before, Budget::of_records(forget))?;
        }
        Ok(forgotten)
    }

    fn forget_runs(
        &mut self,
        forgotten: &mut Forgotten,
        before: Timestamp,
        mut budget: Budget,
    ) -> Result<(), codec::Error> {
        while let Some((time, id)) = self.ended.first().copied().filter(|(time, _)| *time < before) {
            if !self.forget_run(id, &mut budget)? {
                forgotten.is_more = true;
                return Ok(());
            }
            self.ended.remove(&(time, id));
            forgotten.runs += 1;
        }
        Ok(())
    }

    fn forget_run(&mut self, id: RunId, budget: &mut Budget) -> Result<bool, codec::Error> {
        if let Some(row) = self.runs.get(&id) {
            if !budget.take(row.len()) {
                return Ok(false);
            }
            if let Some(run) = decode::<Run>(Some(row))?
                && let Some(of_job) = self.runs_by_job.get_mut(&run.job)
            {
                of_job.remove(&id);
            }
            self.runs.remove(&id);
        }
        while let Some((key, row)) = self.logs.range((id, 0)..=(id, u32::MAX)).next() {
            let key = *key;
            if !budget.take(row.len()) {
                return Ok(false);
            }
            self.logs.remove(&key);
        }
        for kind in [BlobKind::Payload, BlobKind::Result] {
            let Some(row) = self.blobs.get(&(id, kind)) else { continue };
            if !budget.take(row.len()) {
                return Ok(false);
            }
            self.blobs.remove(&(id, kind));
        }
        Ok(true)
    }

    fn forget_records(
        &mut self,
        forgotten: &mut Forgotten,
        before: Timestamp,
        mut budget: Budget,
    ) -> Result<(), codec::Error> {
        while let Some((revision, row)) = self.records.first_key_value() {
            let revision = *revision;
            if codec::decode::<Record>(row)?.time >= before {
                return Ok(());
            }
            if !budget.take(row.len()) {
                forgotten.is_more = true;
                return Ok(());
            }
            self.records.remove(&revision);
            forgotten.records += 1;
        }
        Ok(())
    }
}
