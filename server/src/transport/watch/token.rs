//! The resume token: where a watcher goes on, and for which filter and which log that was said. Opaque to callers, and no
//! permission: whoever shows it is asked for rights as for a watch from now on.
//!
//! ```text
//! version u8 | store [4] | restored at i64 | filter [8] | shards u8 | (shard u16 | revision u64) … | crc u32
//! ```
//!
//! In base64url without padding; numbers are big-endian. The checksum finds a token that was cut or mistyped; it is no
//! signature, for a forged token shows nothing that `from_revision` would not show.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use semel_core::id::Revision;
use sha2::{Digest, Sha256};

use crate::engine::History;

const VERSION: u8 = 1;
/// Bytes before the number of shards.
const HEAD_BYTES: usize = 21;
/// The one shard that there is today.
const SHARD: u16 = 0;

/// What all tokens of one watch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    head: [u8; HEAD_BYTES],
}

/// Why a token does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is none that a server gave, or was damaged on its way.
    Malformed,
    /// A server of another version gave it.
    Version,
    /// It is of another store.
    OtherStore,
    /// It is of this store, before it was restored from a backup: what it counts on may never have happened here.
    OtherHistory,
    /// It was given for another filter.
    OtherFilter,
}

impl Fault {
    /// What is wrong, for people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "is none that a server gave, or is damaged",
            Self::Version => "is of a version that this server does not know; start from a snapshot",
            Self::OtherStore => "is of another store; start from a snapshot",
            Self::OtherHistory => {
                "is of before this store was restored from a backup, and the log went on differently since; start from a \
                 snapshot"
            }
            Self::OtherFilter => "was given for another filter; send the filter that it was given for",
        }
    }
}

impl Scope {
    pub(crate) fn new(history: History, filter: [u8; 8]) -> Self {
        let store: [u8; 32] = Sha256::digest(history.store_id).into();
        let mut head = [0; HEAD_BYTES];
        head[0] = VERSION;
        head[1..5].copy_from_slice(&store[..4]);
        head[5..13].copy_from_slice(&history.restored_at.0.to_be_bytes());
        head[13..].copy_from_slice(&filter);
        Self { head }
    }

    /// The token of this position: everything up to it was told.
    pub(crate) fn token(&self, position: Revision) -> String {
        let mut bytes = [0; HEAD_BYTES + 15];
        bytes[..HEAD_BYTES].copy_from_slice(&self.head);
        bytes[HEAD_BYTES] = 1;
        bytes[HEAD_BYTES + 1..HEAD_BYTES + 3].copy_from_slice(&SHARD.to_be_bytes());
        bytes[HEAD_BYTES + 3..HEAD_BYTES + 11].copy_from_slice(&position.0.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..HEAD_BYTES + 11]);
        bytes[HEAD_BYTES + 11..].copy_from_slice(&checksum.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a token.
    ///
    /// # Errors
    /// Says why it does not serve here.
    pub(crate) fn position(&self, token: &str) -> Result<Revision, Fault> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Fault::Malformed)?;
        if bytes.first().is_some_and(|version| *version != VERSION) {
            return Err(Fault::Version);
        }
        let bytes: [u8; HEAD_BYTES + 15] = bytes.try_into().map_err(|_| Fault::Malformed)?;
        let (said, checksum) = bytes.split_at(HEAD_BYTES + 11);
        if crc32fast::hash(said).to_be_bytes() != *checksum || said[HEAD_BYTES..HEAD_BYTES + 3] != [1, 0, 0] {
            return Err(Fault::Malformed);
        }
        if said[1..5] != self.head[1..5] {
            return Err(Fault::OtherStore);
        }
        if said[5..13] != self.head[5..13] {
            return Err(Fault::OtherHistory);
        }
        if said[13..HEAD_BYTES] != self.head[13..] {
            return Err(Fault::OtherFilter);
        }
        Ok(Revision(u64::from_be_bytes(*said.last_chunk().expect("it ends with eight bytes"))))
    }
}

/// The history of tests.
#[cfg(test)]
pub(crate) fn history(store: u8, restored_at: i64) -> History {
    History { store_id: [store; 16], restored_at: semel_core::id::Timestamp(restored_at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_its_position_back_under_the_same_filter_and_log_only() {
        let scope = Scope::new(history(1, 0), [7; 8]);
        for position in [0, 1, u64::MAX] {
            assert_eq!(scope.position(&scope.token(Revision(position))), Ok(Revision(position)));
        }
        let token = scope.token(Revision(5));
        assert_eq!(Scope::new(history(2, 0), [7; 8]).position(&token), Err(Fault::OtherStore));
        assert_eq!(Scope::new(history(1, 9), [7; 8]).position(&token), Err(Fault::OtherHistory));
        assert_eq!(Scope::new(history(1, 0), [8; 8]).position(&token), Err(Fault::OtherFilter));
    }

    #[test]
    fn a_damaged_token_is_found_whichever_letter_changed() {
        let scope = Scope::new(history(1, 0), [7; 8]);
        let token = scope.token(Revision(123_456));
        for at in 0..token.len() {
            let mut letters = token.clone().into_bytes();
            letters[at] = if letters[at] == b'B' { b'C' } else { b'B' };
            let damaged = String::from_utf8(letters).expect("letters");
            assert!(scope.position(&damaged).is_err(), "{at}");
        }
        for bad in ["", "A", &token[1..], &format!("{token}A"), "not a token"] {
            assert!(scope.position(bad).is_err(), "{bad:?}");
        }
    }
}
