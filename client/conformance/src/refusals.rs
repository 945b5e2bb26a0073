//! Answers that are no server's, and refusals as a server writes them, for scripts: their bytes on the wire. It owns these
//! forms and decides nothing.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use prost::{Message, Name as _};
use semel_proto::{
    ERROR_DOMAIN,
    details::{self, BadRequest, ErrorInfo, FieldViolation, RetryInfo},
    rpc,
    v1::{AuthResult, ResponseHeader},
};
use tonic::Code;

/// What goes over a relay.
pub type Body = BoxBody<Bytes, Error>;
/// How it breaks.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A refusal, written step by step.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: rpc::Status,
    metadata: Vec<(&'static str, &'static str)>,
    is_bare: bool,
}

impl Refusal {
    /// A Semel server's: a reason, and a header that says this of the credentials.
    pub fn of_semel(code: Code, reason: &str, auth_status: i32) -> Self {
        let info = ErrorInfo { reason: reason.to_owned(), domain: ERROR_DOMAIN.to_owned(), ..Default::default() };
        let header = ResponseHeader {
            auth: Some(AuthResult { status: auth_status, ..Default::default() }),
            server_time: Some(std::time::SystemTime::now().into()),
            server_id: "scripted".to_owned(),
            ..Default::default()
        };
        let details =
            vec![details::encode(&info, &ErrorInfo::full_name()), details::encode(&header, "semel.v1.ResponseHeader")];
        let status = rpc::Status { code: code as i32, message: format!("scripted: {reason}"), details };
        Self { status, metadata: Vec::new(), is_bare: false }
    }

    /// Somebody else's: a code and a text.
    pub fn bare(code: Code) -> Self {
        let status = rpc::Status { code: code as i32, message: "no healthy upstream".to_owned(), details: Vec::new() };
        Self { status, metadata: Vec::new(), is_bare: true }
    }

    /// That asks to be let be for so long.
    #[must_use]
    pub fn retry_after(mut self, span: std::time::Duration) -> Self {
        let info = RetryInfo { retry_delay: span.try_into().ok() };
        self.status.details.push(details::encode(&info, &RetryInfo::full_name()));
        self
    }

    /// With a detail that nobody knows, before all others.
    #[must_use]
    pub fn unknown_detail(mut self) -> Self {
        let detail = prost_types::Any { type_url: semel_proto::type_url("semel.v9.Moon"), value: vec![8, 1] };
        self.status.details.insert(0, detail);
        self
    }

    /// That finds fault with these fields.
    #[must_use]
    pub fn violations(mut self, violations: &[(&str, &str)]) -> Self {
        let violation = |(field, what): &(&str, &str)| FieldViolation {
            field: (*field).to_owned(),
            description: (*what).to_owned(),
        };
        let bad = BadRequest { field_violations: violations.iter().map(violation).collect() };
        self.status.details.push(details::encode(&bad, &BadRequest::full_name()));
        self
    }

    /// With metadata.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.metadata.push((name, value));
        self
    }

    /// As an item of a stream has it.
    pub fn into_status(self) -> rpc::Status {
        self.status
    }

    /// As it travels: headers alone.
    pub fn response(&self) -> Response<Body> {
        let mut response = Response::new(empty());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", self.status.code.into());
        if let Ok(message) = self.status.message.replace(' ', "%20").parse() {
            headers.insert("grpc-message", message);
        }
        if !self.is_bare {
            use tonic::metadata::{BinaryMetadataValue, MetadataMap};
            let mut metadata = MetadataMap::new();
            metadata
                .insert_bin("grpc-status-details-bin", BinaryMetadataValue::from_bytes(&self.status.encode_to_vec()));
            headers.extend(metadata.into_headers());
        }
        for (name, value) in &self.metadata {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

/// An OK with a message of these bytes: what an empty one is to somebody who knows nothing of headers in messages.
pub fn ok(message: &[u8]) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(hyper::body::Frame::data(framed(message))), Ok(hyper::body::Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(tokio_stream::iter(frames)).boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A page of HTML, as a portal or a wrong port gives it.
pub fn page() -> Response<Body> {
    let body = Full::new(Bytes::from_static(b"<html>welcome</html>")).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
    response
}

/// A status of HTTP without gRPC.
pub fn http_status(status: u16) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    response
}

/// A message as gRPC puts it into a body.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}
