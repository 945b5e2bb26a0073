//! Where one message of gRPC ends and the next begins, by their prefixes: a byte and four of length. Looks at nothing else, but
//! for the number of items where somebody wants to know it.

use super::items::Items;

const PREFIX_BYTES: usize = 5;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Messages {
    prefix: [u8; PREFIX_BYTES],
    /// So many bytes of the prefix are there.
    prefixed: usize,
    /// Of the message behind it so many are still to come.
    missing: usize,
    /// What came of the message that is not whole yet, with its prefix.
    unfinished: usize,
    /// The largest message that was begun.
    largest: usize,
    /// The items of the message, if they are counted.
    items: Option<Box<Items>>,
    /// Items that came since it was last asked.
    new_items: usize,
}

impl Messages {
    /// Of a method whose messages have items.
    pub(super) fn with_items() -> Self {
        Self { items: Some(Box::default()), ..Self::default() }
    }

    /// Takes note of what came.
    pub(super) fn saw(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.prefixed < PREFIX_BYTES {
                let (head, rest) = bytes.split_at(bytes.len().min(PREFIX_BYTES - self.prefixed));
                self.prefix[self.prefixed..self.prefixed + head.len()].copy_from_slice(head);
                self.prefixed += head.len();
                self.unfinished += head.len();
                bytes = rest;
                if self.prefixed == PREFIX_BYTES {
                    let [_, length @ ..] = self.prefix;
                    self.missing = u32::from_be_bytes(length) as usize;
                    self.largest = self.largest.max(self.missing);
                }
            } else {
                let taken = bytes.len().min(self.missing);
                self.missing -= taken;
                self.unfinished += taken;
                let (content, rest) = bytes.split_at(taken);
                if let Some(items) = &mut self.items {
                    let before = items.count();
                    items.saw(content);
                    self.new_items += items.count() - before;
                }
                bytes = rest;
            }
            if self.prefixed == PREFIX_BYTES && self.missing == 0 {
                (self.prefixed, self.unfinished) = (0, 0);
                self.items.iter_mut().for_each(|items| items.begin());
            }
        }
    }

    /// What came of a message that is not whole yet.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Items of the message that is not whole yet.
    pub(super) fn items(&self) -> usize {
        self.items.as_ref().map_or(0, |items| items.count())
    }

    /// Items of all messages that came since this was last asked.
    pub(super) fn take_new_items(&mut self) -> usize {
        std::mem::take(&mut self.new_items)
    }

    /// The length of the largest message that was begun, without its prefix.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let bytes = [&[0, 0, 0, 0, 3, 7, 7, 7][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 1, 0], &[9; 256], &[0, 0]].concat();
        for size in [1, 2, 3, 7, 64, bytes.len()] {
            let mut messages = Messages::default();
            bytes.chunks(size).for_each(|piece| messages.saw(piece));
            assert_eq!((messages.unfinished(), messages.largest()), (2, 256), "in pieces of {size}");
        }
        let bytes = [&[0, 0, 0, 0, 4, 0x12, 0, 0x12, 0][..], &[0, 0, 0, 0, 9, 0x12, 0]].concat();
        for size in [1, 2, 3, bytes.len()] {
            let mut messages = Messages::with_items();
            bytes.chunks(size).for_each(|piece| messages.saw(piece));
            assert_eq!((messages.items(), messages.take_new_items(), messages.take_new_items()), (1, 3, 0));
        }
        let mut huge = Messages::default();
        huge.saw(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2]);
        assert_eq!((huge.unfinished(), huge.largest()), (7, u32::MAX as usize));
    }
}
