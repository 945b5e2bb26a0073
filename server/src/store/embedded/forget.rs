//! Forgetting finished runs and old records, a slice with a commit.
//!
//! Which runs are due is asked of the index `ended`, by their end and not by their id: a run that waited for weeks and
//! ended yesterday is not in the way of those that were made after it, and no pass reads a row that it will not delete.
//! The index costs one insert at the right edge for each run that ends.

use std::ops::Bound;

use semel_core::{
    codec,
    event::Record,
    id::{RunId, Timestamp},
    run::Run,
    state::BlobKind,
};

use super::{
    record::Record as Row,
    tables::{self, Table},
    trouble::Trouble,
    view::View,
};
use crate::store::{Forget, Forgotten, forget::Budget};

/// Adds to a record of the log what a slice forgets of what is committed.
pub(super) fn forget(view: &View<'_>, out: &mut Row, forget: &Forget) -> Result<Forgotten, Trouble> {
    let mut forgotten = Forgotten::default();
    if let Some(before) = forget.ended_before {
        forget_runs(view, out, &mut forgotten, before, Budget::of_runs(forget))?;
    }
    if let Some(before) = forget.recorded_before {
        forget_records(view, out, &mut forgotten, before, Budget::of_records(forget))?;
    }
    Ok(forgotten)
}

fn forget_runs(
    view: &View<'_>,
    out: &mut Row,
    forgotten: &mut Forgotten,
    before: Timestamp,
    mut budget: Budget,
) -> Result<(), Trouble> {
    let before = tables::ended_at(before);
    for row in view.range(Table::Ended, (Bound::Unbounded, Bound::Excluded(before.as_slice())))? {
        let (key, _) = row?;
        if !forget_run(view, out, tables::last_run_id(key)?, &mut budget)? {
            forgotten.is_more = true;
            return Ok(());
        }
        out.delete(Table::Ended, key);
        forgotten.runs += 1;
    }
    Ok(())
}

/// Takes a run away, first what it is found by, then what lies beside it. False when the slice is full before: the row
/// of `ended` stays then, and the next slice goes on.
fn forget_run(view: &View<'_>, out: &mut Row, id: RunId, budget: &mut Budget) -> Result<bool, Trouble> {
    let run = view.with(Table::Runs, &id.0, |bytes| Ok((bytes.len(), codec::decode::<Run>(bytes)?)))?;
    if let Some((bytes, run)) = run {
        if !budget.take(bytes) {
            return Ok(false);
        }
        out.delete(Table::RunsByJob, &tables::run_by_job(&run.job, id));
        out.delete(Table::Runs, &id.0);
    }
    let (first, end) = (tables::log(id, 0), tables::log(id, u32::MAX));
    for piece in view.range(Table::Logs, (Bound::Included(first.as_slice()), Bound::Included(end.as_slice())))? {
        let (key, value) = piece?;
        if !budget.take(value.len()) {
            return Ok(false);
        }
        out.delete(Table::Logs, key);
    }
    for kind in [BlobKind::Payload, BlobKind::Result] {
        let key = tables::blob(id, kind);
        let Some(bytes) = view.with(Table::Blobs, &key, |bytes| Ok(bytes.len()))? else { continue };
        if !budget.take(bytes) {
            return Ok(false);
        }
        out.delete(Table::Blobs, &key);
    }
    Ok(true)
}

fn forget_records(
    view: &View<'_>,
    out: &mut Row,
    forgotten: &mut Forgotten,
    before: Timestamp,
    mut budget: Budget,
) -> Result<(), Trouble> {
    let (mut slice, mut next) = (Vec::new(), None);
    for record in view.all(Table::Records)? {
        let (key, value) = record?;
        if !budget.take(value.len()) {
            next = Some(value);
            break;
        }
        slice.push((key, value));
    }
    // Times grow with positions: a few looks find the border, where reading each record would cost a core.
    let mut damage = None;
    let mut is_due = |value: &[u8]| match codec::decode::<Record>(value) {
        Ok(record) => record.time < before,
        Err(error) => {
            damage = Some(error);
            false
        }
    };
    let due = slice.partition_point(|(_, value)| is_due(value));
    let is_more = due == slice.len() && next.is_some_and(is_due);
    if let Some(error) = damage {
        return Err(error.into());
    }
    for (key, _) in &slice[..due] {
        out.delete(Table::Records, key);
    }
    forgotten.records += due as u64;
    forgotten.is_more |= is_more;
    Ok(())
}
