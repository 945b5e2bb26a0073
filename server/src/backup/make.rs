//! Making a backup, of a data directory that may be in use.

use std::path::Path;

use semel_core::id::Timestamp;

use super::{
    BACKUP_FORMAT, Error, FILES, Progress, copy_file,
    manifest::{Entry, Manifest},
    sum, take_empty,
};
use crate::store::{self, DATA_FILE};

/// Copies a data directory into one that is empty or not there. All that was acknowledged before this was called is in
/// it. A server on the directory is not disturbed; while the tables are copied, its store grows by what it writes.
///
/// # Errors
/// See [`Error`]. What is there of the backup then has no manifest.
pub fn make(from: &Path, to: &Path, now: Timestamp, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, Error> {
    take_empty(to)?;
    let store = store::copy(from, to, &mut |bytes| progress(Progress::Copied(bytes)))?;
    let mut files = Vec::new();
    for (file, is_needed) in FILES {
        // The key ring only grows: taken after the store, it holds all keys that the store needs.
        let (size, sha256) = match () {
            () if file == DATA_FILE => sum(&to.join(file), |_| Ok(()))?,
            () if is_needed || from.join(file).exists() => copy_file(&from.join(file), &to.join(file))?,
            () => continue,
        };
        progress(Progress::Checked(file));
        files.push(Entry { path: file.to_owned(), size, sha256 });
    }
    let manifest = Manifest {
        backup_format: BACKUP_FORMAT,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        begin_time_ms: now.0,
        store_format: store.format,
        store_id: store.store_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        epoch: store.epoch.0,
        revision: store.revision.0,
        high_water_ms: store.high_water.0,
        files,
    };
    manifest.write(to)?;
    Ok(manifest)
}
