//! Backups of a data directory: the store, the key ring and, if it is still there, the first admin's secret, with a
//! manifest that is written last. A directory without one is no backup, however much of it is there.
//!
//! ```text
//! BACKUP/manifest.json      what is in here, with sizes and checksums
//! BACKUP/keys.json          the key ring (0600)
//! BACKUP/admin-secret       (0600)
//! BACKUP/shard-0/data.mdb   the tables, with all that was in the write-ahead log
//! ```

mod make;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

pub use self::{
    make::make,
    manifest::{Entry, Manifest},
    restore::restore,
};
use crate::{
    server::{ADMIN_SECRET_FILE, KEYS_FILE},
    store::{self, DATA_FILE},
};

/// The form of a backup that is written, and the newest that is read.
const BACKUP_FORMAT: u32 = 1;
const MANIFEST_FILE: &str = "manifest.json";
/// All files that may be in a backup, and whether each must be.
const FILES: [(&str, bool); 3] = [(DATA_FILE, true), (KEYS_FILE, true), (ADMIN_SECRET_FILE, false)];

/// Why a backup was not made or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target holds something.
    #[error("{path} is not empty: name a directory that is, or that is not there yet")]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// There is no manifest.
    #[error("{path} is no whole backup: it has no manifest, which is written last; take another one")]
    Unfinished {
        /// Which.
        path: PathBuf,
    },
    /// It was made by a newer server.
    #[error(
        "the backup has format {found}, this server knows up to {known}: restore it with the newer server that made it"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file is not what the manifest says.
    #[error("the backup is damaged: {file} {problem}; take another one")]
    Damaged {
        /// Which.
        file: String,
        /// In what.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}; check its rights and the free space")]
    File {
        /// Read or write.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of the tables are copied.
    Copied(u64),
    /// A file was read and its checksum is right, or is known now.
    Checked(&'static str),
}

/// Makes a directory that only its owner may look into, or takes one that is empty.
fn take_empty(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::File { doing: "make", path: path.to_owned(), source };
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::NotEmpty { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Copies a file, for its owner's eyes only, durably, and gives its size and checksum.
fn copy_file(from: &Path, to: &Path) -> Result<(u64, String), Error> {
    let written = |source| Error::File { doing: "write", path: to.to_owned(), source };
    if let Some(folder) = to.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(written)?;
    }
    let mut target = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(written)?;
    let summed = sum(from, |bytes| io::Write::write_all(&mut target, bytes).map_err(written))?;
    target.sync_all().map_err(written)?;
    Ok(summed)
}

/// The size of a file and its SHA-256, in hexadecimal. `each` is handed all of it, piece by piece.
fn sum(path: &Path, mut each: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(u64, String), Error> {
    let read = |source| Error::File { doing: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let count = io::Read::read(&mut file, &mut piece).map_err(read)?;
        if count == 0 {
            let digest = hash.finalize();
            return Ok((size, digest.iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        hash.update(&piece[..count]);
        size += count as u64;
        each(&piece[..count])?;
    }
}
