//! A gRPC proxy that does to calls, and to the messages of streams, what networks and proxies do to them: strips headers,
//! loses, delays and repeats, resets streams and cuts connections, by a seeded [`Plan`], and counts what it did. A tool for
//! tests, and no proxy for anything else: it speaks HTTP/2 without TLS, and keeps each call in memory.

mod body;
mod call;
mod counts;
mod fault;
mod headers;
mod later;
mod messages;
mod plan;
mod port;
mod proxy;
mod server;
mod stream;
mod substitute;

pub use self::{
    counts::Counts,
    fault::{Fault, Way},
    plan::{Draw, Plan},
    port::Port,
    proxy::Proxy,
};
