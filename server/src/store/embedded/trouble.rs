//! What can go wrong inside, before it is known what the store was at.

use std::{io, path::Path};

use semel_core::codec;

use crate::store::Error;

/// With less room than this a disk counts as full.
const FULL_BYTES: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) enum Trouble {
    /// LMDB or the file system.
    Engine(heed::Error),
    /// A row is not what it should be.
    Damaged(codec::Error),
    /// A batch asks for what no batch may.
    Rule(String),
    /// Already known in full.
    Known(Error),
}

impl Trouble {
    /// That something in the store cannot be read.
    pub(super) fn damaged(what: &'static str) -> Self {
        let source = minicbor::decode::Error::message("the row is missing, or has a wrong length or form");
        Self::Damaged(codec::Error { what, source })
    }

    /// The error that the caller gets.
    pub(super) fn at(self, doing: &'static str) -> Error {
        match self {
            Self::Engine(source @ heed::Error::Mdb(heed::MdbError::MapFull)) => {
                let doing = "write, because its map is full: raise map_size and start again";
                Error::Engine { doing, source: Box::new(source) }
            }
            Self::Engine(heed::Error::Mdb(source)) if says_damage(source) => Error::Corrupt(source.into()),
            Self::Engine(source) => Error::Engine { doing, source: Box::new(source) },
            Self::Damaged(source) => Error::Damaged(source),
            Self::Rule(broken) => Error::Engine { doing, source: broken.into() },
            Self::Known(error) => error,
        }
    }
}

/// Whether LMDB says that it met a page which it cannot have written.
fn says_damage(error: heed::MdbError) -> bool {
    use heed::MdbError as E;
    matches!(error, E::Corrupted | E::PageNotFound | E::Invalid | E::CursorFull | E::Incompatible | E::BadValSize)
}

/// That LMDB could not write. It calls a write that the disk had no room for an input/output error, as it does others: so
/// it is asked how much room there is.
pub(super) fn of_write(trouble: Trouble, path: &Path) -> Trouble {
    let Trouble::Engine(heed::Error::Io(error)) = &trouble else { return trouble };
    let is_full = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => true,
        _ => rustix::fs::statvfs(path).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < FULL_BYTES),
    };
    if is_full { Trouble::Known(Error::Full { path: path.to_owned() }) } else { trouble }
}

impl From<heed::Error> for Trouble {
    fn from(error: heed::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Engine(heed::Error::Io(error))
    }
}

impl From<codec::Error> for Trouble {
    fn from(error: codec::Error) -> Self {
        Self::Damaged(error)
    }
}
