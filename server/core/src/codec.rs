//! The form of values on disk: CBOR with numbered fields.
//!
//! Context: rows, events and stored answers outlive the server that wrote them. Choice: minicbor's derive, where each
//! field has a number that is never given to another one, an `Option` that is missing is none, and a field that is not
//! known is passed over; as in protobuf, but without a second set of types. Rejected: serde with a positional format (a
//! new field makes old rows unreadable); prost (the domain would know the wire). Consequence: a field that is added
//! later is an `Option` or says `#[cbor(default)]`, or older rows cannot be read.

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::run::Run;

/// A value that could not be read back. The store is damaged, or was written by a newer server.
#[derive(Debug, thiserror::Error)]
#[error("a stored {what} could not be read")]
pub struct Error {
    /// The type that was expected.
    pub what: &'static str,
    /// What the decoder says.
    #[source]
    pub source: minicbor::decode::Error,
}

/// The bytes of a value.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing into memory cannot fail")
}

/// Appends the bytes of a value to a buffer.
pub fn encode_into<T: Encode<()>>(value: &T, out: &mut Vec<u8>) {
    minicbor::encode(value, out).expect("writing into memory cannot fail");
}

/// Appends the bytes of a value to a buffer, given what is known of it.
pub fn encode_with<C: Known, T: Encode<C>>(value: &T, known: &mut C, out: &mut Vec<u8>) {
    minicbor::encode_with(value, out, known).expect("writing into memory cannot fail");
}

/// What whoever encodes knows already, so that it is not encoded twice: a commit writes a new run as a row and within the
/// event that it was made.
pub trait Known {
    /// The bytes of this very run, if they are there.
    fn run(&mut self, run: &Arc<Run>) -> Option<&[u8]>;
}

/// Nothing.
impl Known for () {
    fn run(&mut self, _: &Arc<Run>) -> Option<&[u8]> {
        None
    }
}

/// The value of bytes.
///
/// # Errors
/// When the bytes are not those of such a value.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, Error> {
    minicbor::decode(bytes).map_err(|source| Error { what: std::any::type_name::<T>(), source })
}

/// Opaque bytes with the name of their form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// A media type; may be empty.
    #[n(0)]
    pub content_type: String,
    /// The bytes.
    #[cbor(n(1), with = "shared_bytes")]
    pub data: Bytes,
}

/// `Bytes` as a byte string.
pub(crate) mod shared_bytes {
    use bytes::Bytes;
    use minicbor::{Decoder, Encoder, decode::Error, encode::Write};

    pub(crate) fn encode<C, W: Write>(
        bytes: &Bytes,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(bytes)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Bytes, Error> {
        d.bytes().map(Bytes::copy_from_slice)
    }
}

/// A shared value as the value itself.
pub(crate) mod shared {
    use std::sync::Arc;

    use minicbor::{Decode, Decoder, Encode, Encoder, decode::Error, encode::Write};

    pub(crate) fn encode<C, T: Encode<C>, W: Write>(
        value: &Arc<T>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        (**value).encode(e, context)
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, C>>(d: &mut Decoder<'b>, context: &mut C) -> Result<Arc<T>, Error> {
        T::decode(d, context).map(Arc::new)
    }
}

/// A shared run as the run itself, from where its bytes are known if they are.
pub(crate) mod made_run {
    use std::sync::Arc;

    use minicbor::{Decode, Decoder, Encode, Encoder, decode::Error, encode::Write};

    use super::Known;
    use crate::run::Run;

    pub(crate) fn encode<C: Known, W: Write>(
        run: &Arc<Run>,
        e: &mut Encoder<W>,
        known: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        if let Some(bytes) = known.run(run) {
            return e.writer_mut().write_all(bytes).map_err(minicbor::encode::Error::write);
        }
        run.encode(e, known)
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, known: &mut C) -> Result<Arc<Run>, Error> {
        Run::decode(d, known).map(Arc::new)
    }
}

/// A shared text as a text.
pub(crate) mod shared_str {
    use std::sync::Arc;

    use minicbor::{Decoder, Encoder, decode::Error, encode::Write};

    pub(crate) fn encode<C, W: Write>(
        text: &Arc<str>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(text)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Arc<str>, Error> {
        d.str().map(Arc::from)
    }
}

#[cfg(test)]
mod tests;
