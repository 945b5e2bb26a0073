//! What a server keeps in its data directory: the store, the keys, the first admin's secret.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{ADMIN_SECRET_FILE, Data, Error, KEYS_FILE};
use crate::{
    auth::{AppSecret, Keyring, KeyringError},
    store::{Embedded, EmbeddedOptions, Store},
};

/// The first admin's secret before it is known whether it becomes the admin's.
const ADMIN_SECRET_PENDING_FILE: &str = "admin-secret.pending";

/// Opens the store of a data directory.
///
/// # Errors
/// See [`store::Error`].
pub fn open_store(data: &Data) -> Result<Box<dyn Store>, Error> {
    match data {
        Data::Memory(memory) => Ok(Box::new(memory.reopen())),
        Data::Directory { path, map_size } => {
            make_private(path).map_err(|source| Error::File { path: path.clone(), source })?;
            let options = EmbeddedOptions { map_size: *map_size, ..EmbeddedOptions::new(path.clone()) };
            Ok(Box::new(Embedded::open(&options)?))
        }
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

pub(super) fn open_keyring(data: &Data) -> Result<Keyring, Error> {
    Ok(match data {
        Data::Directory { path, .. } => Keyring::open(&path.join(KEYS_FILE))?,
        Data::Memory(_) => Keyring::ephemeral()?,
    })
}

/// The secret that the first admin gets if this is the first start. It is on disk before the admin is made: a crash
/// between the two must not leave an admin whose secret nobody knows. What a crashed start left is taken up again.
pub(super) fn pending_admin_secret(data: &Data) -> Result<AppSecret, Error> {
    let fresh = AppSecret::new(random_bytes()?);
    let Data::Directory { path, .. } = data else { return Ok(fresh) };
    let path = path.join(ADMIN_SECRET_PENDING_FILE);
    if let Some(left) = fs::read_to_string(&path).ok().and_then(|line| AppSecret::parse(line.trim_end())) {
        return Ok(left);
    }
    let line = format!("{}\n", fresh.reveal());
    crate::auth::write_owner_only(&path, line.as_bytes()).map_err(|source| Error::File { path, source })?;
    Ok(fresh)
}

/// Gives the secret its name if it has become the first admin's, and forgets it otherwise.
pub(super) fn settle_admin_secret(data: &Data, is_admins: bool) -> Result<Option<PathBuf>, Error> {
    let Data::Directory { path: folder, .. } = data else { return Ok(None) };
    let (pending, path) = (folder.join(ADMIN_SECRET_PENDING_FILE), folder.join(ADMIN_SECRET_FILE));
    let settled = if is_admins { fs::rename(&pending, &path) } else { fs::remove_file(&pending) };
    settled.map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(is_admins.then_some(path))
}

pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Keyring(KeyringError::Random(error)))?;
    Ok(bytes)
}
