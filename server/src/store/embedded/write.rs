//! Commit: one transaction and one sync for a batch. Looks at what is there only to keep the counts, the indexes and the
//! order right.

use std::{collections::BTreeMap, ops::Bound};

use heed::{MdbError, PutFlags, RwTxn};
use minicbor::Encode;
use semel_core::{
    codec,
    id::{AppName, Timestamp},
    run::{Run, RunState},
    window::DedupRecord,
};

use super::{
    Shard, meta_number, row,
    tables::{self, Table, Tables, UniqueRow, meta},
    trouble::Trouble,
};
use crate::store::{Batch, Committed, DedupKey, Epoch, Error, list};

impl Shard {
    pub(super) fn write(&self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Trouble> {
        let txn = self.env.write_txn()?;
        let mut writer = Writer { tables: self.tables, txn, value: Vec::new(), added: BTreeMap::new() };
        writer.check_epoch(epoch)?;
        writer.put_meta(batch)?;
        writer.put_requests(&batch.requests)?;
        writer.put_arrivals(&batch.arrivals)?;
        for record in &batch.records {
            writer.append(writer.tables.records, &record.revision.0.to_be_bytes(), record)?;
        }
        for run in &batch.live {
            writer.put_live(run)?;
        }
        for run in &batch.finished {
            writer.put_finished(run)?;
        }
        writer.put_named(batch)?;
        for blob in &batch.blobs {
            writer.put(writer.tables.blobs, &tables::blob(blob.run_id, blob.kind), &blob.payload)?;
        }
        for row in &batch.logs {
            writer.put(writer.tables.logs, &tables::log(row.run_id, row.index), *row)?;
        }
        let expired = match batch.expire {
            Some((before, max)) => writer.expire(before, max)?,
            None => BTreeMap::new(),
        };
        writer.put_counts(&expired)?;
        let forgotten = batch.forget.as_ref().map(|forget| writer.forget(forget)).transpose()?.unwrap_or_default();
        writer.txn.commit()?;
        Ok(Committed { expired, forgotten })
    }
}

/// A range of keys.
pub(super) type Range<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

pub(super) struct Writer<'e> {
    pub(super) tables: Tables,
    pub(super) txn: RwTxn<'e>,
    /// The bytes of the value that is being written; kept for the next one.
    value: Vec<u8>,
    /// How many requests of each app the batch adds.
    added: BTreeMap<AppName, u64>,
}

impl Writer<'_> {
    fn check_epoch(&self, held: Epoch) -> Result<(), Trouble> {
        let current = Epoch(meta_number(self.tables, &self.txn, meta::EPOCH)?);
        if held == current {
            return Ok(());
        }
        Err(Trouble::Known(Error::Fenced { held, current }))
    }

    fn put_meta(&mut self, batch: &Batch<'_>) -> Result<(), Trouble> {
        let revision = meta_number(self.tables, &self.txn, meta::REVISION)?;
        let last = batch.records.last().map_or(revision, |record| record.revision.0);
        if batch.revision.0 < last.max(revision) {
            return Err(Trouble::Rule(format!("revision {} lies behind {}", batch.revision.0, last.max(revision))));
        }
        let high_water = meta_number(self.tables, &self.txn, meta::HIGH_WATER)?.cast_signed().max(batch.now.0);
        let meta = self.tables.meta;
        meta.put(&mut self.txn, meta::REVISION, &batch.revision.0.to_be_bytes())?;
        meta.put(&mut self.txn, meta::HIGH_WATER, &high_water.to_be_bytes())?;
        Ok(())
    }

    fn put_requests(&mut self, requests: &[(DedupKey, DedupRecord)]) -> Result<(), Trouble> {
        for (key, record) in requests {
            self.put_with(self.tables.requests, PutFlags::NO_OVERWRITE, &tables::request(key), record)?;
            match self.added.get_mut(&key.app) {
                Some(count) => *count += 1,
                None => {
                    self.added.insert(key.app.clone(), 1);
                }
            }
        }
        Ok(())
    }

    fn put_arrivals(&mut self, arrivals: &[(DedupKey, u64)]) -> Result<(), Trouble> {
        for (key, arrivals) in arrivals {
            let key = tables::request(key);
            let Some(record) = row::<DedupRecord>(self.tables.requests, &self.txn, &key)? else { continue };
            self.put(self.tables.requests, &key, &DedupRecord { arrivals: *arrivals, ..record })?;
        }
        Ok(())
    }

    fn put_live(&mut self, run: &Run) -> Result<(), Trouble> {
        self.put(self.tables.runs, &run.id.0, run)?;
        // A run enters `live` when it first appears, and never again once it has left: so this is the one time to list it.
        let live = self.tables.live;
        match live.put_with_flags(&mut self.txn, PutFlags::NO_OVERWRITE, &run.id.0, &[]) {
            Ok(()) => self.put_by_job(run),
            Err(heed::Error::Mdb(MdbError::KeyExist)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn put_finished(&mut self, run: &Run) -> Result<(), Trouble> {
        self.put(self.tables.runs, &run.id.0, run)?;
        if let RunState::Ended { time, .. } = run.state {
            self.tables.ended.put(&mut self.txn, &tables::ended(time, run.id), &[])?;
        }
        let was_live = self.delete(self.tables.live, &run.id.0)?;
        if was_live { Ok(()) } else { self.put_by_job(run) }
    }

    fn put_by_job(&mut self, run: &Run) -> Result<(), Trouble> {
        Ok(self.tables.runs_by_job.put(&mut self.txn, &tables::run_by_job(&run.job, run.id), &[])?)
    }

    /// Apps, tokens, jobs and business keys: all that may also be deleted.
    fn put_named(&mut self, batch: &Batch<'_>) -> Result<(), Trouble> {
        for (name, app) in &batch.apps {
            self.put_or_delete(self.tables.apps, name.as_str().as_bytes(), *app)?;
        }
        for (token_id, expire_time) in &batch.tokens {
            self.put_or_delete(self.tables.tokens, &token_id.0, expire_time.as_ref())?;
        }
        for (key, job) in &batch.jobs {
            self.put_or_delete(self.tables.jobs, &tables::job(&key.app, &key.job), *job)?;
        }
        for ((key, unique_key), hold) in &batch.unique {
            let row =
                hold.map(|hold| UniqueRow { key: key.clone(), unique_key: unique_key.clone(), hold: hold.clone() });
            self.put_or_delete(self.tables.unique, &tables::unique(key, unique_key), row.as_ref())?;
        }
        Ok(())
    }

    /// Takes the oldest requests away. They lie together at the left edge of the tree.
    fn expire(&mut self, before: Timestamp, max: usize) -> Result<BTreeMap<AppName, u64>, Trouble> {
        let mut expired = BTreeMap::new();
        let end = list::first_id(before);
        let upper = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
        let mut last: Vec<u8> = Vec::new();
        let mut found = 0;
        for row in self.tables.requests.range(&self.txn, &(Bound::Unbounded, upper))?.take(max) {
            let (key, _) = row?;
            *expired.entry(tables::app_name(tables::split_request(key)?.1)?).or_default() += 1;
            key.clone_into(&mut last);
            found += 1;
        }
        if found > 0 {
            let range = (Bound::Unbounded, Bound::Included(last.as_slice()));
            let deleted = self.delete_range(self.tables.requests, &range)?;
            assert_eq!(deleted, found, "what was found in a transaction is there to be deleted in it");
        }
        Ok(expired)
    }

    /// Writes the counts of the apps that gained or lost requests.
    fn put_counts(&mut self, expired: &BTreeMap<AppName, u64>) -> Result<(), Trouble> {
        let added = std::mem::take(&mut self.added);
        let lost_only = expired.keys().filter(|app| !added.contains_key(*app));
        for app in added.keys().chain(lost_only) {
            let key = app.as_str().as_bytes();
            let before = self.tables.window_counts.get(&self.txn, key)?.map_or(Ok(0), tables::number)?;
            let gained = added.get(app).copied().unwrap_or(0);
            let lost = expired.get(app).copied().unwrap_or(0);
            let count = (before + gained).checked_sub(lost).ok_or_else(|| Trouble::damaged("count of requests"))?;
            if count == 0 {
                self.delete(self.tables.window_counts, key)?;
            } else {
                self.tables.window_counts.put(&mut self.txn, key, &count.to_be_bytes())?;
            }
        }
        Ok(())
    }

    fn put<T: Encode<()>>(&mut self, table: Table, key: &[u8], value: &T) -> Result<(), Trouble> {
        self.put_with(table, PutFlags::empty(), key, value)
    }

    /// Puts a row that must lie behind all others.
    fn append<T: Encode<()>>(&mut self, table: Table, key: &[u8], value: &T) -> Result<(), Trouble> {
        self.put_with(table, PutFlags::APPEND, key, value)
    }

    fn put_or_delete<T: Encode<()>>(&mut self, table: Table, key: &[u8], value: Option<&T>) -> Result<(), Trouble> {
        match value {
            Some(value) => self.put(table, key, value),
            None => self.delete(table, key).map(drop),
        }
    }

    /// Takes a row away; false if there is none.
    pub(super) fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, Trouble> {
        Ok(table.delete(&mut self.txn, key)?)
    }

    /// Takes the rows of a range away, and says how many they were.
    pub(super) fn delete_range(&mut self, table: Table, range: &Range<'_>) -> Result<usize, Trouble> {
        Ok(table.delete_range(&mut self.txn, range)?)
    }

    fn put_with<T: Encode<()>>(&mut self, table: Table, flags: PutFlags, key: &[u8], value: &T) -> Result<(), Trouble> {
        self.value.clear();
        codec::encode_into(value, &mut self.value);
        match table.put_with_flags(&mut self.txn, flags, key, &self.value) {
            Err(heed::Error::Mdb(MdbError::KeyExist)) => {
                Err(Trouble::Rule("a request or a record of the batch is there already".to_owned()))
            }
            put => Ok(put?),
        }
    }
}
