//! One record of the write-ahead log: the rows that one commit changes, as bytes. The same bytes go to the log and, cut
//! into slices, into memory.
//!
//! ```text
//! magic u32 | crc u32 (of all that follows) | length u64 | sequence u64 | log id [16] | rows …
//! a row: table u8 | length of key u32 | length of value u32, or MAX if it is deleted | key | value
//! ```
//!
//! Numbers are big-endian.

use bytes::Bytes;
use minicbor::Encode;
use semel_core::codec;

use super::{
    layer::{Place, Whole},
    tables::{COUNT, Table},
    trouble::Trouble,
};

/// "SMWL" and the version of the form.
const MAGIC: u32 = 0x534d_5701;
/// Bytes before the first row.
pub(super) const HEAD_BYTES: usize = 40;
/// Where the bytes begin that the checksum covers.
const SUMMED_FROM: usize = 8;
/// The length of a value that is not there.
const DELETED: u32 = u32::MAX;

/// What a commit gathers.
pub(super) struct Record {
    bytes: Vec<u8>,
    /// Where the rows stand, by table, in the order in which they came.
    rows: [Vec<Place>; COUNT],
}

/// Who a record is, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) sequence: u64,
    pub(super) wal_id: [u8; 16],
    checksum: u32,
}

impl Record {
    /// An empty one, with room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(bytes.max(HEAD_BYTES));
        buffer.resize(HEAD_BYTES, 0);
        Self { bytes: buffer, rows: Default::default() }
    }

    /// Bytes so far, the head included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sets a row.
    pub(super) fn put<T: Encode<()>>(&mut self, table: Table, key: &[u8], value: &T) {
        self.row(table, key, |bytes| codec::encode_into(value, bytes));
    }

    /// Sets a row to these bytes.
    pub(super) fn put_bytes(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.row(table, key, |bytes| bytes.extend_from_slice(value));
    }

    /// How many rows of a table were set or taken away so far.
    pub(super) fn rows(&self, table: Table) -> usize {
        self.rows[table as usize].len()
    }

    /// The value of the row that was put into a table as number `at`, counted from 0 among all that were set or taken away.
    pub(super) fn value(&self, table: Table, at: usize) -> &[u8] {
        let place = self.rows[table as usize][at];
        &self.bytes[place.value..place.end]
    }

    /// Takes a row away.
    pub(super) fn delete(&mut self, table: Table, key: &[u8]) {
        self.row(table, key, |_| {});
        let row = self.rows[table as usize].last_mut().expect("it was just made");
        row.deleted = true;
        self.bytes[row.key - 4..row.key].copy_from_slice(&DELETED.to_be_bytes());
    }

    fn row(&mut self, table: Table, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(table as u8);
        self.bytes.extend_from_slice(&length(key.len()).to_be_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        self.bytes[at - 4..at].copy_from_slice(&length(end - value).to_be_bytes());
        self.rows[table as usize].push(Place { key: at, value, end, deleted: false });
    }

    /// Fills the head in, and pads the bytes to whole blocks: they are what stands in the log.
    pub(super) fn seal(&mut self, sequence: u64, wal_id: [u8; 16], block: usize) -> &[u8] {
        let length = self.bytes.len() as u64;
        self.bytes[..4].copy_from_slice(&MAGIC.to_be_bytes());
        self.bytes[8..16].copy_from_slice(&length.to_be_bytes());
        self.bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[24..HEAD_BYTES].copy_from_slice(&wal_id);
        let checksum = crc32fast::hash(&self.bytes[SUMMED_FROM..]);
        self.bytes[4..SUMMED_FROM].copy_from_slice(&checksum.to_be_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(block), 0);
        &self.bytes
    }

    /// The rows, to be looked up.
    pub(super) fn into_rows(self) -> Whole {
        Whole::new(Bytes::from(self.bytes), self.rows)
    }

    /// The rows of a record that was read back and whose head was checked.
    ///
    /// # Errors
    /// [`Trouble::Damaged`] when the rows do not fill the record: it was written by another server.
    pub(super) fn parse(bytes: Bytes) -> Result<Whole, Trouble> {
        let mut rows: [Vec<Place>; COUNT] = Default::default();
        let mut at = HEAD_BYTES;
        while at < bytes.len() {
            let row = parse_row(&bytes, at);
            let (table, place) = row.ok_or_else(|| Trouble::damaged("row of the write-ahead log"))?;
            at = place.end;
            rows[table as usize].push(place);
        }
        Ok(Whole::new(bytes, rows))
    }
}

fn parse_row(bytes: &[u8], at: usize) -> Option<(Table, Place)> {
    let table = *Table::ALL.get(usize::from(*bytes.get(at)?))?;
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (key_length, value_length) = (number(at + 1)?, number(at + 5)?);
    let deleted = value_length == DELETED;
    let key = at + 9;
    let value = key + key_length as usize;
    let end = if deleted { value } else { value + value_length as usize };
    (end <= bytes.len()).then_some((table, Place { key, value, end, deleted }))
}

impl Head {
    /// The head at the beginning of these bytes, if there is one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let length = usize::try_from(number(8)).ok().filter(|length| *length >= HEAD_BYTES)?;
        let wal_id = bytes[24..].try_into().expect("16 bytes");
        (word(0) == MAGIC).then(|| Self { length, sequence: number(16), wal_id, checksum: word(4) })
    }

    /// Whether these bytes, from the head on, are the whole record as it was written.
    pub(super) fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.get(SUMMED_FROM..self.length).is_some_and(|summed| crc32fast::hash(summed) == self.checksum)
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).ok().filter(|length| *length != DELETED).expect("a row is bounded by the size of a message")
}
