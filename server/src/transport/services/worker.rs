//! `WorkerService`: opens the stream; [`super::work`] lives on it.

use std::{pin::Pin, time::Duration};

use semel_core::{app::Role, id::Millis};
use semel_proto::{
    fingerprint::Content as _,
    v1::{self, work_request, worker_service_server::WorkerService},
};
use tokio::time;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{Services, outbox::Outbox, standing::Standing, work::Work};
use crate::transport::{
    asker::Asker,
    audit::Asked,
    convert::{time as times, worker as convert},
    gate,
    status::Refusal,
};

/// How long a worker may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
type Answers = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkerService for Services {
    type WorkStream = Answers;

    async fn work(&self, request: Request<Streaming<v1::WorkRequest>>) -> Result<Response<Answers>, Status> {
        let standing = Standing::of(&self.gate, &request, v1::WorkRequest::MESSAGE);
        let (verdict, slot, address) = (standing.verdict().clone(), standing.slot().clone(), standing.address());
        let mut inbox = request.into_inner();
        let first = time::timeout(HELLO_TIMEOUT, inbox.message()).await;
        let first = first.ok().transpose()?.flatten();
        let request_id = first.as_ref().and_then(|first| first.header.as_ref()).map(|header| header.request_id.clone());
        let opened = self.open(standing, first);
        let (work, opened) = opened.await.map_err(|refusal| {
            let request_id = request_id.unwrap_or_default();
            refusal.tell(&slot);
            let (message, request_id) = (v1::WorkRequest::MESSAGE, request_id.as_str());
            self.gate.audit_refusal(&refusal, &Asked { message, app: "", request_id, verdict: &verdict, address });
            refusal.into_status(self.gate.basis(request_id, None, &verdict).header())
        })?;
        let asker = Asker { gate: self.gate.clone(), verdict, slot };
        let (outbox, answers) = Outbox::open(self.shelf.clone(), asker);
        tokio::spawn(work.live(opened, inbox, outbox));
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Services {
    async fn open(&self, standing: Standing, first: Option<v1::WorkRequest>) -> Result<(Work, v1::Opened), Refusal> {
        if let Some(refusal) = standing.refusal() {
            return Err(refusal);
        }
        let verdict = standing.verdict();
        self.gate.served_anonymously(verdict, 1);
        let principal = verdict.principal.clone().expect("a verdict that refuses nothing has a principal");
        let mut fields = self.gate.fields();
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
        let engine = self.gate.engine()?;
        let lease = engine.lease();
        let speaker = convert::Speaker { app: hello.app.clone(), worker_id: hello.worker_id };
        tracing::info!(worker_id = %hello.worker_id, worker_name = %hello.worker_name, app = %hello.app, "a worker connected");
        let (stream, stale) = engine.open_worker(hello).await.map_err(gate::refused)?;
        let opened = v1::Opened {
            heartbeat_interval: Some(times::duration(Millis((lease.0 / 3).max(1)))),
            lease_duration: Some(times::duration(lease)),
            stale: stale.into_iter().map(convert::attempt_ref).collect(),
        };
        let work = Work { gate: self.gate.clone(), stream, speaker, standing };
        Ok((work, opened))
    }
}
