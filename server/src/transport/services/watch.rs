//! `WatchService`: opens the streams of watchers. Stands beside the generated services and not among them, because what goes
//! to watchers was encoded before; see [`crate::transport::watch`].

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use semel_core::{
    id::{Millis, Revision},
    policy::Principal,
    rejection::Rejection,
};
use semel_proto::{fingerprint::Content as _, v1};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::{Grpc, NamedService, ServerStreamingService},
};

use super::{Services, standing::Standing};
use crate::{
    engine::{Handle, Refused},
    transport::{
        call::Call,
        gate::{self, Stage},
        status::Refusal,
        watch::{
            Full, Opening, Scope, Seat, Start, WATCHERS_PER_APP_MAX, Watch, WatchCodec, Wish, compacted, forbidden,
        },
    },
};

/// What callers are told to wait when the server has as many watchers as it takes.
const CROWDED_RETRY: Millis = Millis::from_secs(5);
const PATH: &str = "/semel.v1.WatchService/Watch";

impl Services {
    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Watch>, Status> {
        let standing = Standing::of(&self.gate, &request, v1::WatchRequest::MESSAGE);
        let (call, message) = Call::begin(&self.gate, request.into(), false);
        match call.in_time(self.open_watch(&call, standing, &message)).await {
            Ok(Ok(watch)) => Ok(Response::new(watch)),
            Ok(Err(refusal)) | Err(refusal) => Err(call.refuse(refusal)),
        }
    }

    /// Everything that can be wrong with a watch is found here, before its first message.
    async fn open_watch(
        &self,
        call: &Call<'_>,
        standing: Standing,
        message: &v1::WatchRequest,
    ) -> Result<Watch, Refusal> {
        let principal = call.principal()?;
        call.checked_id()?;
        let mut fields = self.gate.fields();
        let wish = Wish::parse(&mut fields, message, principal);
        let Wish { filter, start, snapshot, interval } = wish.ok_or_else(|| Refusal::invalid(fields.violations()))?;
        if !filter.is_open_to(principal) {
            return Err(forbidden(principal, &filter));
        }
        if *standing.stage().borrow() >= Stage::Going {
            return Err(gate::refused(Refused::Draining));
        }
        let engine = self.gate.engine()?;
        let shared = self.gate.hub.join(&self.gate).await?;
        let filter = Arc::new(filter);
        // The seat comes first: whatever is committed behind the position is then marked, or found by the first look.
        let seat = Seat::take(shared, &filter, principal.app.clone()).map_err(|full| crowded(full, principal))?;
        let scope = Scope::new(engine.history(), filter.fingerprint());
        let position = begin(&engine, &scope, &start)?;
        let oldest = engine.reader().oldest_revision().map_err(|error| Refusal::internal(&error))?;
        if start != Start::Now && position.next() < oldest {
            return Err(compacted(position, oldest));
        }
        Ok(Watch::open(Opening {
            gate: self.gate.clone(),
            seat,
            filter,
            standing,
            principal: principal.clone(),
            scope,
            position,
            oldest,
            snapshot,
            interval,
            deadline: call.deadline(),
        }))
    }
}

/// Behind which position a watch begins.
fn begin(engine: &Handle, scope: &Scope, start: &Start) -> Result<Revision, Refusal> {
    let committed = engine.committed();
    let invalid = |field: &str, problem: String| Err(Refusal::invalid(vec![(field.to_owned(), problem)]));
    match start {
        Start::Now => Ok(committed),
        Start::From(revision) if *revision > committed.next() => {
            invalid("from_revision", format!("lies ahead: the log is at {}", committed.0))
        }
        Start::From(revision) => Ok(Revision(revision.0 - 1)),
        Start::Token(token) => match scope.position(token) {
            Ok(position) if position > committed => {
                invalid("resume_token", format!("lies ahead: the log is at {}; start from a snapshot", committed.0))
            }
            Ok(position) => Ok(position),
            Err(fault) => invalid("resume_token", fault.as_str().to_owned()),
        },
    }
}

fn crowded(full: Full, principal: &Principal) -> Refusal {
    match full {
        Full::Server => gate::refused(Refused::Overloaded { retry_after: CROWDED_RETRY }),
        Full::App(app) => gate::rejected(Rejection::QuotaExceeded {
            app: app.or_else(|| principal.app.clone()).unwrap_or_else(semel_core::id::AppName::system),
            what: "watchers",
            limit: WATCHERS_PER_APP_MAX as u64,
        }),
    }
}

/// What the router takes: the one method of the service.
#[derive(Clone)]
pub(in crate::transport) struct WatchDoor {
    services: Services,
    message_bytes_max: usize,
}

impl WatchDoor {
    pub(in crate::transport) fn new(services: Services, message_bytes_max: usize) -> Self {
        Self { services, message_bytes_max }
    }
}

impl NamedService for WatchDoor {
    const NAME: &'static str = "semel.v1.WatchService";
}

impl Service<http::Request<Body>> for WatchDoor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("there is no such method").into_http());
            }
            let limit = Some(door.message_bytes_max);
            let mut grpc = Grpc::new(WatchCodec).apply_max_message_size_config(limit, limit);
            Ok(grpc.server_streaming(door, request).await)
        })
    }
}

impl ServerStreamingService<v1::WatchRequest> for WatchDoor {
    type Response = crate::transport::watch::Frame;
    type ResponseStream = Watch;
    type Future = BoxFuture<Response<Watch>, Status>;

    fn call(&mut self, request: Request<v1::WatchRequest>) -> Self::Future {
        let services = self.services.clone();
        Box::pin(async move { services.watch(request).await })
    }
}
