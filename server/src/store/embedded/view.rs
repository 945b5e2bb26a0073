//! What is committed, at one moment: the rows of LMDB under those that are not flushed yet.
//!
//! The order in which the two are taken matters: first the layers, then LMDB's snapshot. A layer that is flushed between the
//! two is then seen twice, which is harmless; the other way round it could be seen nowhere.

use std::{cmp::Ordering, iter::Peekable, ops::Bound, sync::Arc};

use heed::{RoTxn, WithoutTls};
use minicbor::Decode;
use semel_core::codec;

use super::{
    Shard,
    layer::{Layer, Whole},
    memtable::Memtable,
    tables::{self, Table, meta},
    trouble::Trouble,
};

/// A range of keys.
pub(super) type Range<'r> = (Bound<&'r [u8]>, Bound<&'r [u8]>);

/// See the module. Never changes, whatever is committed meanwhile.
pub(super) struct View<'s> {
    shard: &'s Shard,
    /// The newest first.
    layers: Vec<Arc<Layer>>,
    txn: RoTxn<'s, WithoutTls>,
    /// The writer also sees what was not closed when there had been so many layers. It alone adds to it.
    newest: Option<(&'s Memtable, u64)>,
    /// The writer may also see what it has begun to write.
    begun: Option<&'s Whole>,
}

impl Shard {
    /// What is committed now.
    pub(super) fn view(&self) -> Result<View<'_>, Trouble> {
        let layers = self.memtable.layers();
        Ok(View { shard: self, layers, txn: self.env.read_txn()?, newest: None, begun: None })
    }

    /// The same for the one writer, whose looks do not close the open layer, with what it has begun to write. Only for single
    /// rows.
    pub(super) fn writers_view<'s>(&'s self, begun: Option<&'s Whole>) -> Result<View<'s>, Trouble> {
        let (layers, closed_count) = self.memtable.closed_layers();
        let newest = Some((&self.memtable, closed_count));
        Ok(View { shard: self, layers, txn: self.env.read_txn()?, newest, begun })
    }
}

impl View<'_> {
    /// What `read` makes of the bytes of a row, if it is there.
    pub(super) fn with<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        if let Some(row) = self.begun.and_then(|rows| rows.get(table, key)) {
            return row.map(read).transpose();
        }
        if let Some(newest) = self.newest.and_then(|(memtable, closed)| memtable.newest(table, key, closed)) {
            return newest.as_deref().map(read).transpose();
        }
        if let Some(row) = self.layers.iter().filter_map(|layer| layer.get(table, key)).next() {
            return row.map(read).transpose();
        }
        self.shard.databases[table as usize].get(&self.txn, key)?.map(read).transpose()
    }

    /// Whether a row is there.
    pub(super) fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Trouble> {
        Ok(self.with(table, key, |_| Ok(()))?.is_some())
    }

    /// A row, if it is there.
    pub(super) fn row<T: for<'b> Decode<'b, ()>>(&self, table: Table, key: &[u8]) -> Result<Option<T>, Trouble> {
        self.with(table, key, |bytes| Ok(codec::decode(bytes)?))
    }

    /// A row that another row says is there.
    pub(super) fn required<T: for<'b> Decode<'b, ()>>(
        &self,
        table: Table,
        key: &[u8],
        what: &'static str,
    ) -> Result<T, Trouble> {
        self.row(table, key)?.ok_or_else(|| Trouble::damaged(what))
    }

    /// A number of `meta`; 0 if it is not there yet.
    pub(super) fn meta_number(&self, key: &[u8]) -> Result<u64, Trouble> {
        Ok(self.with(Table::Meta, key, tables::number)?.unwrap_or(0))
    }

    /// The id of the store.
    pub(super) fn store_id(&self) -> Result<[u8; 16], Trouble> {
        let id = self.with(Table::Meta, meta::STORE_ID, |id| id.try_into().map_err(|_| Trouble::damaged("store id")));
        id?.ok_or_else(|| Trouble::damaged("store id"))
    }

    /// The rows of a table.
    pub(super) fn all(&self, table: Table) -> Result<Merged<'_>, Trouble> {
        self.range(table, (Bound::Unbounded, Bound::Unbounded))
    }

    /// The rows in a range, in order.
    pub(super) fn range(&self, table: Table, range: Range<'_>) -> Result<Merged<'_>, Trouble> {
        if is_empty(range) {
            return Ok(Merged::nothing());
        }
        let layers = self.layers.iter();
        let mut sources: Vec<Source<'_>> =
            layers.map(|layer| (Box::new(layer.range(table, range).map(Ok)) as Rows<'_>).peekable()).collect();
        let rows = self.shard.databases[table as usize].range(&self.txn, &range)?;
        sources.push((Box::new(rows.map(below)) as Rows<'_>).peekable());
        Ok(Merged { sources, first: Ordering::Less })
    }

    /// The rows in a range, the last first.
    pub(super) fn rev_range(&self, table: Table, range: Range<'_>) -> Result<Merged<'_>, Trouble> {
        if is_empty(range) {
            return Ok(Merged::nothing());
        }
        let layers = self.layers.iter();
        let mut sources: Vec<Source<'_>> =
            layers.map(|layer| (Box::new(layer.range(table, range).rev().map(Ok)) as Rows<'_>).peekable()).collect();
        let rows = self.shard.databases[table as usize].rev_range(&self.txn, &range)?;
        sources.push((Box::new(rows.map(below)) as Rows<'_>).peekable());
        Ok(Merged { sources, first: Ordering::Greater })
    }
}

/// A row of one source; without a value it was deleted.
type Row<'v> = Result<(&'v [u8], Option<&'v [u8]>), Trouble>;
type Rows<'v> = Box<dyn Iterator<Item = Row<'v>> + 'v>;
type Source<'v> = Peekable<Rows<'v>>;

fn below<'v>(row: Result<(&'v [u8], &'v [u8]), heed::Error>) -> Row<'v> {
    let (key, value) = row?;
    Ok((key, Some(value)))
}

/// Whether no key can lie in a range. Maps in memory panic at such ranges, LMDB does not.
fn is_empty(range: Range<'_>) -> bool {
    match range {
        (Bound::Included(first), Bound::Included(last)) => first > last,
        (Bound::Included(first) | Bound::Excluded(first), Bound::Included(last) | Bound::Excluded(last)) => {
            first >= last
        }
        _ => false,
    }
}

/// The rows of all sources in one order: of rows with one key, that of the newest source.
pub(super) struct Merged<'v> {
    /// The newest first.
    sources: Vec<Source<'v>>,
    /// How the key that comes first compares to the others.
    first: Ordering,
}

impl Merged<'_> {
    fn nothing() -> Self {
        Self { sources: Vec::new(), first: Ordering::Less }
    }
}

impl<'v> Iterator for Merged<'v> {
    type Item = Result<(&'v [u8], &'v [u8]), Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut first: Option<&'v [u8]> = None;
            for source in &mut self.sources {
                match source.peek() {
                    Some(Ok((key, _))) if first.is_none_or(|first| key.cmp(&first) == self.first) => first = Some(key),
                    Some(Err(_)) => return source.next()?.err().map(Err),
                    _ => {}
                }
            }
            let key = first?;
            let mut value = None;
            for source in &mut self.sources {
                if let Some(Ok((_, found))) = source.next_if(|row| matches!(row, Ok((other, _)) if *other == key)) {
                    value.get_or_insert(found);
                }
            }
            if let Some(Some(value)) = value {
                return Some(Ok((key, value)));
            }
        }
    }
}
