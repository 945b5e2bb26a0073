//! gRPC-Web, which is what browsers can speak: unary calls and streams from the server, over HTTP/1.1 or HTTP/2, on the same
//! port. This layer lies around everything else and decides by the first look at a request which way it goes; it never
//! touches a call of native gRPC, and it judges no credentials.
//!
//! It is always on. It opens nothing by itself: a page may only call from an origin that the operator has named, or from the
//! server's own, and has no credentials but those that it was given, for there are no cookies. What is no gRPC is told so in
//! a plain word, where before a connection of HTTP/1.1 was closed without one.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tonic::{body::Body, codegen::BoxFuture};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use super::{
    direct::Sent,
    listen::Peer,
    native::{Answered, Native},
    router::HEADERS_BYTES_MAX,
};

/// What a page may send along: what clients of gRPC-Web do.
const REQUEST_HEADERS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];
/// What a page may read beside the body: how a call ended, where that stands in the head.
const RESPONSE_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-retry-pushback-ms"),
];
/// How long a browser need not ask again; more than this none of them keeps to.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// An origin from which pages may call: scheme, host, and a port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(HeaderValue);

impl WebOrigin {
    /// Reads an origin as browsers write it.
    ///
    /// # Errors
    /// Says what an origin looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no origin of pages; write it like https://ops.example.com, without a path");
        let text = text.trim().to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        let port = match (scheme, authority.port_u16()) {
            ("http", None | Some(80)) | ("https", None | Some(443)) => String::new(),
            ("http" | "https", Some(port)) => format!(":{port}"),
            _ => return Err(wrong()),
        };
        if text != format!("{scheme}://{authority}") || authority.as_str().contains('@') || authority.host().is_empty()
        {
            return Err(wrong());
        }
        HeaderValue::try_from(format!("{scheme}://{}{port}", authority.host())).map(Self).map_err(|_| wrong())
    }

    /// The origin, as browsers write it.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// See the module: the two ways, as it is, and as a browser has it.
pub(super) struct Web {
    native: Native,
    web: Cors<GrpcWebService<Native>>,
    origins: Vec<HeaderValue>,
}

/// What a request is, by its head.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A call of gRPC, or whatever else comes over HTTP/2: for the services to judge.
    Native,
    /// A call of gRPC-Web, or what a browser asks before one.
    Web,
    /// Nothing that is served here.
    Refused(StatusCode, &'static str),
}

fn kind_of(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    authority: Option<&str>,
    origins: &[HeaderValue],
) -> Kind {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_call = content_type.starts_with(b"application/grpc-web");
    let asks_first = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_call && !asks_first {
        return match version {
            Version::HTTP_2 => Kind::Native,
            _ => Kind::Refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "this port speaks gRPC over HTTP/2, and gRPC-Web (application/grpc-web+proto) over HTTP/1.1 as well\n",
            ),
        };
    }
    if headers_bytes(headers) > HEADERS_BYTES_MAX as usize {
        return Kind::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than is taken\n");
    }
    match headers.get(header::ORIGIN) {
        // The answer to the question beforehand names nobody, and a browser reads that as a no.
        Some(origin) if is_call && !origins.contains(origin) && !is_own(origin, authority) => Kind::Refused(
            StatusCode::FORBIDDEN,
            "pages of this origin may not call; the operator can name it in web.origins\n",
        ),
        _ => Kind::Web,
    }
}

/// HTTP/2 bounds them by itself.
fn headers_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Whether a page came from where it calls.
fn is_own(origin: &HeaderValue, authority: Option<&str>) -> bool {
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some_and(|host| authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}

impl Web {
    /// Lets pages of these origins call, and those of the server's own.
    pub(super) fn new(native: Native, origins: &[WebOrigin]) -> Self {
        let origins: Vec<_> = origins.iter().map(|origin| origin.0.clone()).collect();
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::POST])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(RESPONSE_HEADERS)
            .max_age(PREFLIGHT_AGE);
        let web = cors.layer(GrpcWebLayer::new().layer(native.clone()));
        Self { native, web, origins }
    }

    /// Serves a request that came over the connection of this peer.
    pub(super) fn serve(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> Answer {
        let headers = request.headers();
        let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = request.uri().authority().map(http::uri::Authority::as_str).or_else(host);
        match kind_of(request.method(), request.version(), headers, authority, &self.origins) {
            Kind::Native => Answer::Native { answer: self.native.serve(request, Some(peer.clone())) },
            Kind::Web => {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ThroughWeb);
                request.extensions_mut().insert(peer.clone());
                Answer::Web { answer: Box::pin(self.web.clone().oneshot(request)) }
            }
            Kind::Refused(status, text) => Answer::Refused { status, text },
        }
    }
}

/// Goes with a call that came by gRPC-Web.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThroughWeb;

pin_project! {
    /// What comes back, by either way.
    #[project = AnswerProjection]
    pub(super) enum Answer {
        Native { #[pin] answer: Answered },
        Web { answer: BoxFuture<Response<Body>, Infallible> },
        Refused { status: StatusCode, text: &'static str },
    }
}

impl Future for Answer {
    type Output = Result<Response<Sent>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AnswerProjection::Native { answer } => answer.poll(context),
            AnswerProjection::Web { answer } => {
                answer.as_mut().poll(context).map(|answer| answer.map(|answer| answer.map(Sent::Any)))
            }
            AnswerProjection::Refused { status, text } => {
                let text = http_body_util::Full::new(bytes::Bytes::from_static(text.as_bytes()));
                let mut answer = Response::new(Sent::Any(Body::new(text)));
                *answer.status_mut() = *status;
                answer
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                Poll::Ready(Ok(answer))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (text, origin) in [
            ("https://ops.example.com", "https://ops.example.com"),
            (" HTTPS://Ops.Example.com:443 ", "https://ops.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(WebOrigin::parse(text).as_ref().map(WebOrigin::as_str), Ok(origin), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_an_example() {
        for text in
            ["", "*", "null", "ops.example.com", "https://ops.example.com/", "https://a/b", "ftp://a", "https://u@a"]
        {
            let problem = WebOrigin::parse(text).expect_err(text);
            assert!(problem.contains("https://ops.example.com"), "{problem}");
        }
    }

    fn check(version: Version, method: Method, headers: &[(&'static str, &'static str)], status: Option<StatusCode>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let origins = [HeaderValue::from_static("https://ops.example.com")];
        match (kind_of(&method, version, &headers, Some("semel.example.com"), &origins), status) {
            (Kind::Refused(found, _), Some(expected)) => assert_eq!(found, expected, "{headers:?}"),
            (Kind::Web, None) => {}
            (found, expected) => panic!("{found:?}, and not {expected:?}: {headers:?}"),
        }
    }

    #[test]
    fn native_grpc_goes_its_own_way() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        assert_eq!(kind_of(&Method::POST, Version::HTTP_2, &headers, None, &[]), Kind::Native);
        assert_eq!(kind_of(&Method::GET, Version::HTTP_2, &HeaderMap::new(), None, &[]), Kind::Native);
    }

    #[test]
    fn a_page_calls_from_an_origin_that_is_named_or_the_servers_own() {
        let call = ("content-type", "application/grpc-web+proto");
        let text = ("content-type", "application/grpc-web-text");
        let too_far = Some(StatusCode::FORBIDDEN);
        for version in [Version::HTTP_11, Version::HTTP_2] {
            check(version, Method::POST, &[call], None);
            check(version, Method::POST, &[text], None);
            check(version, Method::POST, &[call, ("origin", "https://ops.example.com")], None);
            check(version, Method::POST, &[call, ("origin", "https://Semel.example.com")], None);
            check(version, Method::POST, &[call, ("origin", "https://evil.example.com")], too_far);
            check(version, Method::POST, &[call, ("origin", "null")], too_far);
            let asks = [("origin", "https://evil.example.com"), ("access-control-request-method", "POST")];
            check(version, Method::OPTIONS, &asks, None);
        }
    }

    #[test]
    fn over_http_1_nothing_else_is_served() {
        let not_here = Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        check(Version::HTTP_11, Method::GET, &[], not_here);
        check(Version::HTTP_11, Method::OPTIONS, &[], not_here);
        check(Version::HTTP_11, Method::POST, &[("content-type", "application/grpc")], not_here);
        check(Version::HTTP_11, Method::POST, &[("content-type", "text/plain")], not_here);
    }
}
