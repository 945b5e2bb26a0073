//! The Rust client of Semel.
mod auth;
mod call;
mod client;
mod clock;
pub mod details;
mod error;
mod id;
mod methods;
mod options;
mod refusal;
pub mod retry;
mod transport;
pub mod worker;

pub use call::CallOptions;
pub use client::{Call, Client};
pub use error::{Error, ErrorKind};
pub use id::RequestId;
pub use methods::{Answer, Method};
pub use options::{Credentials, Options};
pub use refusal::{Origin, Pushback, Refusal};
pub use retry::RetryOptions;
pub use semel_proto::v1;
