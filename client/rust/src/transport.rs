//! One attempt of a call: over which connection, with which metadata, within which time, and whether a Semel server was
//! at the other end. It never sends anything twice.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use semel_proto::v1::ResponseHeader;
use tonic::{
    Code, Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::{
    causes,
    clock::ServerClock,
    error::Error,
    methods::{Answer, Method},
    options::Options,
    refusal::{self, Origin, Refusal},
    tls, trace,
};

/// The largest message in either direction, as the server has it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many connections one client may keep.
const CONNECTIONS_MAX: usize = 256;
/// The receive windows: room for large answers and for many of them at a time.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// A connection that is dead without a word is noticed after at most the sum of these two, also while it idles: a call
/// that comes afterwards should not have to find out by its own time-out.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands behind `authorization:`.
pub(crate) type Bearer = MetadataValue<Ascii>;

#[derive(Debug)]
pub(crate) struct Transport {
    channels: Vec<Channel>,
    next: AtomicUsize,
    clock: ServerClock,
}

impl Transport {
    /// Connects now; an address where nobody listens is an error at once.
    pub(crate) async fn connect(options: &Options) -> Result<Self, Error> {
        let endpoint = endpoint(options)?;
        let mut channels = Vec::with_capacity(options.connections);
        for _ in 0..options.connections {
            let channel = endpoint.connect().await.map_err(|error| {
                let message = format!("cannot connect to {}: {}", options.endpoint, causes::root(&error));
                Error::new(Refusal::local(Code::Unavailable, message, Origin::NotSent).into(), "", 0)
            })?;
            channels.push(channel);
        }
        Ok(Self::over(channels, options))
    }

    /// Connects when the first call is made.
    pub(crate) fn connect_lazy(options: &Options) -> Result<Self, Error> {
        let endpoint = endpoint(options)?;
        Ok(Self::over((0..options.connections).map(|_| endpoint.connect_lazy()).collect(), options))
    }

    fn over(channels: Vec<Channel>, options: &Options) -> Self {
        Self { channels, next: AtomicUsize::new(0), clock: ServerClock::new(options.clock_offset_ms) }
    }

    pub(crate) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// The next connection in turn, ready for use by any stub.
    pub(crate) fn grpc(&self) -> Grpc<Channel> {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len();
        Grpc::new(self.channels[index].clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Sends a request once and waits for its answer, for `timeout` at most.
    pub(crate) async fn attempt<M: Method>(
        &self,
        message: M,
        bearer: Option<&Bearer>,
        timeout: Duration,
    ) -> Result<M::Response, Box<Refusal>> {
        let request_id = message.header().map(|header| header.request_id.clone()).unwrap_or_default();
        let context = message.header().and_then(|header| header.trace_context.clone());
        let mut request = Request::new(message);
        trace::tell(context.as_ref(), request.metadata_mut());
        request.set_timeout(timeout);
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        let mut grpc = self.grpc();
        let exchange = async {
            grpc.ready().await.map_err(|error| tonic::Status::from_error(error.into()))?;
            grpc.unary(request, PathAndQuery::from_static(M::PATH), ProstCodec::default()).await
        };
        let answer: M::Response = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                let refusal = Refusal::from_grpc(&status);
                refusal.header.iter().for_each(|header| self.clock.learn(header));
                return Err(Box::new(refusal));
            }
            Err(_) => {
                let message = "no answer came within the request timeout";
                return Err(Refusal::local(Code::DeadlineExceeded, message, Origin::NoAnswer).into());
            }
        };
        self.check(answer.header(), &request_id)?;
        Ok(answer)
    }

    /// An answer counts only if a Semel server gave it, and gave it to this request: an OK without a header may come
    /// from anything on the way, and an answer to another request from a cache.
    fn check(&self, header: Option<&ResponseHeader>, request_id: &str) -> Result<(), Box<Refusal>> {
        let message = match header {
            Some(header) if refusal::spoke(Some(header)) => {
                if header.request_id.eq_ignore_ascii_case(request_id) {
                    self.clock.learn(header);
                    return Ok(());
                }
                format!("the answer is one to request {:?}; look for a proxy that caches", header.request_id)
            }
            _ => "the answer says nothing of the credentials; check the address and what stands in between".to_owned(),
        };
        Err(Refusal::local(Code::Ok, message, Origin::Other).into())
    }
}

/// Makes a metadata value of a token, marked so that it is not logged.
pub(crate) fn bearer(token: &str) -> Result<Bearer, Error> {
    let mut value = Bearer::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::usage("the credentials hold characters that cannot be sent; check for line breaks"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn endpoint(options: &Options) -> Result<Endpoint, Error> {
    if options.connections == 0 || options.connections > CONNECTIONS_MAX {
        return Err(Error::usage(format!("connections must be from 1 to {CONNECTIONS_MAX}")));
    }
    let bad = |error: tonic::transport::Error| {
        let message = format!("cannot use the endpoint {:?}: {}", options.endpoint, causes::root(&error));
        Error::usage(message)
    };
    let endpoint = Endpoint::from_shared(options.endpoint.clone()).map_err(bad)?;
    Ok(tls::secured(endpoint, options)?
        .user_agent(format!("{}/{}", options.client_name, env!("CARGO_PKG_VERSION")))
        .map_err(bad)?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}
