//! What goes to a watcher, and how it becomes bytes. Events were encoded when they were published: here they are only
//! copied behind each other.

use bytes::BufMut as _;
use prost::{Message as _, encoding::encode_varint};
use semel_proto::v1;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::cursor::Batch;

/// What a watcher's buffer begins with: most messages hold an event or two, and the watchers are many.
const BUFFER_BYTES: usize = 512;
/// Messages that are ready are put into one frame up to here.
const FRAME_BYTES: usize = 32 << 10;

/// Keys of the fields that are written by hand.
const RESUME_TOKEN_KEY: u8 = 0x12;
const EVENTS_KEY: u8 = 0x32;
const MORE: [u8; 2] = [0x10, 1];

/// One message.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Of any kind.
    Message(Box<v1::WatchResponse>),
    /// Events, with the token for what comes behind them.
    Events(Batch, Option<String>),
}

impl Frame {
    fn write(&self, out: &mut EncodeBuf<'_>) {
        match self {
            Self::Message(message) => message.encode_raw(out),
            Self::Events(batch, token) => {
                if let Some(token) = token {
                    out.put_u8(RESUME_TOKEN_KEY);
                    encode_varint(token.len() as u64, out);
                    out.put_slice(token.as_bytes());
                }
                let events: usize = batch.events.iter().map(bytes::Bytes::len).sum();
                let more: &[u8] = if batch.more { &MORE } else { &[] };
                out.put_u8(EVENTS_KEY);
                encode_varint((events + more.len()) as u64, out);
                out.reserve(events + more.len());
                batch.events.iter().for_each(|event| out.put_slice(event));
                out.put_slice(more);
            }
        }
    }
}

/// From [`v1::WatchRequest`] to frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WatchCodec;

impl Codec for WatchCodec {
    type Encode = Frame;
    type Decode = v1::WatchRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for WatchCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.write(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, FRAME_BYTES)
    }
}

impl Decoder for WatchCodec {
    type Item = v1::WatchRequest;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<v1::WatchRequest>, Status> {
        v1::WatchRequest::decode(from).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
