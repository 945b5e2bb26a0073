//! The protocol of Semel: the messages and services of `semel.v1`, their descriptor set, and the fingerprint of a
//! request's content. Nothing here decides anything, and nothing here knows a server.

pub mod details;
pub mod fingerprint;

mod redacted;

// The generated code refers from one package to the other by its path, so the modules stand as the packages do.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated; its comments stand in the .proto files"
)]
mod semel {
    pub mod v1 {
        tonic::include_proto!("semel.v1");
    }
}

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    reason = "generated; its comments stand in the .proto files"
)]
mod google {
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

pub use google::rpc;
pub use semel::v1;

/// All of `semel.v1` and what it imports, as an encoded `google.protobuf.FileDescriptorSet` without comments: for
/// reflection, and for tests that go through every method.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The domain of every `google.rpc.ErrorInfo` that a Semel server sends.
pub const ERROR_DOMAIN: &str = "semel.v1";

/// The type URL under which a message travels in an `Any`.
pub fn type_url(full_name: &str) -> String {
    format!("type.googleapis.com/{full_name}")
}
