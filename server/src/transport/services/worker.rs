//! `WorkerService`: opens the stream; [`super::work`] lives on it.

use std::{pin::Pin, time::Duration};

use semel_core::{app::Role, id::Millis};
use semel_proto::v1::{self, work_request, worker_service_server::WorkerService};
use tokio::{sync::mpsc, time};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Services, work::Work};
use crate::{
    auth::Verdict,
    transport::{
        auth_layer::Authorization,
        convert::{time as times, worker as convert},
        gate::{self, Gate},
        status::Refusal,
    },
};

/// How long a worker may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages to a worker that wait for it to read. When it reads nothing, nothing of what it says is heard either, and
/// its leases run out: a worker that cannot receive never looks healthy.
const OUTBOX_MAX: usize = 64;

type Outbox = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for Services {
    type WorkStream = Outbox;

    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Outbox>, Status> {
        let (verdict, authorization) = Gate::stream_credentials(&request);
        let address = request.remote_addr().map(|address| address.ip());
        let mut inbox = request.into_inner();
        let first = time::timeout(HELLO_TIMEOUT, inbox.message()).await;
        let first = first.ok().transpose()?.flatten();
        let request_id = first.as_ref().and_then(|first| first.header.as_ref()).map(|header| header.request_id.clone());
        let opened = self.open(&verdict, authorization, address, first);
        let (work, opened) = opened.await.map_err(|refusal| {
            let request_id = request_id.unwrap_or_default();
            refusal.into_status(self.0.basis(&request_id, None, &verdict).header())
        })?;
        let (outbox, outgoing) = mpsc::channel(OUTBOX_MAX);
        tokio::spawn(work.live(opened, inbox, outbox));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl Services {
    async fn open(
        &self,
        verdict: &Verdict,
        authorization: Authorization,
        address: Option<std::net::IpAddr>,
        first: Option<v1::WorkRequest>,
    ) -> Result<(Work, v1::Opened), Refusal> {
        if let Some(refusal) = Refusal::of_verdict(verdict) {
            return Err(refusal);
        }
        self.0.served_anonymously(verdict);
        let principal = verdict.principal.clone().expect("a verdict that refuses nothing has a principal");
        let mut fields = self.0.fields();
        let hello = match first.and_then(|first| first.kind) {
            Some(work_request::Kind::Hello(hello)) => hello,
            _ => {
                fields.note("hello", "must be the first message, within 10 s");
                return Err(Refusal::invalid(fields.violations()));
            }
        };
        let app = match (hello.app.as_str(), &principal.app) {
            ("", Some(own)) => Some(own.clone()),
            ("", None) => {
                fields.note("hello.app", "must be given: the caller has no app of its own");
                None
            }
            (named, _) => fields.take("hello.app", semel_core::id::AppName::parse(named)),
        };
        let hello = convert::parse_hello(&mut fields, &hello, app);
        let Some(hello) = hello.filter(|_| fields.is_clean()) else {
            return Err(Refusal::invalid(fields.violations()));
        };
        principal.require(Role::Worker, &hello.app).map_err(gate::rejected)?;
        let engine = self.0.engine()?;
        let lease = engine.lease();
        let speaker = convert::Speaker { app: hello.app.clone(), worker_id: hello.worker_id };
        tracing::info!(worker_id = %hello.worker_id, worker_name = %hello.worker_name, app = %hello.app, "a worker connected");
        let (stream, stale) = engine.open_worker(hello).await.map_err(gate::refused)?;
        let opened = v1::Opened {
            heartbeat_interval: Some(times::duration(Millis((lease.0 / 3).max(1)))),
            lease_duration: Some(times::duration(lease)),
            stale: stale.into_iter().map(convert::attempt_ref).collect(),
        };
        let work = Work {
            gate: self.0.clone(),
            stream,
            speaker,
            verdict: verdict.clone(),
            authorization,
            address,
            warned: false,
        };
        Ok((work, opened))
    }
}
