//! The request id of each line or document, from that of the whole command: always the same for the same two, so that
//! sending the command again sends the same calls again.

use semel_client::RequestId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What is hashed before the id of the whole, so that these bits are no other hash of it: the lines of `run submit --file`.
pub(crate) const LINES: &[u8] = b"semel run submit --file";
/// The same for the documents of `apply`.
pub(crate) const DOCUMENTS: &[u8] = b"semel apply";
/// A line's number takes this many bits.
pub(crate) const NUMBER_BITS: u32 = 32;
const HASH_BITS: u32 = 42;

/// The id of a part. It has the time of the file's id, so that all of them are in the window or none, and whatever is
/// relative in a line means the same each time; then the part's number, so that ids are in the order of lines; and then a
/// hash of the file's id. A UUIDv7 has 48 bits of time and 74 that are free.
pub(crate) fn of_part(context: &[u8], file: RequestId, number: u32) -> RequestId {
    let whole = file.as_uuid().as_u128();
    let digest = Sha256::new().chain_update(context).chain_update(whole.to_be_bytes()).finalize();
    let hash = digest.iter().take(8).fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let free = (u128::from(number) << HASH_BITS) | (hash & ((1 << HASH_BITS) - 1));
    // 12 bits of the free ones stand behind the version, 62 behind the variant.
    let (high, low) = (free >> 62, free & ((1 << 62) - 1));
    let bits = (whole >> 80 << 80) | (7 << 76) | (high << 64) | (0b10 << 62) | low;
    RequestId::from_uuid(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(text: &str) -> RequestId {
        text.parse().expect("an id")
    }

    #[test]
    fn each_line_has_an_id_of_its_own_in_the_order_of_lines_and_of_the_time_of_the_file() {
        let file = id("01980000-0000-7abc-8def-0123456789ab");
        let numbers = [0, 1, 2, 3, 1000, 1 << 20, (1 << 20) + 1, u32::MAX - 1, u32::MAX];
        let ids: Vec<RequestId> = numbers.iter().map(|number| of_part(LINES, file, *number)).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == numbers.len(), "{ids:?}");
        for id in ids {
            assert_eq!((id.as_uuid().get_version_num(), id.as_uuid().get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(id.time(), file.time());
            assert_ne!(id, file);
        }
    }

    /// Ids of files that were sent must give the same ids of lines with every later version.
    #[test]
    fn the_ids_are_these() {
        let file = id("01980000-0000-7abc-8def-0123456789ab");
        let ids: Vec<String> =
            [1, 2, u32::MAX].iter().map(|number| of_part(LINES, file, *number).to_string()).collect();
        assert_eq!(
            ids,
            [
                "01980000-0000-7000-8000-066eaee3356c",
                "01980000-0000-7000-8000-0a6eaee3356c",
                "01980000-0000-7fff-bfff-fe6eaee3356c",
            ]
        );
    }

    #[test]
    fn files_of_the_same_moment_share_no_id() {
        let files = (0_u32..1000).map(|n| id(&format!("01980000-0000-7000-8000-{n:012x}")));
        let ids: BTreeSet<RequestId> = files.map(|file| of_part(LINES, file, 1)).collect();
        assert_eq!(ids.len(), 1000);
    }
}
