//! The hash of run ids, for the table of the runs in memory.
//!
//! Context: runs are made one after the other and their ids say so, but a good hash sends each to a place of its own in a
//! table of many megabytes, and the engine waits for memory with every run that it takes. Choice: 16 runs in a row, which
//! is what the table looks at in one step, get places in a row; where these lie is mixed well. Rejected: the bare
//! counter, by which the runs of today would come to lie among those that have been waiting since the counter stood a
//! table's length lower. Nobody can aim at a place: the server makes the ids, and what others send is only looked up.

use std::hash::{BuildHasherDefault, Hasher};

/// See the module.
pub(super) type Hashing = BuildHasherDefault<RunIdHasher>;

/// Neighbours that stay together.
const TOGETHER_BITS: u32 = 4;
/// 2^64 by the golden ratio, odd: multiplied with it, numbers in a row spread evenly (Knuth, The Art of Computer
/// Programming, volume 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(super) struct RunIdHasher(u64);

impl Hasher for RunIdHasher {
    /// The bytes of an id. The last six of the first twelve are the counter, see [`crate::id::RunId::new`]; what follows
    /// is random.
    fn write(&mut self, bytes: &[u8]) {
        let Some(id) = bytes.first_chunk::<16>() else {
            self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(SPREAD));
            return;
        };
        let counter = u64::from_be_bytes(id[4..12].try_into().expect("8 bytes"));
        let place = counter & ((1 << TOGETHER_BITS) - 1);
        let mixed = (counter >> TOGETHER_BITS).wrapping_mul(SPREAD);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(SPREAD);
        // The table goes by the low bits, and tells neighbours apart by the highest seven.
        let tag = u64::from(id[15]) << 57;
        self.0 = ((mixed << TOGETHER_BITS) & (u64::MAX >> 7)) | tag | place;
    }

    fn write_usize(&mut self, _: usize) {
        // The length of an id, which is the same for all.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher};

    use super::*;
    use crate::id::{Revision, RunId, Timestamp};

    fn hash(revision: u64) -> u64 {
        let entropy = u32::try_from(revision.wrapping_mul(2_654_435_761) & 0xffff_ffff).expect("32 bits");
        Hashing::default().hash_one(RunId::new(Timestamp(1_700_000_000_000), Revision(revision), entropy))
    }

    #[test]
    fn sixteen_runs_in_a_row_lie_in_a_row() {
        for first in [0, 16, 1 << 20, (1 << 30) - 16, 1 << 41] {
            let places: Vec<u64> = (first..first + 16).map(|revision| hash(revision) & 0xf_ffff).collect();
            assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 1), "{places:?}");
        }
    }

    #[test]
    fn rows_of_runs_spread_over_tables_of_any_size() {
        for bits in [8, 12, 16, 20] {
            let rows = 1_u64 << (bits - TOGETHER_BITS);
            let taken: HashSet<u64> =
                (0..rows).map(|row| (hash(row << TOGETHER_BITS) & ((1 << bits) - 1)) >> 4).collect();
            // As many rows as there are places for: by chance 63 of 100 places are taken.
            assert!(taken.len() as u64 > rows / 2, "{} of {rows} places in a table of 2^{bits}", taken.len());
        }
    }

    #[test]
    fn neighbours_are_told_apart() {
        let tags: HashSet<u64> = (0..1024).map(|revision| hash(revision) >> 57).collect();
        assert!(tags.len() > 100, "{} of 128", tags.len());
    }
}
