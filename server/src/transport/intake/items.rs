//! How many items are in a message of `SubmitRuns`, told from its bytes as they come in: an item of two bytes becomes some
//! hundred in memory, and the library makes all of them before anybody else sees the message.

use prost::encoding::WireType;

/// The field of `SubmitRunsRequest` that holds its items.
const RUNS: u64 = 2;
/// The longest number that there is, in bytes.
const VARINT_BYTES_MAX: u32 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Items {
    place: Place,
    /// The number that is being read, and how many bytes of it came.
    number: u64,
    bytes: u32,
    /// Items of the message.
    count: usize,
}

/// What comes next of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The key of a field.
    #[default]
    Key,
    /// A number that is the value of a field.
    Number,
    /// How long the value of a field is.
    Length,
    /// So many bytes of a value.
    Value(u64),
    /// Nobody knows: it is no message.
    Nowhere,
}

impl Items {
    /// Another message begins.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }

    /// Takes note of more of it.
    pub(super) fn saw(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            bytes = match self.place {
                Place::Nowhere => return,
                Place::Value(left) => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.place = value(left - taken as u64);
                    &bytes[taken..]
                }
                Place::Key | Place::Number | Place::Length => {
                    self.digit(*first);
                    rest
                }
            };
        }
    }

    /// How many items were in it so far. A message that is none is refused by whoever reads it, before its items are made.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Another byte of a number.
    fn digit(&mut self, byte: u8) {
        self.number |= u64::from(byte & 0x7f).checked_shl(self.bytes * 7).unwrap_or(0);
        self.bytes += 1;
        if byte & 0x80 != 0 {
            if self.bytes >= VARINT_BYTES_MAX {
                self.place = Place::Nowhere;
            }
            return;
        }
        let number = std::mem::take(&mut self.number);
        self.bytes = 0;
        self.place = match self.place {
            Place::Key => self.key(number),
            Place::Length => value(number),
            // The value of a field that is a number: another field follows.
            Place::Number | Place::Value(_) | Place::Nowhere => Place::Key,
        };
    }

    fn key(&mut self, key: u64) -> Place {
        match WireType::try_from(key & 7) {
            Ok(WireType::Varint) => Place::Number,
            Ok(WireType::SixtyFourBit) => Place::Value(8),
            Ok(WireType::ThirtyTwoBit) => Place::Value(4),
            Ok(WireType::LengthDelimited) => {
                self.count += usize::from(key >> 3 == RUNS);
                Place::Length
            }
            // The marks of groups, which nobody writes any more, stand around fields as they are.
            Ok(WireType::StartGroup | WireType::EndGroup) => Place::Key,
            Err(_) => Place::Nowhere,
        }
    }
}

fn value(bytes: u64) -> Place {
    if bytes == 0 { Place::Key } else { Place::Value(bytes) }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use semel_proto::v1;

    use super::*;

    fn counted(bytes: &[u8], piece: usize) -> usize {
        let mut items = Items::default();
        bytes.chunks(piece).for_each(|piece| items.saw(piece));
        items.count()
    }

    #[test]
    fn items_are_counted_however_a_message_is_cut() {
        let header = v1::RequestHeader { request_id: "an id".to_owned(), ..Default::default() };
        let run = v1::RunJobRequest { header: Some(header), job: "j".repeat(300), ..Default::default() };
        let runs = vec![v1::RunJobRequest::default(), run.clone(), run, v1::RunJobRequest::default()];
        let message = v1::SubmitRunsRequest { runs, ..Default::default() };
        // Behind it a number, two fixed ones and a group that nobody knows.
        let unknown = [0xf8, 0x01, 0x96, 0x01, 0xf9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 1, 1, 2, 3, 4, 0xfb, 1, 0xfc, 1];
        let bytes = [message.encode_to_vec(), unknown.to_vec(), vec![0x12, 0]].concat();
        assert_eq!(v1::SubmitRunsRequest::decode(&bytes[..]).expect("a message").runs.len(), 5);
        for piece in [1, 2, 3, 7, 100, bytes.len()] {
            assert_eq!(counted(&bytes, piece), 5, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_message_has_no_items_and_no_end() {
        assert_eq!(counted(&[0xff; 64], 64), 0);
        assert_eq!(counted(&[0x07, 0x12, 0], 1), 0, "there is no such type");
        assert_eq!(counted(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x12, 0], 13), 1);
    }
}
