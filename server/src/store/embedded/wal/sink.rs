//! How bytes of the log come to the disk: round the system's cache where it lets us.
//!
//! Context: what is written through the cache is copied into pages of it, found again by the flush, and where those pages
//! are large ones, written whole; a commit of 768 KiB cost 0.7 ms of CPU and up to 2 ms of time by that way, and 0.06 ms and
//! 0.25 ms by this one (4 KiB: 114 us and 102 us; measured with the two in turns on ext4). Choice: `O_DIRECT` from an aligned
//! buffer of our own, and the same `fdatasync` after it, which is what makes the bytes durable in both ways. Rejected:
//! `O_DSYNC` instead of the `fdatasync`, which is no faster and hides which of the two failed. Where the file system does not
//! know direct writes, the cache is used.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use super::BLOCK;
use crate::{clock::Stopwatch, store::embedded::meter::Meter};

/// At most so much is written at a time: a bound on the buffer, and far above what commits are.
const PIECE_BYTES: usize = 4 << 20;

/// See the module.
pub(super) struct Sink {
    file: File,
    /// Where bytes are put first if they go round the cache.
    aligned: Option<Aligned>,
    meter: Arc<Meter>,
}

impl Sink {
    /// Opens a file of whole blocks that is there already. Its writes are measured.
    pub(super) fn open(path: &Path, meter: Arc<Meter>) -> io::Result<Self> {
        if let Some(file) = open_direct(path) {
            let mut aligned = Aligned::default();
            // Some file systems take the flag and refuse the write; a read tells without touching anything.
            if file.read_exact_at(aligned.room(BLOCK as usize), 0).is_ok() {
                return Ok(Self { file, aligned: Some(aligned), meter });
            }
        }
        Ok(Self::through_cache(OpenOptions::new().write(true).open(path)?, meter))
    }

    pub(super) fn through_cache(file: File, meter: Arc<Meter>) -> Self {
        Self { file, aligned: None, meter }
    }

    /// Writes whole blocks to a place that begins a block. They are durable once this has returned.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let begun = Stopwatch::start();
        match &mut self.aligned {
            None => self.file.write_all_at(bytes, offset)?,
            Some(aligned) => {
                let mut offset = offset;
                for piece in bytes.chunks(PIECE_BYTES) {
                    let room = aligned.room(piece.len());
                    room.copy_from_slice(piece);
                    self.file.write_all_at(room, offset)?;
                    offset += piece.len() as u64;
                }
            }
        }
        self.file.sync_data()?;
        self.meter.logged(bytes.len(), begun.elapsed());
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flag = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    OpenOptions::new().read(true).write(true).custom_flags(flag).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> Option<File> {
    None
}

/// A buffer in which there is always a place that begins at a multiple of a block in memory too, as direct writes want it.
#[derive(Default)]
struct Aligned(Vec<u8>);

impl Aligned {
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let block = BLOCK as usize;
        if self.0.len() < bytes + block {
            self.0 = vec![0; (bytes + block).next_power_of_two()];
        }
        let skipped = self.0.as_ptr().align_offset(block);
        &mut self.0[skipped..skipped + bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_aligned_place_of_any_size() {
        let mut aligned = Aligned::default();
        for bytes in [1, 4096, 4097, 1 << 20, 3] {
            let room = aligned.room(bytes);
            assert_eq!((room.len(), room.as_ptr().align_offset(4096)), (bytes, 0));
        }
    }

    #[test]
    fn what_is_written_is_there_through_the_cache_and_round_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, vec![0; 5 * 4096]).expect("a file");
        let through = Sink::through_cache(File::options().write(true).open(&path).expect("it opens"), Arc::default());
        for (mut sink, letter) in [(Sink::open(&path, Arc::default()).expect("it opens"), 1_u8), (through, 2)] {
            sink.write(&[letter; 8192], 4096).expect("it writes");
            let bytes = std::fs::read(&path).expect("it reads");
            let expected = [[0_u8; 4096], [letter; 4096], [letter; 4096], [0; 4096], [0; 4096]].concat();
            assert!(bytes == expected, "by way {letter}");
        }
    }
}
