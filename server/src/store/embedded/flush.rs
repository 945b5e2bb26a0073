//! Takes what is durable in the write-ahead log over into LMDB, many commits in one transaction, beside the writer.

use std::{
    ops::Bound,
    sync::Arc,
    thread::{self, JoinHandle},
};

use heed::{PutFlags, RwTxn};

use super::{
    Shard,
    layer::Layer,
    tables::{Table, meta},
    trouble::{self, Trouble},
    wal::Position,
};
use crate::clock::Stopwatch;

/// The thread that flushes. Flushes what is left when it is dropped.
pub(super) struct Flusher {
    shard: Arc<Shard>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts it.
    pub(super) fn start(shard: Arc<Shard>) -> Self {
        let of_thread = shard.clone();
        let body = move || {
            while let Some(work) = of_thread.memtable.next_work() {
                let begun = Stopwatch::start();
                let outcome = of_thread.flush(&work.layers, work.end);
                if outcome.is_ok() {
                    of_thread.meter.flushed(begun.elapsed());
                }
                of_thread.memtable.done(&work, outcome.map_err(|trouble| trouble.at("flush its log")));
            }
        };
        let thread = thread::Builder::new().name("semel-flush".to_owned()).spawn(body);
        Self { shard, thread: Some(thread.expect("the system can start a thread")) }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shard.memtable.close();
        if let Some(thread) = self.thread.take() {
            // What a failed flush leaves behind is in the log, and comes with the next start.
            let _ = thread.join();
        }
    }
}

impl Shard {
    /// Writes layers, the oldest first, and from where on the log is needed: all of it or nothing, synced.
    pub(super) fn flush(&self, layers: &[Arc<Layer>], end: Position) -> Result<(), Trouble> {
        self.write(layers, end).map_err(|trouble| trouble::of_write(trouble, self.env.path()))
    }

    fn write(&self, layers: &[Arc<Layer>], end: Position) -> Result<(), Trouble> {
        let mut txn = self.env.write_txn()?;
        for table in Table::ALL {
            self.write_table(&mut txn, table, layers)?;
        }
        self.databases[Table::Meta as usize].put(&mut txn, meta::WAL, &end.to_bytes())?;
        Ok(txn.commit()?)
    }

    /// Each row once, as the last of the commits left it: a run that came and went between two flushes is written as it ended,
    /// and what was only there for a while not at all. Rows behind all others are appended: LMDB then looks for no place,
    /// and fills its pages instead of halving each one that is full.
    fn write_table(&self, txn: &mut RwTxn<'_>, table: Table, layers: &[Arc<Layer>]) -> Result<(), Trouble> {
        let database = self.databases[table as usize];
        let all = || (Bound::Unbounded, Bound::Unbounded);
        let mut rows: Vec<_> = layers.iter().flat_map(|layer| layer.range(table, all())).collect();
        // Stable: of rows with one key, that of the latest commit is the last.
        rows.sort_by_key(|(key, _)| *key);
        let last = database.last(txn)?.map(|(key, _)| key.to_vec()).unwrap_or_default();
        let mut is_new = false;
        let mut rows = rows.into_iter().peekable();
        while let Some((key, value)) = rows.next() {
            if rows.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            // The keys come in order: behind one that lies behind all others, all do.
            is_new = is_new || *key > last[..];
            match value {
                Some(value) if is_new => database.put_with_flags(txn, PutFlags::APPEND, key, value)?,
                Some(value) => database.put(txn, key, value)?,
                None if is_new => {}
                None => drop(database.delete(txn, key)?),
            }
        }
        Ok(())
    }
}
