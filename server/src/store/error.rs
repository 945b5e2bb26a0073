//! What can go wrong with a store. None of it is a caller's fault.

use std::path::PathBuf;

use semel_core::codec;

use super::Epoch;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine below failed: the disk, its space, its memory map.
    #[error("the store failed to {doing}")]
    Engine {
        /// What it was at.
        doing: &'static str,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row is not what it should be.
    #[error("the store is damaged: restore a backup into an empty directory with `semel restore`")]
    Damaged(#[from] codec::Error),
    /// The store has another format.
    #[error(
        "the store at {path} has format {found}, this server knows {known}: use a server that knows it, or another data directory"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A page of the tables is not what it should be.
    #[error(
        "the store is damaged, a page of its tables is not what it should be: restore a backup into an empty directory with `semel restore`"
    )]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no space left.
    #[error("the disk is full, on which {path} lies: make space, then start again")]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no store in {path}: name the data directory of a server")]
    Absent {
        /// Where.
        path: PathBuf,
    },
    /// A file of it is of another kind.
    #[error(
        "{path} is no file of a store: name another directory, or restore a backup into an empty one with `semel restore`"
    )]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A file of it was cut off.
    #[error(
        "{path} is damaged: a part of it is missing; restore a backup into an empty directory with `semel restore`"
    )]
    Cut {
        /// Which.
        path: PathBuf,
    },
    /// A backup was being restored here, and that did not end.
    #[error("a backup was not wholly restored into {path}: empty the directory, and run `semel restore` again")]
    HalfRestored {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("the data directory {path} is in use by another process: stop that one first")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else owns the shard.
    #[error("this server lost the shard: it holds epoch {held:?}, the store is at {current:?}")]
    Fenced {
        /// Ours.
        held: Epoch,
        /// That of the owner.
        current: Epoch,
    },
    /// A fault that a test asked for.
    #[error("a fault was injected: {0}")]
    Injected(&'static str),
}

impl Error {
    /// The same error for another caller: what failed once for all is told to everybody who comes.
    pub(super) fn again(&self) -> Self {
        let (doing, source) = match self {
            Self::Engine { doing, source } => (*doing, source.to_string()),
            Self::Full { path } => return Self::Full { path: path.clone() },
            other => ("go on", other.to_string()),
        };
        Self::Engine { doing, source: source.into() }
    }
}
