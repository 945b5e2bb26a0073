//! The ring: what comes back after any end, and what is told from a torn end.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::*;
use crate::store::embedded::{layer::Layer, tables::Table};

const ID: [u8; 16] = [7; 16];

struct Ring {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Ring {
    fn new(blocks: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        create(&path, blocks * BLOCK).expect("a new log");
        assert_eq!(fs::metadata(&path).expect("a file").len(), blocks * BLOCK);
        Self { _folder: folder, path }
    }

    /// Opens it, and gives the values that it held from a place on.
    fn open(&self, from: Position) -> Result<(Wal, Vec<u32>), Trouble> {
        let mut values = Vec::new();
        let wal = Wal::open(&self.path, ID, from, |record, _| {
            let layer: Arc<Layer> = Record::parse(record)?.into();
            let mut rows = layer.range(Table::Meta, (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded));
            let (_, value) = rows.next().expect("each record has a row");
            values.push(u32::from_be_bytes(value.expect("it was put")[..4].try_into().expect("4 bytes")));
            Ok(())
        })?;
        Ok((wal, values))
    }

    fn overwrite(&self, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).expect("a file");
        file.write_all_at(bytes, offset).expect("a write");
    }
}

/// A record that takes so many blocks.
fn record(value: u32, blocks: u64) -> Record {
    let mut record = Record::with_capacity(0);
    let mut bytes = value.to_be_bytes().to_vec();
    bytes.resize(usize::try_from((blocks - 1) * BLOCK).expect("small") + 100, 0xaa);
    record.put_bytes(Table::Meta, b"value", &bytes);
    record
}

fn append(wal: &mut Wal, value: u32, blocks: u64) -> Room {
    let record = record(value, blocks);
    let room = wal.room(record.len());
    if let Room::At(offset) = room {
        assert_eq!(wal.append(record, offset).expect("a write").taken, blocks * BLOCK);
    }
    room
}

fn damaged(opened: Result<(Wal, Vec<u32>), Trouble>) -> bool {
    matches!(opened, Err(Trouble::Damaged(_)))
}

#[test]
fn what_was_appended_comes_back_in_order_from_any_record_on() {
    let ring = Ring::new(16);
    let (mut wal, found) = ring.open(Position::START).expect("an empty log");
    assert!(found.is_empty());
    let mut heads = vec![wal.head()];
    for value in 1..=5 {
        append(&mut wal, value, u64::from(value % 3) + 1);
        heads.push(wal.head());
    }
    drop(wal);
    for (from, head) in heads.iter().enumerate() {
        let (wal, found) = ring.open(*head).expect("a good log");
        assert_eq!(found, (from as u32 + 1..=5).collect::<Vec<_>>());
        assert_eq!(wal.head(), heads[5]);
    }
}

#[test]
fn a_ring_wraps_and_never_overwrites_what_is_still_needed() {
    // A seeded walk with records of all lengths, against a plain list of what must still be there.
    for seed in 0..20_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let ring = Ring::new(12);
        let (mut wal, _) = ring.open(Position::START).expect("an empty log");
        let mut needed: Vec<(u32, Position)> = Vec::new();
        let mut tail = Position::START;
        let mut waited = 0;
        for value in 0..200 {
            match append(&mut wal, value, random.u64(1..=5)) {
                Room::At(_) => needed.push((value, wal.head())),
                Room::Later => {
                    waited += 1;
                    assert!(!needed.is_empty(), "an empty ring has room for half of itself");
                    let gone = random.usize(1..=needed.len());
                    tail = needed[gone - 1].1;
                    needed.drain(..gone);
                    wal.release(tail);
                }
                Room::Never => panic!("5 blocks fit into 12"),
            }
            let (_, found) = ring.open(tail).expect("a good log");
            assert_eq!(found, needed.iter().map(|(value, _)| *value).collect::<Vec<_>>(), "seed {seed}");
        }
        assert!(waited > 10 && wal.head().sequence > 100, "it went round many times");
    }
}

#[test]
fn a_record_larger_than_the_log_never_fits_and_one_as_large_does() {
    let ring = Ring::new(4);
    let (mut wal, _) = ring.open(Position::START).expect("an empty log");
    assert_eq!(append(&mut wal, 1, 5), Room::Never);
    assert_eq!(append(&mut wal, 2, 4), Room::At(0));
    assert_eq!(append(&mut wal, 3, 1), Room::Later);
    wal.release(wal.head());
    assert_eq!(append(&mut wal, 3, 4), Room::At(0));
}

#[test]
fn a_torn_last_record_is_passed_over_and_its_place_used_again() {
    for tear in [0, 39, 40, 4095, 4096, 8191] {
        let ring = Ring::new(8);
        let (mut wal, _) = ring.open(Position::START).expect("an empty log");
        append(&mut wal, 1, 1);
        let acknowledged = wal.head();
        append(&mut wal, 2, 2);
        drop(wal);
        // The first bytes of the record reached the disk, the others did not.
        let kept = tear.min(4096 + 139);
        ring.overwrite(acknowledged.offset + kept, &vec![0; usize::try_from(2 * BLOCK - kept).expect("small")]);
        let (mut wal, found) = ring.open(Position::START).expect("a torn end is no damage");
        assert_eq!((found, wal.head()), (vec![1], acknowledged), "torn after {tear} bytes");
        append(&mut wal, 3, 1);
        drop(wal);
        assert_eq!(ring.open(Position::START).expect("a good log").1, [1, 3]);
    }
}

#[test]
fn a_damaged_record_before_another_is_reported() {
    let ring = Ring::new(8);
    let (mut wal, _) = ring.open(Position::START).expect("an empty log");
    for value in 1..=3 {
        append(&mut wal, value, 1);
    }
    drop(wal);
    let good = fs::read(&ring.path).expect("a file");
    for at in [0, 5, 17, 60] {
        ring.overwrite(BLOCK + at, &[!good[usize::try_from(BLOCK + at).expect("small")]]);
        assert!(damaged(ring.open(Position::START)), "byte {at} of the second record");
        fs::write(&ring.path, &good).expect("a write");
    }
    assert_eq!(ring.open(Position::START).expect("a good log").1, [1, 2, 3]);
}

#[test]
fn a_log_that_is_missing_or_cut_short_is_reported() {
    let ring = Ring::new(8);
    let (mut wal, _) = ring.open(Position::START).expect("an empty log");
    append(&mut wal, 1, 5);
    let head = wal.head();
    fs::OpenOptions::new().write(true).open(&ring.path).expect("a file").set_len(2 * BLOCK).expect("a cut");
    assert!(damaged(ring.open(head)));
    fs::remove_file(&ring.path).expect("it is there");
    assert!(damaged(ring.open(head)));
    assert!(!Path::new(&ring.path).exists(), "and nobody makes a new one");
}

#[test]
fn records_of_another_log_are_none() {
    let ring = Ring::new(8);
    let (mut wal, _) = ring.open(Position::START).expect("an empty log");
    append(&mut wal, 1, 1);
    let mut found = 0;
    let other = Wal::open(&ring.path, [8; 16], Position::START, |_, _| {
        found += 1;
        Ok(())
    });
    assert_eq!((other.map(|wal| wal.head()).ok(), found), (Some(Position::START), 0));
}

#[test]
fn nothing_is_appended_after_a_write_that_failed() {
    let ring = Ring::new(8);
    let (mut wal, _) = ring.open(Position::START).expect("an empty log");
    wal.sink = Sink::through_cache(File::open(&ring.path).expect("a file that cannot be written"), Arc::default());
    assert!(wal.append(record(1, 1), 0).is_err());
    wal.sink = Sink::open(&ring.path, Arc::default()).expect("a file");
    assert!(wal.append(record(1, 1), 0).is_err(), "though the disk is well again");
    assert!(ring.open(Position::START).expect("a good log").1.is_empty());
}
