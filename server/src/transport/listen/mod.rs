//! How connections come in, with TLS and without: how many, from whom, and for how long without a call.
//!
//! ```text
//! TCP ─▶ cap: in all, and of one address ─▶ handshake, if there is TLS ─▶ Connection ─▶ HTTP
//!         └ strangers give way                                        └ opening: preface and first call in time
//! ```
//!
//! A connection is a stranger until a caller on it was recognised. Strangers are what a flood is made of, so where there is no
//! room the oldest of them gives way to the next connection; those of recognised callers are never cut for others.

mod accept;
mod cap;
mod connection;
mod files;
mod opening;
mod reading;
mod rest;

pub use self::cap::{ConnectionLimits, Connections};
pub(crate) use self::{
    accept::Incoming,
    cap::{Cap, Standing},
    connection::{Connection, Peer},
};
