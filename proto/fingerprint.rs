//! The content of a request as a fingerprint: equal for two requests that mean the same, whatever their bytes.
//!
//! Taken over decoded fields in tag order, maps sorted, defaults left out, header and app left out (promise D5). The
//! visits are generated from the descriptors; this file owns the encoding and must never change it under the same
//! [`VERSION`]. A field that this server does not know is dropped when the request is decoded, so two requests that
//! differ only there have one fingerprint.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The version of the encoding below; stored with every fingerprint.
pub const VERSION: u8 = 1;

/// What a request says, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The version of the encoding it was made with.
    pub version: u8,
    /// A hash over all content.
    pub digest: [u8; 16],
    /// A checksum for each leaf that is not at its default, ordered: `(tag << 8 | inner tag, checksum)`. It serves to
    /// name the first field that differs.
    pub leaves: Vec<(u16, u32)>,
}

/// A message that has content to compare: every request, and the messages of a worker that change something.
pub trait Content {
    /// The full name of the message.
    const MESSAGE: &'static str;
    /// Visits the content.
    fn leaves(&self, out: &mut Leaves);
    /// The name of the field behind a leaf, for people.
    fn leaf_name(leaf: u16) -> &'static str;
    /// The fingerprint of the content.
    fn fingerprint(&self) -> Fingerprint {
        let mut leaves = Leaves::default();
        self.leaves(&mut leaves);
        leaves.finish()
    }
    /// The fingerprint of the content and the app: for requests that are about apps themselves, where the app is not the
    /// scope of the id but a part of the wish.
    fn fingerprint_with_app(&self, app: &str) -> Fingerprint {
        let mut leaves = Leaves::default();
        leaves.leaf(APP_LEAF, &app.to_owned());
        self.leaves(&mut leaves);
        leaves.finish()
    }
}

/// The app is field 2 of every request that has one.
const APP_LEAF: u16 = 2 << 8;

/// A request with a header.
pub trait Request: Content {
    /// The header, if there is one.
    fn header(&self) -> Option<&crate::v1::RequestHeader>;
    /// The app that it names; empty for that of the caller.
    fn app(&self) -> &str;
}

/// Collects the leaves of a request. All that is hashed is gathered first: a hasher that is fed piece by piece costs several times
/// what the few hundred bytes of most requests do.
#[derive(Debug)]
pub struct Leaves {
    content: Writer,
    leaves: Vec<(u16, u32)>,
}

impl Default for Leaves {
    fn default() -> Self {
        // As much as most requests have.
        Self { content: Writer(Vec::with_capacity(512)), leaves: Vec::with_capacity(8) }
    }
}

impl Leaves {
    /// Takes a value in.
    pub fn leaf(&mut self, leaf: u16, value: &dyn Canonical) {
        self.content.0.extend_from_slice(&leaf.to_be_bytes());
        let at = self.content.0.len();
        self.content.sized(value);
        self.leaves.push((leaf, crc32fast::hash(&self.content.0[at + LENGTH_BYTES..])));
    }

    /// Takes in that a message is there at all, even if it is empty.
    pub fn present(&mut self, leaf: u16) {
        self.leaf(leaf, &true);
    }

    fn finish(self) -> Fingerprint {
        let mut digest = [0; 16];
        digest.copy_from_slice(&blake3::hash(&self.content.0).as_bytes()[..16]);
        Fingerprint { version: VERSION, digest, leaves: self.leaves }
    }
}

/// The canonical bytes of a value.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Writes the field of a message: its number, its length, its bytes.
    pub fn value(&mut self, number: u32, value: &dyn Canonical) {
        self.0.extend_from_slice(&number.to_be_bytes());
        self.sized(value);
    }

    /// Writes how long a value is, and the value.
    fn sized(&mut self, value: &dyn Canonical) {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; LENGTH_BYTES]);
        value.write(self);
        let length = (self.0.len() - at - LENGTH_BYTES) as u64;
        self.0[at..at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}

/// In so many bytes a length is written.
const LENGTH_BYTES: usize = 8;

/// A value with exactly one form.
pub trait Canonical {
    /// Writes that form.
    fn write(&self, out: &mut Writer);
}

macro_rules! canonical_number {
    ($($number:ty),*) => {$(
        impl Canonical for $number {
            fn write(&self, out: &mut Writer) {
                out.0.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
canonical_number!(i32, i64, u32, u64);

impl Canonical for bool {
    fn write(&self, out: &mut Writer) {
        out.0.push(u8::from(*self));
    }
}

impl Canonical for f64 {
    fn write(&self, out: &mut Writer) {
        // Minus zero is zero, and there is one NaN.
        let value = if *self == 0.0 {
            0.0
        } else if self.is_nan() {
            f64::NAN
        } else {
            *self
        };
        out.0.extend_from_slice(&value.to_bits().to_be_bytes());
    }
}

impl Canonical for String {
    fn write(&self, out: &mut Writer) {
        out.0.extend_from_slice(self.as_bytes());
    }
}

impl Canonical for Bytes {
    fn write(&self, out: &mut Writer) {
        out.0.extend_from_slice(self);
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn write(&self, out: &mut Writer) {
        for value in self {
            out.sized(value);
        }
    }
}

impl<K: Canonical, V: Canonical> Canonical for BTreeMap<K, V> {
    fn write(&self, out: &mut Writer) {
        for (key, value) in self {
            out.sized(key);
            out.sized(value);
        }
    }
}

impl Canonical for prost_types::Timestamp {
    fn write(&self, out: &mut Writer) {
        self.seconds.write(out);
        self.nanos.write(out);
    }
}

impl Canonical for prost_types::Duration {
    fn write(&self, out: &mut Writer) {
        self.seconds.write(out);
        self.nanos.write(out);
    }
}

impl Canonical for prost_types::Any {
    fn write(&self, out: &mut Writer) {
        out.value(1, &self.type_url);
        out.0.extend_from_slice(&self.value);
    }
}

impl Canonical for crate::rpc::Status {
    fn write(&self, out: &mut Writer) {
        out.value(1, &self.code);
        out.value(2, &self.message);
        out.value(3, &self.details);
    }
}

#[allow(clippy::all, clippy::allow_attributes, reason = "generated by the build script")]
mod generated {
    use super::{Canonical, Content, Leaves, Request, Writer};
    include!(concat!(env!("OUT_DIR"), "/fingerprints.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    /// What stores remember was made by this encoding, by whichever version of the program.
    #[test]
    fn the_encoding_is_the_one_that_stores_remember() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let data = (0..3000_u32).map(|byte| (byte % 251) as u8).collect::<Vec<u8>>().into();
        let payload = Some(v1::Payload { data, content_type: "text/plain".to_owned() });
        let start_time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 });
        let large = v1::RunJobRequest {
            job: "settle".to_owned(),
            payload,
            labels,
            priority: Some(-3),
            start_time,
            ..Default::default()
        };
        let small = v1::RunJobRequest { job: "settle".to_owned(), ..Default::default() };
        let all = [large.fingerprint(), small.fingerprint(), small.fingerprint_with_app("pay")];
        let settle = (768, 781_410_506);
        let of_large = [
            settle,
            (1024, 2_768_625_435),
            (1025, 1_177_987_461),
            (1026, 1_152_832_851),
            (1280, 2_928_237_657),
            (1536, 301_047_507),
            (1792, 1_598_530_985),
        ];
        let expected: [(u128, &[(u16, u32)]); 3] = [
            (0x7fda_13bf_0745_7a41_5a2a_8f51_7526_cc68, &of_large),
            (0xbd16_bd2c_d31e_7b92_db39_1827_aeaa_e2e4, &[settle]),
            (0xc4cb_ddba_4ca5_2981_5fb9_e08d_8556_799c, &[(512, 4_270_793_276), settle]),
        ];
        for (found, (digest, leaves)) in all.iter().zip(expected) {
            assert_eq!((found.version, u128::from_be_bytes(found.digest), &*found.leaves), (VERSION, digest, leaves));
        }
    }
}
