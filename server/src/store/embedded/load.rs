//! What the engine reads: all of its state at the start, and later the few rows that a batch names.

use minicbor::Decode;
use semel_core::{
    codec,
    id::{AppName, Revision, Timestamp, TokenId},
    run::Run,
    state::{BlobKind, Rows},
};

use super::{
    Embedded,
    record::Record,
    tables::{self, Table, UniqueRow, meta},
    trouble::Trouble,
    view::View,
    write::Way,
};
use crate::store::{Epoch, Fetched, Loaded, Wanted};

impl Embedded {
    /// Makes this engine the owner, and gives it what it needs to know.
    pub(super) fn take_over(&mut self) -> Result<Loaded, Trouble> {
        let epoch = Epoch(self.ledger.epoch.0 + 1);
        let mut record = Record::with_capacity(0);
        record.put_bytes(Table::Meta, meta::EPOCH, &epoch.0.to_be_bytes());
        self.log(record, Way::Waiting)?;
        self.ledger.epoch = epoch;
        let view = self.shard.view()?;
        Ok(Loaded {
            rows: rows(&view)?,
            revision: Revision(self.ledger.revision),
            high_water: self.ledger.high_water,
            window_counts: self.ledger.window_counts.clone(),
            epoch,
            window_floor: Timestamp(view.meta_number(meta::WINDOW_FLOOR)?.cast_signed()),
            attempt_floor: u32::try_from(view.meta_number(meta::ATTEMPT_FLOOR)?)
                .map_err(|_| Trouble::damaged("attempt floor"))?,
            store_id: view.store_id()?,
        })
    }
}

fn rows(view: &View<'_>) -> Result<Rows, Trouble> {
    let mut runs = Vec::new();
    for live in view.all(Table::Live)? {
        let (id, _) = live?;
        runs.push(view.required::<Run>(Table::Runs, id, "live run")?);
    }
    let mut tokens = Vec::new();
    for token in view.all(Table::Tokens)? {
        let (id, expire_time) = token?;
        let id = id.try_into().map_err(|_| Trouble::damaged("token id"))?;
        tokens.push((TokenId(id), codec::decode(expire_time)?));
    }
    let mut unique: Vec<_> =
        all::<UniqueRow>(view, Table::Unique)?.into_iter().map(|row| ((row.key, row.unique_key), row.hold)).collect();
    // They lie in the order of their hashes; a start should not depend on that.
    unique.sort_by(|a, b| a.0.cmp(&b.0));
    let (apps, jobs, triggers) = (all(view, Table::Apps)?, all(view, Table::Jobs)?, all(view, Table::Triggers)?);
    Ok(Rows { apps, tokens, jobs, runs, triggers, unique })
}

/// How many requests each app has in the window.
pub(super) fn window_counts(view: &View<'_>) -> Result<std::collections::BTreeMap<AppName, u64>, Trouble> {
    let counts = view.all(Table::WindowCounts)?.map(|row| {
        let (app, count) = row?;
        Ok((tables::app_name(app)?, tables::number(count)?))
    });
    counts.collect()
}

impl Embedded {
    pub(super) fn fetch(&mut self, wanted: &Wanted) -> Result<Fetched, Trouble> {
        let absent = &mut self.ledger.requests;
        drop(absent.take());
        let view = self.shard.writers_view(self.begun.as_ref().map(|begun| &begun.rows))?;
        let mut fetched = Fetched::default();
        for key in &wanted.requests {
            let row = tables::request(key);
            let found = if absent.is_new(&row) { None } else { view.row(Table::Requests, &row)? };
            match found {
                Some(record) => drop(fetched.requests.insert(key.clone(), record)),
                None => absent.note(key),
            }
        }
        for (id, with_input) in &wanted.runs {
            let Some(run) = view.row(Table::Runs, &id.0)? else { continue };
            let input = match with_input {
                true => view.row(Table::Blobs, &tables::blob(*id, BlobKind::Payload))?,
                false => None,
            };
            fetched.runs.push((run, input));
        }
        Ok(fetched)
    }
}

fn all<T: for<'b> Decode<'b, ()>>(view: &View<'_>, table: Table) -> Result<Vec<T>, Trouble> {
    view.all(table)?.map(|row| Ok(codec::decode(row?.1)?)).collect()
}
