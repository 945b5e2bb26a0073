//! What the engine reads: all of its state at the start, and later the few rows that a batch names.

use heed::{RoTxn, RwTxn};
use minicbor::Decode;
use semel_core::{
    codec,
    id::{Revision, Timestamp, TokenId},
    run::Run,
    state::{BlobKind, Rows},
};

use super::{
    Shard, meta_number, required, row,
    tables::{self, Table, UniqueRow, meta},
    trouble::Trouble,
};
use crate::store::{Epoch, Fetched, Loaded, Wanted};

impl Shard {
    pub(super) fn load(&self) -> Result<Loaded, Trouble> {
        let mut txn = self.env.write_txn()?;
        let epoch = self.take_over(&mut txn)?;
        let store_id = self.tables.meta.get(&txn, meta::STORE_ID)?;
        let high_water = meta_number(self.tables, &txn, meta::HIGH_WATER)?;
        let loaded = Loaded {
            rows: self.rows(&txn)?,
            revision: Revision(meta_number(self.tables, &txn, meta::REVISION)?),
            high_water: Timestamp(high_water.cast_signed()),
            window_counts: self
                .tables
                .window_counts
                .iter(&txn)?
                .map(|row| {
                    let (app, count) = row?;
                    Ok((tables::app_name(app)?, tables::number(count)?))
                })
                .collect::<Result<_, Trouble>>()?,
            epoch,
            window_floor: Timestamp(meta_number(self.tables, &txn, meta::WINDOW_FLOOR)?.cast_signed()),
            attempt_floor: u32::try_from(meta_number(self.tables, &txn, meta::ATTEMPT_FLOOR)?)
                .map_err(|_| Trouble::damaged("attempt floor"))?,
            store_id: store_id.and_then(|id| id.try_into().ok()).ok_or_else(|| Trouble::damaged("store id"))?,
        };
        txn.commit()?;
        Ok(loaded)
    }

    fn take_over(&self, txn: &mut RwTxn<'_>) -> Result<Epoch, Trouble> {
        let epoch = meta_number(self.tables, txn, meta::EPOCH)? + 1;
        self.tables.meta.put(txn, meta::EPOCH, &epoch.to_be_bytes())?;
        Ok(Epoch(epoch))
    }

    fn rows(&self, txn: &RoTxn<'_>) -> Result<Rows, Trouble> {
        let mut runs = Vec::new();
        for live in self.tables.live.iter(txn)? {
            let (id, _) = live?;
            runs.push(required::<Run>(self.tables.runs, txn, id, "live run")?);
        }
        let mut tokens = Vec::new();
        for token in self.tables.tokens.iter(txn)? {
            let (id, expire_time) = token?;
            let id = id.try_into().map_err(|_| Trouble::damaged("token id"))?;
            tokens.push((TokenId(id), codec::decode(expire_time)?));
        }
        let mut unique: Vec<_> = all::<UniqueRow>(self.tables.unique, txn)?
            .into_iter()
            .map(|row| ((row.key, row.unique_key), row.hold))
            .collect();
        // They lie in the order of their hashes; a start should not depend on that.
        unique.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Rows { apps: all(self.tables.apps, txn)?, tokens, jobs: all(self.tables.jobs, txn)?, runs, unique })
    }

    pub(super) fn prefetch(&self, wanted: &Wanted) -> Result<Fetched, Trouble> {
        let txn = self.env.read_txn()?;
        let mut fetched = Fetched::default();
        for key in &wanted.requests {
            if let Some(record) = row(self.tables.requests, &txn, &tables::request(key))? {
                fetched.requests.insert(key.clone(), record);
            }
        }
        for (id, with_input) in &wanted.runs {
            let Some(run) = row(self.tables.runs, &txn, &id.0)? else { continue };
            let input = match with_input {
                true => row(self.tables.blobs, &txn, &tables::blob(*id, BlobKind::Payload))?,
                false => None,
            };
            fetched.runs.push((run, input));
        }
        Ok(fetched)
    }
}

fn all<T: for<'b> Decode<'b, ()>>(table: Table, txn: &RoTxn<'_>) -> Result<Vec<T>, Trouble> {
    table.iter(txn)?.map(|row| Ok(codec::decode(row?.1)?)).collect()
}
