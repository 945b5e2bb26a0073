//! Calls by descriptor: to any method, with any message, without generated code for either. Knows no method by name.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value};
use prost_types::method_options::IdempotencyLevel;
use semel_client::v1;
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

use super::wire::Wire;

/// All of `semel.v1`.
pub(crate) fn pool() -> DescriptorPool {
    DescriptorPool::decode(semel_proto::FILE_DESCRIPTOR_SET).expect("the descriptor set is whole")
}

/// Every method of `semel.v1`.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let pool = pool();
    let services = pool.services().filter(|service| service.full_name().starts_with("semel.v1."));
    let methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() >= 28, "only {} methods were found", methods.len());
    methods
}

/// Every unary method that changes something.
pub(crate) fn mutations() -> Vec<MethodDescriptor> {
    methods().into_iter().filter(|method| !is_read(method) && !method.is_client_streaming()).collect()
}

/// Whether a method says that it changes nothing.
pub(crate) fn is_read(method: &MethodDescriptor) -> bool {
    level(method) == IdempotencyLevel::NoSideEffects
}

/// What a method says of its repetition.
pub(crate) fn level(method: &MethodDescriptor) -> IdempotencyLevel {
    let proto = method.method_descriptor_proto();
    proto.options.as_ref().map_or(IdempotencyLevel::IdempotencyUnknown, |options| options.idempotency_level())
}

/// The path of a method.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// An empty request.
pub(crate) fn empty(method: &MethodDescriptor) -> DynamicMessage {
    DynamicMessage::new(method.input())
}

/// The same request under another id.
pub(crate) fn under(id: &str, message: &DynamicMessage) -> DynamicMessage {
    let mut message = message.clone();
    let header = v1::RequestHeader { request_id: id.to_owned(), ..Default::default() };
    let field = message.descriptor().get_field_by_name("header").expect("every request has a header");
    let descriptor = field.kind().as_message().expect("the header is a message").clone();
    let header = DynamicMessage::decode(descriptor, header.encode_to_vec().as_slice()).expect("a header");
    message.set_field(&field, Value::Message(header));
    message
}

/// The header of a response.
pub(crate) fn header(message: &DynamicMessage) -> v1::ResponseHeader {
    let header = message.get_field_by_name("header").expect("every response has a header");
    header.as_message().expect("a message").transcode_to().expect("a header")
}

/// A response without its header.
pub(crate) fn body(message: &DynamicMessage) -> DynamicMessage {
    let mut message = message.clone();
    message.clear_field_by_name("header");
    message
}

/// Calls a method once. Of a stream, says one message and hears one.
pub(crate) async fn call(
    wire: &Wire,
    method: &MethodDescriptor,
    message: DynamicMessage,
) -> Result<DynamicMessage, Status> {
    let mut grpc = Grpc::new(wire.channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(path(method)).expect("a path");
    let codec = Dynamic(method.output());
    if method.is_server_streaming() && !method.is_client_streaming() {
        let mut heard = grpc.server_streaming(wire.request(message), path, codec).await?.into_inner();
        return heard.message().await?.ok_or_else(|| Status::cancelled("the stream ended at once"));
    }
    if !method.is_client_streaming() {
        return grpc.unary(wire.request(message), path, codec).await.map(tonic::Response::into_inner);
    }
    let said = wire.request(tokio_stream::once(message));
    let mut heard = grpc.streaming(said, path, codec).await?.into_inner();
    heard.message().await?.ok_or_else(|| Status::cancelled("the stream ended at once"))
}

/// Encodes whatever it is given, and decodes one type.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), from);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
