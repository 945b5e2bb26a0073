//! Commit: one record of the write-ahead log and one flush for a batch. Looks at what is there only to keep the counts, the
//! indexes and the order right.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use minicbor::Encode;
use semel_core::{
    codec,
    id::{AppName, RunId, Timestamp},
    run::{Run, RunState},
    window::DedupRecord,
};

use super::{
    Embedded, Shard, forget,
    ledger::{Absent, Ledger, LookedUp},
    record::Record,
    tables::{self, Table, UniqueRow, meta},
    trouble::Trouble,
    view::View,
    wal::{Logged, Room},
};
use crate::store::{Batch, Committed, DedupKey, Epoch, Error, Forgotten, list};

/// Whether a write is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is durable, and shown, when the call returns.
    Waiting,
    /// It is under way then.
    Ahead,
}

impl Embedded {
    pub(super) fn write(&mut self, epoch: Epoch, batch: &Batch<'_>, way: Way) -> Result<Committed, Trouble> {
        self.wait_for_log()?;
        let shard = self.shard.clone();
        let looked_up = self.ledger.requests.take();
        let mut writer = Writer {
            view: shard.writers_view(None)?,
            record: Record::with_capacity(self.ledger.record_bytes * 5 / 4),
            changed: BTreeMap::new(),
        };
        writer.check(epoch, batch, &self.ledger)?;
        let high_water = writer.put_meta(batch, &self.ledger);
        let forgotten = match &batch.forget {
            Some(forget) => forget::forget(&shard.view()?, &mut writer.record, forget)?,
            None => Forgotten::default(),
        };
        writer.put_requests(&batch.requests, &mut self.ledger.requests, looked_up)?;
        writer.put_arrivals(batch)?;
        let first_live = writer.record.rows(Table::Runs);
        for run in &batch.live {
            writer.put_live(run, &mut self.ledger.newest_run)?;
        }
        writer.put_records(batch, first_live);
        for run in &batch.finished {
            writer.put_finished(run)?;
        }
        writer.put_named(batch);
        for blob in &batch.blobs {
            writer.record.put(Table::Blobs, &tables::blob(blob.run_id, blob.kind), &blob.payload);
        }
        for row in &batch.logs {
            writer.record.put(Table::Logs, &tables::log(row.run_id, row.index), *row);
        }
        let expired = match batch.expire {
            Some((before, max)) => writer.expire(&shard, batch, before, max)?,
            None => BTreeMap::new(),
        };
        let counts = writer.put_counts(&expired, &self.ledger)?;
        let record = writer.record;
        self.ledger.record_bytes = record.len();
        self.log(record, way)?;
        self.ledger.revision = batch.revision.0;
        self.ledger.high_water = high_water;
        for (app, count) in counts {
            match count {
                0 => drop(self.ledger.window_counts.remove(&app)),
                _ => drop(self.ledger.window_counts.insert(app, count)),
            }
        }
        Ok(Committed { expired, forgotten })
    }

    /// Makes a record durable, and shows its rows. If this fails it is not known whether the record is there; nothing is
    /// shown, and nothing can be logged any more.
    pub(super) fn log(&mut self, record: Record, way: Way) -> Result<(), Trouble> {
        let memtable = &self.shard.memtable;
        let offset = loop {
            self.wal.release(memtable.flushed().map_err(Trouble::Known)?);
            match self.wal.room(record.len()) {
                Room::At(offset) => break offset,
                Room::Later => drop(memtable.press().map_err(Trouble::Known)?),
                Room::Never => return self.log_directly(record),
            }
        };
        match way {
            Way::Waiting => {
                let logged = self.wal.append(record, offset)?;
                self.show(logged);
            }
            Way::Ahead => self.begun = Some(self.wal.begin(record, offset)?),
        }
        Ok(())
    }

    /// Waits for what was begun, and shows its rows. The same holds as for [`Embedded::log`] if this fails.
    pub(super) fn wait_for_log(&mut self) -> Result<(), Trouble> {
        if let Some(begun) = self.begun.take() {
            self.wal.settle()?;
            self.show(begun);
        }
        Ok(())
    }

    fn show(&self, logged: Logged) {
        self.shard.memtable.insert(logged.rows, logged.end, logged.taken);
    }

    /// A record that is larger than the log goes to LMDB alone, after all that came before it.
    fn log_directly(&mut self, record: Record) -> Result<(), Trouble> {
        while self.shard.memtable.flushed().map_err(Trouble::Known)?.sequence < self.wal.head().sequence {
            self.shard.memtable.press().map_err(Trouble::Known)?;
        }
        self.shard.flush(&[record.into_rows().into()], self.wal.head())
    }
}

/// The rows of live runs that a batch has put. Those of runs that it forgets stand before them.
struct LiveRows<'b> {
    record: &'b Record,
    /// Which row of the table is that of the first one.
    first: usize,
    /// By id, as their rows stand.
    live: &'b [&'b Run],
}

impl codec::Known for LiveRows<'_> {
    fn run(&mut self, run: &Arc<Run>) -> Option<&[u8]> {
        let at = self.live.binary_search_by_key(&run.id, |live| live.id).ok()?;
        std::ptr::eq(self.live[at], &raw const **run).then(|| self.record.value(Table::Runs, self.first + at))
    }
}

struct Writer<'s> {
    view: View<'s>,
    record: Record,
    /// How many requests of each app the batch adds.
    changed: BTreeMap<AppName, u64>,
}

impl Writer<'_> {
    fn check(&self, held: Epoch, batch: &Batch<'_>, ledger: &Ledger) -> Result<(), Trouble> {
        let current = ledger.epoch;
        if held != current {
            return Err(Trouble::Known(Error::Fenced { held, current }));
        }
        let last = batch.records.iter().try_fold(None, |last: Option<u64>, record| {
            let revision = record.revision.0;
            last.is_none_or(|last| last < revision).then_some(Some(revision))
        });
        let first = batch.records.first().map_or(u64::MAX, |record| record.revision.0);
        let Some(last) = last.filter(|_| first > ledger.revision) else {
            return Err(Trouble::Rule("a request or a record of the batch is there already".to_owned()));
        };
        let least = last.unwrap_or(0).max(ledger.revision);
        if batch.revision.0 < least {
            return Err(Trouble::Rule(format!("revision {} lies behind {least}", batch.revision.0)));
        }
        Ok(())
    }

    fn put_meta(&mut self, batch: &Batch<'_>, ledger: &Ledger) -> Timestamp {
        let high_water = ledger.high_water.max(batch.now);
        self.record.put_bytes(Table::Meta, meta::REVISION, &batch.revision.0.to_be_bytes());
        self.record.put_bytes(Table::Meta, meta::HIGH_WATER, &high_water.0.to_be_bytes());
        high_water
    }

    fn put_requests(
        &mut self,
        requests: &[(DedupKey, DedupRecord)],
        absent: &mut Absent,
        mut looked_up: LookedUp,
    ) -> Result<(), Trouble> {
        let there_already = || Trouble::Rule("a request or a record of the batch is there already".to_owned());
        let mut are_in_order = true;
        for (key, record) in requests {
            let row = tables::request(key);
            let is_new = absent.is_new(&row);
            are_in_order &= is_new;
            if !is_new && !looked_up.has_next(key) && self.view.contains(Table::Requests, &row)? {
                return Err(there_already());
            }
            self.record.put(Table::Requests, &row, record);
            absent.put(row);
            match self.changed.get_mut(&key.app) {
                Some(count) => *count += 1,
                None => drop(self.changed.insert(key.app.clone(), 1)),
            }
        }
        // Whatever is behind all that came before it is there once; the others are compared with each other.
        if !are_in_order {
            let mut keys: Vec<&DedupKey> = requests.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(there_already());
            }
        }
        Ok(())
    }

    fn put_arrivals(&mut self, batch: &Batch<'_>) -> Result<(), Trouble> {
        for (key, arrivals) in &batch.arrivals {
            let row = tables::request(key);
            let of_batch = || batch.requests.iter().find(|(other, _)| other == key).map(|(_, record)| record.clone());
            let Some(record) = self.view.row(Table::Requests, &row)?.or_else(of_batch) else { continue };
            self.record.put(Table::Requests, &row, &record.with(*arrivals));
        }
        Ok(())
    }

    fn put_live(&mut self, run: &Run, newest: &mut RunId) -> Result<(), Trouble> {
        self.record.put(Table::Runs, &run.id.0, run);
        let is_new = run.id > *newest;
        *newest = run.id.max(*newest);
        // A run enters `live` when it first appears, and never again once it has left: so this is the one time to list it.
        if is_new || !self.view.contains(Table::Live, &run.id.0)? {
            self.record.put_bytes(Table::Live, &run.id.0, &[]);
            self.put_by_job(run);
        }
        Ok(())
    }

    /// The log. What a record says of a run that it made, and that is still as it was made, stands in the row of that run
    /// already, and is taken from there.
    fn put_records(&mut self, batch: &Batch<'_>, first: usize) {
        let mut value = Vec::new();
        for record in &batch.records {
            value.clear();
            let mut known = LiveRows { record: &self.record, first, live: &batch.live };
            codec::encode_with(record, &mut known, &mut value);
            self.record.put_bytes(Table::Records, &record.revision.0.to_be_bytes(), &value);
        }
    }

    fn put_finished(&mut self, run: &Run) -> Result<(), Trouble> {
        self.record.put(Table::Runs, &run.id.0, run);
        if let RunState::Ended { time, .. } = run.state {
            self.record.put_bytes(Table::Ended, &tables::ended(time, run.id), &[]);
        }
        if self.view.contains(Table::Live, &run.id.0)? {
            self.record.delete(Table::Live, &run.id.0);
        } else {
            self.put_by_job(run);
        }
        Ok(())
    }

    fn put_by_job(&mut self, run: &Run) {
        self.record.put_bytes(Table::RunsByJob, &tables::run_by_job(&run.job, run.id), &[]);
    }

    /// Apps, tokens, jobs, triggers and business keys: all that may also be deleted.
    fn put_named(&mut self, batch: &Batch<'_>) {
        for (name, app) in &batch.apps {
            self.put_or_delete(Table::Apps, name.as_str().as_bytes(), *app);
        }
        for (token_id, expire_time) in &batch.tokens {
            self.put_or_delete(Table::Tokens, &token_id.0, expire_time.as_ref());
        }
        for (key, job) in &batch.jobs {
            self.put_or_delete(Table::Jobs, &tables::job(&key.app, &key.job), *job);
        }
        for (key, standing) in &batch.triggers {
            self.put_or_delete(Table::Triggers, &tables::trigger(key), *standing);
        }
        for ((key, unique_key), hold) in &batch.unique {
            let row =
                hold.map(|hold| UniqueRow { key: key.clone(), unique_key: unique_key.clone(), hold: hold.clone() });
            self.put_or_delete(Table::Unique, &tables::unique(key, unique_key), row.as_ref());
        }
    }

    fn put_or_delete<T: Encode<()>>(&mut self, table: Table, key: &[u8], value: Option<&T>) {
        match value {
            Some(value) => self.record.put(table, key, value),
            None => self.record.delete(table, key),
        }
    }

    /// Takes the oldest requests away, those of the batch itself included. They lie together at the left edge.
    fn expire(
        &mut self,
        shard: &Shard,
        batch: &Batch<'_>,
        before: Timestamp,
        max: usize,
    ) -> Result<BTreeMap<AppName, u64>, Trouble> {
        let end = list::first_id(before);
        let upper = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
        let view = shard.view()?;
        let mut oldest = Vec::new();
        for row in view.range(Table::Requests, (Bound::Unbounded, upper))?.take(max) {
            oldest.push(row?.0.to_vec());
        }
        let of_batch = batch.requests.iter().map(|(key, _)| tables::request(key));
        oldest.extend(of_batch.filter(|key| end.is_none_or(|end| key[..] < end[..])));
        oldest.sort_unstable();
        let mut expired = BTreeMap::new();
        for key in oldest.iter().take(max) {
            *expired.entry(tables::app_name(tables::split_request(key)?.1)?).or_default() += 1;
            self.record.delete(Table::Requests, key);
        }
        Ok(expired)
    }

    /// Writes the counts of the apps that gained or lost requests, and gives them.
    fn put_counts(
        &mut self,
        expired: &BTreeMap<AppName, u64>,
        ledger: &Ledger,
    ) -> Result<Vec<(AppName, u64)>, Trouble> {
        let mut counts = Vec::new();
        let lost_only = expired.keys().filter(|app| !self.changed.contains_key(*app));
        for app in self.changed.keys().chain(lost_only) {
            let before = ledger.window_counts.get(app).copied().unwrap_or(0);
            let gained = self.changed.get(app).copied().unwrap_or(0);
            let lost = expired.get(app).copied().unwrap_or(0);
            let count = (before + gained).checked_sub(lost).ok_or_else(|| Trouble::damaged("count of requests"))?;
            counts.push((app.clone(), count));
        }
        for (app, count) in &counts {
            match count {
                0 => self.record.delete(Table::WindowCounts, app.as_str().as_bytes()),
                _ => self.record.put_bytes(Table::WindowCounts, app.as_str().as_bytes(), &count.to_be_bytes()),
            }
        }
        Ok(counts)
    }
}
