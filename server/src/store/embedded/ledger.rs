//! What the one writer knows by heart, so that a commit need not look for it.

use std::collections::BTreeMap;

use semel_core::id::{AppName, RunId, Timestamp};

use super::{
    Shard, load,
    tables::{self, Table, meta},
    trouble::Trouble,
    view::View,
};
use crate::store::{DedupKey, Epoch};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// Who owns the shard.
    pub(super) epoch: Epoch,
    /// The last committed position.
    pub(super) revision: u64,
    /// The latest time that any commit bore.
    pub(super) high_water: Timestamp,
    /// How many requests each app has in the window.
    pub(super) window_counts: BTreeMap<AppName, u64>,
    /// Bytes of the last record: the next one is about as long.
    pub(super) record_bytes: usize,
    /// What is not there, of requests.
    pub(super) requests: Absent,
    /// No run that is there has a greater id.
    pub(super) newest_run: RunId,
}

impl Ledger {
    pub(super) fn read(shard: &Shard) -> Result<Self, Trouble> {
        let view = shard.view()?;
        let newest_run = last_key(&view, Table::Runs)?.as_deref().map(tables::last_run_id).transpose()?;
        Ok(Self {
            epoch: Epoch(view.meta_number(meta::EPOCH)?),
            revision: view.meta_number(meta::REVISION)?,
            high_water: Timestamp(view.meta_number(meta::HIGH_WATER)?.cast_signed()),
            window_counts: load::window_counts(&view)?,
            record_bytes: 0,
            requests: Absent { newest: last_key(&view, Table::Requests)?.unwrap_or_default(), looked_up: Vec::new() },
            newest_run: newest_run.unwrap_or(RunId([0; 16])),
        })
    }
}

fn last_key(view: &View<'_>, table: Table) -> Result<Option<Vec<u8>>, Trouble> {
    let mut rows = view.rev_range(table, (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded))?;
    Ok(rows.next().transpose()?.map(|(key, _)| key.to_vec()))
}

/// Which requests are known not to be there. Most ids are newer than all before them, and then one comparison tells; of the
/// others it is remembered what the prefetch of the batch has found, so that the commit does not look a second time.
#[derive(Clone, Debug)]
pub(super) struct Absent {
    /// No key that is there is greater.
    newest: Vec<u8>,
    /// Looked for since the last commit, in that order, and not found.
    looked_up: Vec<DedupKey>,
}

impl Absent {
    /// Whether a row is not there because its key lies behind all others.
    pub(super) fn is_new(&self, row: &[u8]) -> bool {
        row > &self.newest[..]
    }

    /// Takes note that a row is not there.
    pub(super) fn note(&mut self, key: &DedupKey) {
        self.looked_up.push(key.clone());
    }

    /// Takes note that a row is about to be there.
    pub(super) fn put(&mut self, row: Vec<u8>) {
        if self.is_new(&row) {
            self.newest = row;
        }
    }

    /// What was looked for; from now on it is not known any more.
    pub(super) fn take(&mut self) -> LookedUp {
        LookedUp(std::mem::take(&mut self.looked_up).into_iter())
    }
}

/// What was looked for and not found. Asked in the order in which it was looked for.
pub(super) struct LookedUp(std::vec::IntoIter<DedupKey>);

impl LookedUp {
    /// Whether this key was among them, behind the one that was asked for before.
    pub(super) fn has_next(&mut self, key: &DedupKey) -> bool {
        self.0.any(|other| &other == key)
    }
}
