//! Calls without a client library between the test and the wire, and refusals taken apart. Each call goes over its
//! method's path with tonic's own codec, which is all that a generated client does. Nothing is sent twice in here,
//! nothing is minted, and whatever is left out stays left out.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message as _;
use semel_client::{Method, RequestId, v1};
use semel_proto::{
    ERROR_DOMAIN,
    details::{self, BadRequest, ErrorInfo, RetryInfo},
    rpc,
};
use semel_server::clock::{Clock, ManualClock};
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use v1::AuthStatus;

use super::harness::{PATIENCE, TestServer, run_job, spec};

/// Proxies drop larger details (DESIGN 2.2).
pub(crate) const DETAILS_BYTES_MAX: usize = 2048;

/// A connection, and the credentials that go with each call.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) channel: Channel,
    pub(crate) authorization: Option<String>,
}

impl Wire {
    /// Connects without credentials.
    pub(crate) async fn to(endpoint: &str) -> Self {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an endpoint");
        Self { channel: endpoint.connect().await.expect("connects"), authorization: None }
    }

    /// The same connection with these bearer credentials.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.authorization(&format!("Bearer {token}"))
    }

    /// The same connection with this `authorization`, whatever it is.
    pub(crate) fn authorization(&self, value: &str) -> Self {
        Self { channel: self.channel.clone(), authorization: Some(value.to_owned()) }
    }

    /// The same connection without credentials.
    pub(crate) fn nobody(&self) -> Self {
        Self { channel: self.channel.clone(), authorization: None }
    }

    /// A request with the metadata of this caller.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.parse().expect("visible characters"));
        }
        request
    }

    /// Sends once, under this id (none if it is empty), and gives what came.
    pub(crate) async fn send<M: Method>(&self, id: &str, message: M) -> Result<M::Response, Status> {
        self.exchange(id, message, PATIENCE).await.map(Response::into_inner)
    }

    /// The same, with a deadline.
    pub(crate) async fn send_within<M: Method>(
        &self,
        id: &str,
        message: M,
        timeout: Duration,
    ) -> Result<M::Response, Status> {
        self.exchange(id, message, timeout).await.map(Response::into_inner)
    }

    /// The same, with the metadata of the response.
    pub(crate) async fn exchange<M: Method>(
        &self,
        id: &str,
        mut message: M,
        timeout: Duration,
    ) -> Result<Response<M::Response>, Status> {
        if !id.is_empty() {
            message.header_mut().get_or_insert_default().request_id = id.to_owned();
        }
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = self.request(message);
        request.set_timeout(timeout);
        let codec = ProstCodec::<M, M::Response>::default();
        grpc.unary(request, PathAndQuery::from_static(M::PATH), codec).await
    }

    /// Sends what must be served.
    pub(crate) async fn served<M: Method>(&self, id: &str, message: M) -> M::Response {
        self.send(id, message).await.unwrap_or_else(|status| panic!("{} was refused: {status}", M::PATH))
    }

    /// Sends what must be refused, and checks what every refusal has: the id that it answers, above all.
    pub(crate) async fn refused<M: Method>(&self, id: &str, message: M) -> Refused {
        let Err(status) = self.send(id, message).await else { panic!("{} was served", M::PATH) };
        let refused = Refused::of(&status);
        assert_eq!(refused.header.request_id, id, "the refusal names the request");
        refused
    }

    /// What is known of a request.
    pub(crate) async fn look_up(&self, id: &str) -> v1::GetRequestResponse {
        let request =
            v1::GetRequestRequest { app: "pay".to_owned(), target_request_id: id.to_owned(), ..Default::default() };
        self.served("", request).await
    }

    /// All runs of `pay`, the newest first.
    pub(crate) async fn runs(&self) -> Vec<v1::Run> {
        let page = Some(v1::PageRequest { page_size: 1000, ..Default::default() });
        let request = v1::ListRunsRequest { app: "pay".to_owned(), page, ..Default::default() };
        self.served("", request).await.runs
    }
}

/// A refusal, taken apart. That it could be is the form that every refusal has.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) header: v1::ResponseHeader,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) violations: Vec<(String, String)>,
    pub(crate) pushback: Option<String>,
}

impl Refused {
    /// Takes a status apart: exactly one reason, exactly one header, nothing too large, the same code twice.
    pub(crate) fn of(status: &Status) -> Self {
        assert!(!status.details().is_empty(), "no Semel server spoke: {status:?}");
        assert!(status.details().len() < DETAILS_BYTES_MAX, "{} bytes of details", status.details().len());
        let rpc = rpc::Status::decode(status.details()).expect("the details are a google.rpc.Status");
        assert_eq!(rpc.message, status.message());
        let refused = Self { pushback: pushback(status.metadata()), ..Self::of_rpc(&rpc) };
        assert_eq!(refused.code, status.code());
        assert_eq!(refused.pushback.is_some(), refused.retry_after.is_some(), "both kinds of clients are told to wait");
        refused
    }

    /// The same for a refusal inside a message.
    pub(crate) fn of_rpc(rpc: &rpc::Status) -> Self {
        let infos: Vec<ErrorInfo> = all(rpc, "google.rpc.ErrorInfo");
        let [info] = infos.try_into().expect("exactly one ErrorInfo");
        assert_eq!(info.domain, ERROR_DOMAIN);
        let headers: Vec<v1::ResponseHeader> = all(rpc, "semel.v1.ResponseHeader");
        let [header] = headers.try_into().expect("exactly one ResponseHeader");
        assert!(header.server_time.is_some() && !header.server_id.is_empty());
        assert_eq!(header.disposition(), v1::Disposition::Unspecified, "a refusal has no effect");
        assert_ne!(auth_status(Some(&header)), AuthStatus::Unspecified);
        let retries: Vec<RetryInfo> = all(rpc, "google.rpc.RetryInfo");
        let bad: Vec<BadRequest> = all(rpc, "google.rpc.BadRequest");
        assert!(retries.len() <= 1 && bad.len() <= 1);
        let delay = retries.into_iter().find_map(|retry| retry.retry_delay);
        let violations = bad.into_iter().flat_map(|bad| bad.field_violations);
        Self {
            code: Code::from_i32(rpc.code),
            reason: info.reason,
            metadata: info.metadata,
            header,
            retry_after: delay.map(|delay| Duration::try_from(delay).expect("a span")),
            violations: violations.map(|violation| (violation.field, violation.description)).collect(),
            pushback: None,
        }
    }

    /// The verdict on the credentials.
    pub(crate) fn auth(&self) -> AuthStatus {
        auth_status(Some(&self.header))
    }

    /// Checks code and reason, and that it says nothing against the caller's credentials.
    pub(crate) fn expect(&self, code: Code, reason: &str) -> &Self {
        self.expect_with(code, reason, AuthStatus::Passed)
    }

    /// Checks code, reason and the verdict on the credentials.
    pub(crate) fn expect_with(&self, code: Code, reason: &str, auth: AuthStatus) -> &Self {
        assert_eq!((self.code, self.reason.as_str(), self.auth()), (code, reason, auth), "{self:?}");
        self
    }

    /// Checks one word of what the reason adds.
    pub(crate) fn says(&self, key: &str, value: &str) -> &Self {
        assert_eq!(self.metadata.get(key).map(String::as_str), Some(value), "{self:?}");
        self
    }

    /// Checks that it says when to come again.
    pub(crate) fn says_when(&self) -> &Self {
        assert!(self.retry_after.is_some_and(|wait| wait > Duration::ZERO), "{self:?}");
        self
    }
}

fn pushback(metadata: &MetadataMap) -> Option<String> {
    metadata.get("grpc-retry-pushback-ms").map(|value| value.to_str().expect("digits").to_owned())
}

fn all<M: prost::Message + Default>(rpc: &rpc::Status, name: &str) -> Vec<M> {
    let of_name = rpc.details.iter().filter(|detail| detail.type_url.ends_with(&format!("/{name}")));
    of_name.map(|detail| details::decode(detail, name).expect("it can be decoded")).collect()
}

/// The verdict in a header; unspecified if there is none.
pub(crate) fn auth_status(header: Option<&v1::ResponseHeader>) -> AuthStatus {
    header.and_then(|header| header.auth.as_ref()).map_or(AuthStatus::Unspecified, v1::AuthResult::status)
}

/// A fresh id.
pub(crate) fn fresh() -> String {
    id_at(Clock::system().now().wall.0)
}

/// An id that bears this time, in milliseconds.
pub(crate) fn id_at(millis: i64) -> String {
    let since = Duration::from_millis(u64::try_from(millis).expect("after 1970"));
    RequestId::mint(UNIX_EPOCH + since).to_string()
}

/// What a test's clock shows, in milliseconds.
pub(crate) fn wall(clock: &ManualClock) -> i64 {
    Clock::Manual(clock.clone()).now().wall.0
}

/// A time of a message in milliseconds.
pub(crate) fn millis(time: Option<&prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

/// A span for a message.
pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Bytes without a type.
pub(crate) fn payload(data: &'static str) -> Option<v1::Payload> {
    Some(v1::Payload { data: Bytes::from_static(data.as_bytes()), content_type: String::new() })
}

/// A server with an app `pay`, which is called without the client library and has a job `settle` that nobody works on.
pub(crate) struct PayByWire {
    pub(crate) server: TestServer,
    /// Without credentials.
    pub(crate) nobody: Wire,
    /// The admin.
    pub(crate) admin: Wire,
    /// The app `pay`.
    pub(crate) pay: Wire,
    pub(crate) secret: String,
}

impl PayByWire {
    pub(crate) async fn start() -> Self {
        Self::on(TestServer::start().await).await
    }

    pub(crate) async fn on(server: TestServer) -> Self {
        let nobody = Wire::to(&server.endpoint()).await;
        let admin = nobody.bearer(&server.admin_secret);
        let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
        let secret = admin.served(&fresh(), create).await.secret;
        let pay = nobody.bearer(&secret);
        let create = v1::CreateJobRequest {
            app: "pay".to_owned(),
            job: "settle".to_owned(),
            spec: Some(spec("echo")),
            ..Default::default()
        };
        pay.served(&fresh(), create).await;
        Self { server, nobody, admin, pay, secret }
    }

    /// The app `pay` over a connection of its own.
    pub(crate) async fn connect_again(&self) -> Wire {
        Wire::to(&self.server.endpoint()).await.bearer(&self.secret)
    }

    /// Connects again, after a restart.
    pub(crate) async fn reconnect(&mut self) {
        self.nobody = Wire::to(&self.server.endpoint()).await;
        self.admin = self.nobody.bearer(&self.server.admin_secret);
        self.pay = self.nobody.bearer(&self.secret);
    }

    /// Ends the server and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.server.restart().await;
        self.reconnect().await;
    }

    /// Starts the server again after its engine has failed.
    pub(crate) async fn revive(&mut self) {
        self.server.revive().await;
        self.reconnect().await;
    }
}

/// Runs `settle` under this id.
pub(crate) async fn settle(wire: &Wire, id: &str) -> Result<v1::RunJobResponse, Status> {
    wire.send(id, run_job("settle")).await
}

/// The answer without what may differ between the first one and a replay.
pub(crate) fn essence(mut answer: v1::RunJobResponse) -> (v1::RunJobResponse, Option<prost_types::Timestamp>, i64) {
    let header = answer.header.take().expect("a header");
    (answer, header.execute_time, header.revision)
}

/// Whether a call took effect now or earlier, and how often it was seen.
pub(crate) fn arrival(header: Option<&v1::ResponseHeader>) -> (v1::Disposition, i64) {
    header.map_or((v1::Disposition::Unspecified, 0), |header| (header.disposition(), header.arrivals))
}
