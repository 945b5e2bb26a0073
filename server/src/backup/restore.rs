//! Making a data directory of a backup.

use std::path::Path;

use semel_core::id::Timestamp;

use super::{Error, FILES, Manifest, Progress, copy_file, sum, take_empty};
use crate::store;

/// Puts a backup into a directory that is empty or not there. It is looked through before anything is written.
///
/// The store goes on from `now` on: requests whose id was minted before and that the backup does not know are refused, for
/// they may have taken effect after it was made.
///
/// # Errors
/// See [`Error`]. No server opens a directory in which this has begun and not ended.
pub fn restore(from: &Path, to: &Path, now: Timestamp, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, Error> {
    let manifest = Manifest::read(from)?;
    if manifest.store_format != store::FORMAT {
        let (path, found) = (from.to_owned(), manifest.store_format);
        return Err(store::Error::Format { path, found, known: store::FORMAT }.into());
    }
    check(from, &manifest, progress)?;
    take_empty(to)?;
    let written = |source| Error::File { doing: "write", path: to.to_owned(), source };
    store::begin_restore(to).map_err(written)?;
    for entry in &manifest.files {
        let copied = copy_file(&from.join(&entry.path), &to.join(&entry.path))?;
        if copied != (entry.size, entry.sha256.clone()) {
            let problem = "has changed while it was read".to_owned();
            return Err(Error::Damaged { file: entry.path.clone(), problem });
        }
    }
    let store = store::adopt(to, now)?;
    if store.revision.0 != manifest.revision {
        let problem = format!("ends at revision {}, the manifest says {}", store.revision.0, manifest.revision);
        return Err(Error::Damaged { file: store::DATA_FILE.to_owned(), problem });
    }
    store::end_restore(to).map_err(written)?;
    Ok(manifest)
}

/// Whether all files are what the manifest says.
fn check(from: &Path, manifest: &Manifest, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    for (file, _) in FILES {
        let Some(entry) = manifest.files.iter().find(|entry| entry.path == file) else { continue };
        let damaged = |problem: String| Err(Error::Damaged { file: file.to_owned(), problem });
        if !from.join(file).exists() {
            return damaged("is missing".to_owned());
        }
        let (size, sha256) = sum(&from.join(file), |_| Ok(()))?;
        if size != entry.size {
            return damaged(format!("has {size} bytes instead of {}", entry.size));
        }
        if sha256 != entry.sha256 {
            return damaged("has another checksum than the manifest says".to_owned());
        }
        progress(Progress::Checked(file));
    }
    Ok(())
}
