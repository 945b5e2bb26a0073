//! Whether LMDB's file is as long as it must be. LMDB reads it through a memory map, and whoever looks behind the end of
//! the file is killed by the system (SIGBUS) without a word; so it is asked before.
//!
//! A file may be shorter than its last page, if that page is free. So it is only where a file is shorter that all pages
//! which are in use are looked for, from the roots of the trees on, with plain reads.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

const MAGIC: u32 = 0xBEEF_C0DE;
const HEAD_BYTES: usize = 16;
const META_BYTES: usize = HEAD_BYTES + 136;
/// In a meta page: where the two trees and the last page stand.
const FREE_TREE: usize = HEAD_BYTES + 24;
const MAIN_TREE: usize = FREE_TREE + TREE_BYTES;
const LAST_PAGE: usize = MAIN_TREE + TREE_BYTES;
const TXN: usize = LAST_PAGE + 8;
/// A tree's record, and where its root stands in it.
const TREE_BYTES: usize = 48;
const ROOT: usize = 40;
const NO_ROOT: u64 = u64::MAX;
/// Flags of pages and of what stands in leaves.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const BIG: u16 = 1;
const SUBTREE: u16 = 2;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no file of LMDB.
    Foreign,
    /// A page that is in use lies behind its end, or is none.
    Cut,
}

/// Looks at the file. One that is empty is fine: LMDB makes it new.
///
/// # Errors
/// When it cannot be read.
pub(super) fn check(path: &Path) -> io::Result<Result<(), Fault>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Ok(()));
    }
    let Some(first) = meta_at(&file, 0)? else { return Ok(Err(Fault::Foreign)) };
    let page_bytes = u64::from(word(&first, FREE_TREE));
    if !page_bytes.is_power_of_two() || !(512..=65_536).contains(&page_bytes) {
        return Ok(Err(Fault::Foreign));
    }
    let Some(second) = meta_at(&file, page_bytes)? else { return Ok(Err(Fault::Cut)) };
    let newest = if number(&second, TXN) > number(&first, TXN) { second } else { first };
    if length / page_bytes > number(&newest, LAST_PAGE) {
        return Ok(Ok(()));
    }
    let walk = Walk { file, page_bytes, pages: length / page_bytes };
    for tree in [FREE_TREE, MAIN_TREE] {
        if !walk.tree(&newest[tree..tree + TREE_BYTES])? {
            return Ok(Err(Fault::Cut));
        }
    }
    Ok(Ok(()))
}

fn meta_at(file: &File, offset: u64) -> io::Result<Option<[u8; META_BYTES]>> {
    let mut meta = [0; META_BYTES];
    match file.read_exact_at(&mut meta, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map(|()| (word(&meta, HEAD_BYTES) == MAGIC).then_some(meta)),
    }
}

struct Walk {
    file: File,
    page_bytes: u64,
    pages: u64,
}

impl Walk {
    /// Whether all pages of a tree are there.
    fn tree(&self, tree: &[u8]) -> io::Result<bool> {
        let mut left = vec![number(tree, ROOT)];
        while let Some(page_number) = left.pop() {
            if page_number == NO_ROOT {
                continue;
            }
            let Some(page) = self.page(page_number)? else { return Ok(false) };
            let flags = half(&page, 10);
            if flags & (BRANCH | LEAF) == 0 {
                return Ok(false);
            }
            let count = usize::from(half(&page, 12)).saturating_sub(HEAD_BYTES) / 2;
            for index in 0..count {
                let at = usize::from(half(&page, HEAD_BYTES + 2 * index));
                let Some(node) = page.get(at..).filter(|node| node.len() >= 8) else { return Ok(false) };
                if flags & BRANCH != 0 {
                    left.push(u64::from(word(node, 0)) | u64::from(half(node, 4)) << 32);
                } else if !self.leaf(node)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether what a row of a leaf points to is there.
    fn leaf(&self, node: &[u8]) -> io::Result<bool> {
        let (flags, value) = (half(node, 4), 8 + usize::from(half(node, 6)));
        if flags & SUBTREE != 0 {
            return match node.get(value..value + TREE_BYTES) {
                Some(tree) => self.tree(tree),
                None => Ok(false),
            };
        }
        if flags & BIG == 0 {
            return Ok(true);
        }
        let Some(first) = node.get(value..value + 8).map(|bytes| number(bytes, 0)) else { return Ok(false) };
        let Some(page) = self.page(first)? else { return Ok(false) };
        let is_whole = first.checked_add(u64::from(word(&page, 12))).is_some_and(|end| end <= self.pages);
        Ok(half(&page, 10) & OVERFLOW != 0 && is_whole)
    }

    /// A page, if it is there and says that it is this one.
    fn page(&self, page_number: u64) -> io::Result<Option<Vec<u8>>> {
        if page_number >= self.pages {
            return Ok(None);
        }
        let mut page = vec![0; usize::try_from(self.page_bytes).unwrap_or(0)];
        self.file.read_exact_at(&mut page, page_number * self.page_bytes)?;
        Ok((number(&page, 0) == page_number).then_some(page))
    }
}

// LMDB writes numbers as the machine has them.

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, ops::Bound};

    use super::{
        super::{
            open::{create_tables, open_env},
            tables::Table,
        },
        *,
    };

    const PAGE: u64 = 4096;

    /// Writes rows, every tenth of them a large one, and takes those from a number on away again.
    fn write(folder: &Path, rows: u32, kept: u32) {
        let env = open_env(folder, 64 << 20).expect("it opens");
        let table = create_tables(&env, folder, true).expect("tables")[Table::Runs as usize];
        let mut txn = env.write_txn().expect("a transaction");
        for row in 0..rows {
            let value = vec![7; if row % 10 == 0 { 9000 } else { 90 }];
            table.put(&mut txn, &row.to_be_bytes(), &value).expect("a write");
        }
        txn.commit().expect("a commit");
        let mut txn = env.write_txn().expect("a transaction");
        let from = kept.to_be_bytes();
        table.delete_range(&mut txn, &(Bound::Included(from.as_slice()), Bound::Unbounded)).expect("a write");
        txn.commit().expect("a commit");
        // A large row at the end, and what is written after it moves to pages that were free before.
        for value in [Some(vec![7; 1 << 20]), None] {
            let mut txn = env.write_txn().expect("a transaction");
            match value {
                Some(value) => table.put(&mut txn, &[255; 4], &value).expect("a write"),
                None => drop(table.delete(&mut txn, &[255; 4]).expect("a write")),
            }
            txn.commit().expect("a commit");
        }
        for _ in 0..6 {
            let mut txn = env.write_txn().expect("a transaction");
            table.put(&mut txn, &(kept - 1).to_be_bytes(), &[7; 90]).expect("a write");
            txn.commit().expect("a commit");
        }
        env.prepare_for_closing().wait();
    }

    /// Looks at every byte of every value.
    fn read_all(folder: &Path) -> usize {
        let env = open_env(folder, 64 << 20).expect("it opens");
        let table = create_tables(&env, folder, false).expect("tables")[Table::Runs as usize];
        let txn = env.read_txn().expect("a transaction");
        let rows = table.iter(&txn).expect("rows").map(|row| row.expect("a row").1);
        let count = rows.filter(|value| value.iter().all(|byte| *byte == 7)).count();
        drop(txn);
        env.prepare_for_closing().wait();
        count
    }

    #[test]
    fn a_file_that_was_cut_is_found_out_and_one_that_is_only_short_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.mdb");
        write(folder.path(), 3000, 1000);
        let whole = path.metadata().expect("a file").len() / PAGE;
        let (mut short, mut cut) = (0, 0);
        for pages in (0..whole).rev().step_by(5) {
            let file = OpenOptions::new().write(true).open(&path).expect("a file");
            file.set_len(pages * PAGE).expect("it is cut");
            match check(&path).expect("a read") {
                // The end is free pages. LMDB reads all that is left.
                Ok(()) if pages > 0 => {
                    assert_eq!(read_all(folder.path()), 1000, "with {pages} of {whole} pages");
                    assert_eq!(cut, 0, "less cannot be enough again");
                    short += 1;
                }
                Ok(()) => {}
                Err(fault) => {
                    assert_eq!(fault, Fault::Cut);
                    cut += 1;
                }
            }
        }
        assert!(short > 5 && cut > 5, "{short} were only short, {cut} were cut");
    }

    #[test]
    fn a_file_of_another_kind_is_found_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.mdb");
        for text in ["short", &"not a database\n".repeat(9000)] {
            std::fs::write(&path, text).expect("a file");
            assert_eq!(check(&path).expect("a read"), Err(Fault::Foreign));
        }
    }
}
