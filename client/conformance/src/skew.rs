//! Servers of other versions, made of the present one by rewriting what it says: a later one says more than anybody here
//! knows, the previous one knows nothing that the baseline does not. It knows the wire format and the descriptors, and no
//! message by name but those whose words bind.

use std::{collections::HashMap, sync::Arc};

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor};

use crate::{
    json,
    messages::{Tamper, Way},
};

/// The value that a later server has in place of each enum's.
pub const LATER: i32 = 99;
/// Fields that nobody here knows.
const FIELDS: [u32; 2] = [2000, 2001];
/// A kind of message that nobody here knows.
const KIND: u32 = 2002;
/// What says that credentials end is not another word in a later version, or it would be another protocol.
const BINDING: &[&str] = &["semel.v1.AuthNotice"];

/// The protocol as it was last released.
const BASELINE: &[u8] = include_bytes!("../../../proto/baseline/semel.v1.binpb");

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Every message of the server's has fields that nobody knows, every enum a value that nobody knows, and the streams
    /// have messages of a kind that nobody knows.
    Later,
    /// What the baseline does not know is dropped, and its methods are all there are.
    Previous,
}

/// Rewrites messages so that the server is of another version.
#[derive(Clone, Debug)]
pub struct Skew {
    version: Version,
    methods: Arc<HashMap<String, MethodDescriptor>>,
}

impl Skew {
    /// Of this version.
    pub fn to(version: Version) -> Self {
        let pool = match version {
            Version::Later => json::POOL.clone(),
            Version::Previous => DescriptorPool::decode(BASELINE).expect("the baseline is well formed"),
        };
        let services = pool.services().filter(|service| service.full_name().starts_with("semel.v1."));
        let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let methods = methods.map(|method| (method.name().to_owned(), method)).collect();
        Self { version, methods: Arc::new(methods) }
    }
}

impl Tamper for Skew {
    fn message(&self, method: &str, way: Way, message: Bytes) -> Vec<Bytes> {
        let Some(method) = self.methods.get(method) else { return vec![message] };
        match (self.version, way) {
            (Version::Later, Way::Up) => vec![message],
            (Version::Later, Way::Down) => {
                let mut messages = vec![rewritten(&method.output(), message, Version::Later)];
                if method.is_server_streaming() {
                    messages.push(of_a_later_kind());
                }
                messages
            }
            (Version::Previous, Way::Up) => vec![rewritten(&method.input(), message, Version::Previous)],
            (Version::Previous, Way::Down) => vec![rewritten(&method.output(), message, Version::Previous)],
        }
    }

    fn knows(&self, method: &str) -> bool {
        self.methods.contains_key(method)
    }
}

fn of_a_later_kind() -> Bytes {
    let mut out = Vec::new();
    put_bytes(&mut out, KIND, b"");
    out.into()
}

/// A message as the other version has it; as it is where it cannot be read.
fn rewritten(descriptor: &MessageDescriptor, message: Bytes, version: Version) -> Bytes {
    walk(descriptor, message.clone(), version).map_or(message, Bytes::from)
}

fn walk(descriptor: &MessageDescriptor, mut message: Bytes, version: Version) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len() + 16);
    while message.has_remaining() {
        let (number, wire) = decode_key(&mut message).ok()?;
        let field = descriptor.get_field(number);
        if field.is_none() && version == Version::Previous {
            value(&mut message, wire)?;
            continue;
        }
        let kind = field.filter(|field| !field.is_map()).map(|field| field.kind());
        match (kind, wire) {
            (Some(Kind::Enum(_)), WireType::Varint) if version == Version::Later => {
                decode_varint(&mut message).ok()?;
                encode_key(number, wire, &mut out);
                encode_varint(u64::from(LATER.unsigned_abs()), &mut out);
            }
            (Some(Kind::Message(inner)), WireType::LengthDelimited) if is_rewritten(&inner) => {
                let inner = walk(&inner, value(&mut message, wire)?, version)?;
                put_bytes(&mut out, number, &inner);
            }
            (_, WireType::LengthDelimited) => put_bytes(&mut out, number, &value(&mut message, wire)?),
            _ => {
                encode_key(number, wire, &mut out);
                out.extend_from_slice(&value(&mut message, wire)?);
            }
        }
    }
    if version == Version::Later {
        encode_key(FIELDS[0], WireType::Varint, &mut out);
        encode_varint(7, &mut out);
        put_bytes(&mut out, FIELDS[1], b"later");
    }
    Some(out)
}

fn is_rewritten(message: &MessageDescriptor) -> bool {
    message.package_name() == "semel.v1" && !BINDING.contains(&message.full_name())
}

/// The bytes of a value, without its length if it has one.
fn value(message: &mut Bytes, wire: WireType) -> Option<Bytes> {
    let length = match wire {
        WireType::Varint => {
            let length = message.iter().position(|byte| byte & 0x80 == 0)? + 1;
            return Some(message.split_to(length));
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(message).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    (message.len() >= length).then(|| message.split_to(length))
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use semel_proto::v1;

    use super::*;

    fn answer() -> v1::RunJobResponse {
        let auth = v1::AuthResult { status: 1, principal: "app:pay".to_owned(), method: 2, expire_time: None };
        let header = v1::ResponseHeader { request_id: "id".to_owned(), auth: Some(auth), ..Default::default() };
        v1::RunJobResponse { header: Some(header), run_id: "run".to_owned(), state: 2, ..Default::default() }
    }

    #[test]
    fn a_later_server_says_what_nobody_knows_and_all_that_was_known() {
        let messages = Skew::to(Version::Later).message("RunJob", Way::Down, answer().encode_to_vec().into());
        assert_eq!(messages.len(), 1);
        let later = v1::RunJobResponse::decode(messages[0].clone()).expect("it is one");
        let mut expected = answer();
        expected.state = LATER;
        let auth = expected.header.as_mut().and_then(|header| header.auth.as_mut()).expect("it is there");
        (auth.status, auth.method) = (LATER, LATER);
        assert_eq!(later, expected);
        assert!(messages[0].len() > expected.encoded_len() + 20, "and it has fields that are not known");
    }

    #[test]
    fn a_previous_server_says_nothing_that_the_baseline_does_not_know() {
        let later = Skew::to(Version::Later).message("RunJob", Way::Down, answer().encode_to_vec().into());
        let back = Skew::to(Version::Previous).message("RunJob", Way::Down, later[0].clone());
        let decoded = v1::RunJobResponse::decode(back[0].clone()).expect("it is one");
        assert_eq!(decoded.encoded_len(), back[0].len(), "nothing unknown is left");
        assert!(Skew::to(Version::Previous).knows("RunJob") && !Skew::to(Version::Previous).knows("RunMoon"));
    }
}
