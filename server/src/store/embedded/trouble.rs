//! What can go wrong inside, before it is known what the store was at.

use semel_core::codec;

use crate::store::Error;

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
            Self::Engine(source) => Error::Engine { doing, source: Box::new(source) },
            Self::Damaged(source) => Error::Damaged(source),
            Self::Rule(broken) => Error::Engine { doing, source: broken.into() },
            Self::Known(error) => error,
        }
    }
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
