//! Forgetting finished runs and old records, a slice with a commit.
//!
//! Which runs are due is asked of the index `ended`, by their end and not by their id: a run that waited for weeks and
//! ended yesterday is not in the way of those that were made after it, and no pass reads a row that it will not delete.
//! The index costs one insert at the right edge for each run that ends.

use std::ops::Bound;

use minicbor::Decode;
use semel_core::{
    codec,
    event::Record,
    id::{RunId, Timestamp},
    run::Run,
    state::BlobKind,
};

use super::{
    row,
    tables::{self, Table},
    trouble::Trouble,
    write::Writer,
};
use crate::store::{Forget, Forgotten, forget::Budget};

impl Writer<'_> {
    pub(super) fn forget(&mut self, forget: &Forget) -> Result<Forgotten, Trouble> {
        let mut forgotten = Forgotten::default();
        if let Some(before) = forget.ended_before {
            self.forget_runs(&mut forgotten, before, Budget::of_runs(forget))?;
        }
        if let Some(before) = forget.recorded_before {
            self.forget_records(&mut forgotten, before, Budget::of_records(forget))?;
        }
        Ok(forgotten)
    }

    fn forget_runs(&mut self, forgotten: &mut Forgotten, before: Timestamp, mut budget: Budget) -> Result<(), Trouble> {
        let before = tables::ended_at(before);
        while let Some((key, _)) = self.tables.ended.first(&self.txn)? {
            if key >= before.as_slice() {
                return Ok(());
            }
            let (key, id) = (key.to_owned(), tables::last_run_id(key)?);
            if !self.forget_run(id, &mut budget)? {
                forgotten.is_more = true;
                return Ok(());
            }
            self.delete(self.tables.ended, &key)?;
            forgotten.runs += 1;
        }
        Ok(())
    }

    /// Takes a run away, first what it is found by, then what lies beside it. False when the slice is full before: the
    /// row of `ended` stays then, and the next slice goes on.
    fn forget_run(&mut self, id: RunId, budget: &mut Budget) -> Result<bool, Trouble> {
        if let Some(bytes) = self.size(self.tables.runs, &id.0)? {
            if !budget.take(bytes) {
                return Ok(false);
            }
            if let Some(run) = row::<Run>(self.tables.runs, &self.txn, &id.0)? {
                self.delete(self.tables.runs_by_job, &tables::run_by_job(&run.job, id))?;
            }
            self.delete(self.tables.runs, &id.0)?;
        }
        if !self.forget_logs(id, budget)? {
            return Ok(false);
        }
        for kind in [BlobKind::Payload, BlobKind::Result] {
            let key = tables::blob(id, kind);
            let Some(bytes) = self.size(self.tables.blobs, &key)? else { continue };
            if !budget.take(bytes) {
                return Ok(false);
            }
            self.delete(self.tables.blobs, &key)?;
        }
        Ok(true)
    }

    fn forget_logs(&mut self, id: RunId, budget: &mut Budget) -> Result<bool, Trouble> {
        let (first, end) = (tables::log(id, 0), tables::log(id, u32::MAX));
        let all = (Bound::Included(first.as_slice()), Bound::Included(end.as_slice()));
        let (mut last, mut is_whole) = (None, true);
        for piece in self.tables.logs.range(&self.txn, &all)? {
            let (key, value) = piece?;
            if !budget.take(value.len()) {
                is_whole = false;
                break;
            }
            last = Some(key.to_owned());
        }
        if let Some(last) = last {
            self.delete_range(self.tables.logs, &(all.0, Bound::Included(last.as_slice())))?;
        }
        Ok(is_whole)
    }

    fn forget_records(
        &mut self,
        forgotten: &mut Forgotten,
        before: Timestamp,
        mut budget: Budget,
    ) -> Result<(), Trouble> {
        let (mut slice, mut next) = (Vec::new(), None);
        for record in self.tables.records.iter(&self.txn)? {
            let (key, value) = record?;
            if !budget.take(value.len()) {
                next = Some(value);
                break;
            }
            slice.push((key, value));
        }
        // Times grow with positions: a few looks find the border, where reading each record would cost a core.
        let mut damage = None;
        let mut is_due = |value: &[u8]| match decode::<Record>(value) {
            Ok(record) => record.time < before,
            Err(trouble) => {
                damage = Some(trouble);
                false
            }
        };
        let due = slice.partition_point(|(_, value)| is_due(value));
        let is_more = due == slice.len() && next.is_some_and(is_due);
        if let Some(trouble) = damage {
            return Err(trouble);
        }
        let last = due.checked_sub(1).map(|last| slice[last].0.to_owned());
        if let Some(last) = last {
            self.delete_range(self.tables.records, &(Bound::Unbounded, Bound::Included(last.as_slice())))?;
        }
        forgotten.records += due as u64;
        forgotten.is_more |= is_more;
        Ok(())
    }

    /// How many bytes a row's value has, if it is there.
    fn size(&self, table: Table, key: &[u8]) -> Result<Option<usize>, Trouble> {
        Ok(table.get(&self.txn, key)?.map(<[u8]>::len))
    }
}

fn decode<T: for<'b> Decode<'b, ()>>(value: &[u8]) -> Result<T, Trouble> {
    Ok(codec::decode(value)?)
}
