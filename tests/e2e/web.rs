//! gRPC-Web, as browsers speak it: raw calls over HTTP/1.1, and what a page of another origin may do.

use prost::Message;
use semel_client::{
    Method,
    v1::{self, AuthStatus, watch_response::Kind},
};
use semel_proto::rpc;
use semel_server::transport::WebOrigin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code, Status,
    codegen::{
        Body as _, Service as _,
        http::{self, HeaderMap, HeaderName, HeaderValue},
    },
};

use super::{
    harness::{TestServer, in_time, run_job},
    wire::{PayByWire, Refused, Wire, fresh},
};

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/grpc-web+proto");
const OPS: &str = "https://ops.example.com";

/// A server that lets pages of one other origin call.
async fn start() -> TestServer {
    TestServer::with(|settings| settings.web_origins = vec![WebOrigin::parse(OPS).expect("an origin")]).await
}

/// One exchange over a connection of HTTP/1.1 of its own.
struct Http1 {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The head of an answer.
struct Head {
    status: u16,
    headers: HeaderMap,
}

impl Head {
    fn text(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible characters"))
    }
}

impl Http1 {
    async fn send(server: &TestServer, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let address = server.running().address();
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.expect("it is written");
        stream.write_all(body).await.expect("it is written");
        Self { stream, read: Vec::new() }
    }

    /// The head of the answer.
    async fn head(&mut self) -> Head {
        let end = self.until(|read| find(read, b"\r\n\r\n")).await;
        let text = String::from_utf8(self.read.drain(..end + 4).collect()).expect("a head is text");
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.map(|line| header(line, ": ")).collect();
        Head { status: status.parse().expect("a number"), headers }
    }

    /// The next piece of a body that comes in pieces.
    async fn chunk(&mut self) -> Vec<u8> {
        let end = self.until(|read| find(read, b"\r\n")).await;
        let line: Vec<u8> = self.read.drain(..end + 2).collect();
        let size = String::from_utf8(line).expect("a size");
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        self.until(|read| (read.len() >= size + 2).then_some(())).await;
        let piece = self.read.drain(..size).collect();
        self.read.drain(..2);
        piece
    }

    /// Reads until something is found in what was read.
    async fn until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> T {
        in_time(async {
            loop {
                if let Some(found) = found(&self.read) {
                    return found;
                }
                let count = self.stream.read_buf(&mut self.read).await.expect("it is read");
                assert_ne!(count, 0, "the answer broke off: {:?}", String::from_utf8_lossy(&self.read));
            }
        })
        .await
    }
}

fn find(read: &[u8], what: &[u8]) -> Option<usize> {
    read.windows(what.len()).position(|part| part == what)
}

fn header(line: &str, between: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(between).expect("a header");
    (name.parse().expect("a name"), value.parse().expect("a value"))
}

/// A message as gRPC has it on the wire.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("it is short").to_be_bytes();
    [&[0], length.as_slice(), &bytes].concat()
}

/// The messages of a body, and the trailers that end it.
fn frames(mut body: &[u8]) -> (Vec<&[u8]>, HeaderMap) {
    let (mut messages, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (content, rest) = rest.split_at(length);
        match head[0] {
            0 => messages.push(content),
            0x80 => {
                let text = std::str::from_utf8(content).expect("trailers are text");
                trailers.extend(text.trim_end().split("\r\n").map(|line| header(line, ":")).map(|(n, v)| (Some(n), v)));
            }
            other => panic!("a frame of the kind {other}"),
        }
        body = rest;
    }
    (messages, trailers)
}

/// A unary call: the head, and what it gave.
async fn call<M: Method>(
    server: &TestServer,
    headers: &[(&str, &str)],
    message: &M,
) -> (Head, Result<M::Response, Status>) {
    let headers = [&[CONTENT_TYPE], headers].concat();
    let mut exchange = Http1::send(server, "POST", M::PATH, &headers, &framed(message)).await;
    let head = exchange.head().await;
    assert_eq!((head.status, head.text("content-type")), (200, CONTENT_TYPE.1));
    let mut body = Vec::new();
    if head.text("transfer-encoding") == "chunked" {
        loop {
            let piece = exchange.chunk().await;
            if piece.is_empty() {
                break;
            }
            body.extend(piece);
        }
    }
    let (messages, trailers) = frames(&body);
    // Where there is no message, the head may say it all.
    let status = Status::from_header_map(&trailers).or_else(|| Status::from_header_map(&head.headers));
    let status = status.expect("a status");
    if status.code() == Code::Ok {
        let [message] = messages[..] else { panic!("one message, and not {}", messages.len()) };
        return (head, Ok(M::Response::decode(message).expect("an answer")));
    }
    (head, Err(status))
}

fn taken_apart(status: &Status) -> Refused {
    let rpc = rpc::Status::decode(status.details()).expect("the details are a google.rpc.Status");
    Refused::of_rpc(&rpc)
}

#[tokio::test]
async fn a_call_over_http_1_is_the_same_call() {
    let pay = PayByWire::on(start().await).await;
    let bearer = format!("Bearer {}", pay.server.admin_secret);
    let headers = [("authorization", bearer.as_str())];
    let (_, info) = call(&pay.server, &headers, &v1::GetServerInfoRequest::default()).await;
    let header = info.expect("it is served").header.expect("a header");
    assert_eq!(header.auth.expect("a verdict").status(), AuthStatus::Passed);

    let mut request = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    request.header = Some(v1::RequestHeader { request_id: fresh(), ..Default::default() });
    let (_, first) = call(&pay.server, &headers, &request).await;
    let (_, again) = call(&pay.server, &headers, &request).await;
    assert_eq!(first.expect("it is served").run_id, again.expect("it is served").run_id);
    assert_eq!(pay.pay.runs().await.len(), 1, "made once");
}

#[tokio::test]
async fn a_refusal_brings_its_details() {
    let pay = PayByWire::on(start().await).await;
    let mut request = run_job("settle");
    let id = fresh();
    request.header = Some(v1::RequestHeader { request_id: id.clone(), ..Default::default() });
    let (_, refused) = call(&pay.server, &[], &request).await;
    let refused = taken_apart(&refused.expect_err("nobody is let in"));
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
    assert_eq!(refused.header.request_id, id);

    let bearer = format!("Bearer {}", pay.server.admin_secret);
    request = v1::RunJobRequest { app: "pay".to_owned(), job: "no/job".to_owned(), ..request };
    let (_, refused) = call(&pay.server, &[("authorization", bearer.as_str())], &request).await;
    let refused = taken_apart(&refused.expect_err("it cannot be"));
    refused.expect(Code::InvalidArgument, "INVALID");
    assert_eq!(refused.violations.len(), 1);
}

#[tokio::test]
async fn a_stream_from_the_server_tells_what_happens_as_it_happens() {
    let pay = PayByWire::on(start().await).await;
    let bearer = format!("Bearer {}", pay.server.admin_secret);
    let headers = [CONTENT_TYPE, ("authorization", bearer.as_str())];
    let request = v1::WatchRequest { app: "pay".to_owned(), ..Default::default() };
    let mut exchange =
        Http1::send(&pay.server, "POST", "/semel.v1.WatchService/Watch", &headers, &framed(&request)).await;
    assert_eq!(exchange.head().await.status, 200);
    let mut told = async || {
        let piece = exchange.chunk().await;
        let (messages, _) = frames(&piece);
        v1::WatchResponse::decode(messages[0]).expect("a message").kind.expect("a kind")
    };
    assert!(matches!(told().await, Kind::Opened(_)));
    let run_id = pay.pay.served(&fresh(), run_job("settle")).await.run_id;
    let Kind::Events(events) = told().await else { panic!("not an event") };
    let Some(v1::event::Subject::Run(run)) = &events.events[0].subject else { panic!("not of a run") };
    assert_eq!(run.run_id, run_id);
}

#[tokio::test]
async fn over_http_2_it_is_served_beside_native_grpc() {
    let server = start().await;
    let mut wire = Wire::to(&server.endpoint()).await;
    let request = v1::CheckAuthRequest::default();
    let body = tonic::body::Body::new(http_body_util::Full::new(framed(&request).into()));
    let request = http::Request::post(format!("{}{}", server.endpoint(), v1::CheckAuthRequest::PATH))
        .header(CONTENT_TYPE.0, CONTENT_TYPE.1)
        .body(body)
        .expect("a request");
    std::future::poll_fn(|context| wire.channel.poll_ready(context)).await.expect("connected");
    let answer = in_time(wire.channel.call(request)).await.expect("an answer");
    assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, 200));
    assert_eq!(answer.headers()["content-type"], CONTENT_TYPE.1);
    let mut body = std::pin::pin!(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        bytes.extend(frame.expect("a frame").into_data().expect("trailers are data here"));
    }
    let (messages, trailers) = frames(&bytes);
    assert_eq!((messages.len(), &trailers["grpc-status"]), (1, &HeaderValue::from_static("0")));

    // What is native stays so: nothing of the other way is in its answers.
    let native = wire.exchange("", v1::CheckAuthRequest::default(), super::harness::PATIENCE).await.expect("served");
    let headers = native.metadata().clone().into_headers();
    assert!(!headers.contains_key("vary") && !headers.contains_key("access-control-expose-headers"), "{headers:?}");
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_call_and_read_how_the_call_ended() {
    let server = start().await;
    let asks = [
        ("origin", OPS),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,grpc-timeout,x-grpc-web"),
    ];
    let head = Http1::send(&server, "OPTIONS", v1::CheckAuthRequest::PATH, &asks, &[]).await.head().await;
    assert_eq!((head.status, head.text("access-control-allow-origin")), (200, OPS));
    assert!(head.text("access-control-allow-methods").contains("POST"));
    for name in ["authorization", "content-type", "grpc-timeout", "x-grpc-web"] {
        assert!(head.text("access-control-allow-headers").contains(name), "{name}");
    }
    let (head, answer) = call(&server, &[("origin", OPS)], &v1::CheckAuthRequest::default()).await;
    answer.expect("it is served");
    assert_eq!(head.text("access-control-allow-origin"), OPS);
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-retry-pushback-ms"] {
        assert!(head.text("access-control-expose-headers").contains(name), "{name}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_not() {
    let server = start().await;
    let other = ("origin", "https://other.example.com");
    let asks = [other, ("access-control-request-method", "POST")];
    let head = Http1::send(&server, "OPTIONS", v1::CheckAuthRequest::PATH, &asks, &[]).await.head().await;
    assert!(!head.headers.contains_key("access-control-allow-origin"));

    let secret = format!("Bearer {}", server.admin_secret);
    let request = v1::CreateAppRequest {
        header: Some(v1::RequestHeader { request_id: fresh(), ..Default::default() }),
        app: "pay".to_owned(),
        ..Default::default()
    };
    let headers = [CONTENT_TYPE, ("authorization", secret.as_str()), other];
    let path = v1::CreateAppRequest::PATH;
    let head = Http1::send(&server, "POST", path, &headers, &framed(&request)).await.head().await;
    assert_eq!(head.status, 403);

    // Its own origin is no other one.
    let own = format!("http://{}", server.running().address());
    let headers = [("authorization", secret.as_str()), ("origin", own.as_str())];
    let (_, made) = call(&server, &headers, &request).await;
    let header = made.expect("it is served").header.expect("a header");
    assert_eq!(header.disposition(), v1::Disposition::Executed, "what was turned away had no effect");
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so() {
    let server = start().await;
    for (method, headers) in [("GET", &[][..]), ("POST", &[("content-type", "application/grpc")][..])] {
        let head = Http1::send(&server, method, "/", headers, &[]).await.head().await;
        assert_eq!((head.status, head.text("content-type")), (415, "text/plain; charset=utf-8"));
    }
    let large = "x".repeat(20 << 10);
    let headers = [CONTENT_TYPE, ("x-user-agent", large.as_str())];
    let head = Http1::send(&server, "POST", v1::CheckAuthRequest::PATH, &headers, &[]).await.head().await;
    assert_eq!(head.status, 431);
}
