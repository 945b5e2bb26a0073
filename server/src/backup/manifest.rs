//! What a backup says of itself.

use std::{fs, io, path::Path};

use semel_core::id::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BACKUP_FORMAT, Error, FILES, MANIFEST_FILE};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub backup_format: u32,
    /// The version of the program that made it.
    pub made_by: String,
    /// When making it was begun, in milliseconds since 1970: all that was acknowledged before is in it.
    pub begin_time_ms: i64,
    /// The format of the store.
    pub store_format: u32,
    /// The id of the store, in hexadecimal.
    pub store_id: String,
    /// The last owner of the store.
    pub epoch: u64,
    /// The position of the newest event in it.
    pub revision: u64,
    /// The latest time that a commit in it bears, in milliseconds since 1970.
    pub high_water_ms: i64,
    /// Its files.
    pub files: Vec<Entry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the backup.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// All that a program must understand of a manifest to know that it understands no more.
#[derive(Deserialize)]
struct Form {
    backup_format: u32,
}

impl Manifest {
    /// Reads the manifest of a backup, and refuses one that names other files than a backup has.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST_FILE);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Unfinished { path: folder.to_owned() },
            _ => Error::File { doing: "read", path, source },
        })?;
        let damaged = |problem: String| Error::Damaged { file: MANIFEST_FILE.to_owned(), problem };
        let unreadable = |error: serde_json::Error| damaged(format!("cannot be read ({error})"));
        let form: Form = serde_json::from_str(&text).map_err(unreadable)?;
        if form.backup_format > BACKUP_FORMAT {
            return Err(Error::Newer { found: form.backup_format, known: BACKUP_FORMAT });
        }
        let manifest: Self = serde_json::from_str(&text).map_err(unreadable)?;
        for (file, is_needed) in FILES {
            let count = manifest.files.iter().filter(|entry| entry.path == file).count();
            if count > 1 || (is_needed && count == 0) {
                return Err(damaged(format!("names {file} {count} times")));
            }
        }
        match manifest.files.iter().find(|entry| FILES.iter().all(|(file, _)| *file != entry.path)) {
            Some(other) => Err(damaged(format!("names {:?}, which no backup has", other.path))),
            None => Ok(manifest),
        }
    }

    /// Writes it, in one step.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(MANIFEST_FILE);
        let text = serde_json::to_string_pretty(self).expect("text and numbers are JSON");
        let written = crate::auth::write_owner_only(&path, format!("{text}\n").as_bytes());
        written.map_err(|source| Error::File { doing: "write", path, source })
    }

    /// When making it was begun.
    pub fn begin_time(&self) -> Timestamp {
        Timestamp(self.begin_time_ms)
    }
}
