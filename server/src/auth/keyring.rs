//! The server's own keys: they sign tokens, and app secrets are derived from them. A file with owner-only rights in the
//! data directory; the newest key is used, older ones are kept so that what was made with them stays good.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use semel_core::id::RequestId;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::secret::AppSecret;

/// Older keys are dropped beyond this many.
const KEYS_MAX: usize = 16;

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot {doing} the key file {path}: check its rights and its folder")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("the key file {path} is damaged: {why}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// Others may read it.
    #[error("the key file {path} may be read by others (mode {mode:o}): run chmod 600 on it, and rotate the key")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// The system gave no random bits.
    #[error("the system gives no random bits")]
    Random(#[source] getrandom::Error),
}

/// All keys, the newest last.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    bits: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    id: String,
    bits: String,
}

impl Keyring {
    /// Reads the file, or makes it with one new key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.exists() {
            return Self::read(path);
        }
        let keyring = Self::ephemeral()?;
        keyring.write(path)?;
        Ok(keyring)
    }

    /// One new key that is written nowhere: for servers without a data directory.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn ephemeral() -> Result<Self, Error> {
        Ok(Self { keys: vec![Key::random()?] })
    }

    /// Adds a new key, which is used from the next start on; what older keys made stays good.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn rotate(path: &Path) -> Result<Self, Error> {
        let mut keyring = Self::open(path)?;
        keyring.keys.push(Key::random()?);
        let surplus = keyring.keys.len().saturating_sub(KEYS_MAX);
        keyring.keys.drain(..surplus);
        keyring.write(path)?;
        Ok(keyring)
    }

    /// The id of the key that is used for what is new.
    pub fn current_id(&self) -> &str {
        &self.current().id
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: there is always a key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The secret that the call with this request id makes. The same call always gets the same secret, so a replay can
    /// show it again although it is stored nowhere (promise D12). `None` if the key is gone.
    pub fn derive_secret(&self, key_id: &str, request_id: RequestId) -> Option<AppSecret> {
        let mut mac = self.mac(key_id)?;
        mac.update(b"semel app secret v1");
        mac.update(&request_id.0);
        Some(AppSecret::new(mac.finalize().into_bytes().into()))
    }

    /// A MAC for tokens under one of the keys. `None` if there is no such key.
    pub(super) fn token_mac(&self, key_id: &str) -> Option<Hmac<Sha256>> {
        self.mac(key_id)
    }

    fn mac(&self, key_id: &str) -> Option<Hmac<Sha256>> {
        let key = self.keys.iter().find(|key| key.id == key_id)?;
        Some(Hmac::new_from_slice(&key.bits).expect("any length of key will do"))
    }

    fn current(&self) -> &Key {
        self.keys.last().expect("a key ring has a key")
    }

    fn read(path: &Path) -> Result<Self, Error> {
        check_rights(path)?;
        let text = fs::read_to_string(path).map_err(|source| io("read", path, source))?;
        let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
        let stored: Vec<StoredKey> = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let mut keys = Vec::new();
        for key in stored {
            let bits = URL_SAFE_NO_PAD.decode(&key.bits).ok().and_then(|bits| bits.try_into().ok());
            let bits = bits.ok_or_else(|| damaged(format!("the key {} does not have 32 bytes", key.id)))?;
            keys.push(Key { id: key.id, bits });
        }
        if keys.is_empty() {
            return Err(damaged("it holds no key".to_owned()));
        }
        Ok(Self { keys })
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let stored =
            self.keys.iter().map(|key| StoredKey { id: key.id.clone(), bits: URL_SAFE_NO_PAD.encode(key.bits) });
        let text = serde_json::to_string_pretty(&stored.collect::<Vec<_>>()).expect("strings can be written");
        write_owner_only(path, text.as_bytes()).map_err(|source| io("write", path, source))
    }
}

impl Key {
    fn random() -> Result<Self, Error> {
        let mut bits = [0; 32];
        let mut id = [0; 6];
        let fill = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(Error::Random);
        fill(&mut bits)?;
        fill(&mut id)?;
        Ok(Self { id: URL_SAFE_NO_PAD.encode(id), bits })
    }
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { doing, path: path.to_owned(), source }
}

#[cfg(unix)]
fn check_rights(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_err(|source| io("look at", path, source))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_rights(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// Writes a file that only its owner may read: first beside it, made durable, then put in its place, so that a crash
/// leaves the old one or the new one.
///
/// # Errors
/// What the system says.
pub(crate) fn write_owner_only(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_ring_still_derives_what_the_old_key_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let first = Keyring::open(&path).expect("a new ring");
        let secret = first.derive_secret(first.current_id(), RequestId([1; 16])).expect("the key is there");
        let rotated = Keyring::rotate(&path).expect("rotates");
        assert_ne!(rotated.current_id(), first.current_id());
        let again = Keyring::open(&path).expect("reads").derive_secret(first.current_id(), RequestId([1; 16]));
        assert_eq!(again, Some(secret.clone()));
        assert_ne!(rotated.derive_secret(rotated.current_id(), RequestId([1; 16])), Some(secret));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone_and_an_exposed_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        Keyring::open(&path).expect("a new ring");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("may");
        assert!(matches!(Keyring::open(&path), Err(Error::Exposed { mode: 0o644, .. })));
    }
}
