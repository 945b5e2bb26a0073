//! One call: what is known of it from its arrival to its answer.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use semel_core::{
    id::{Millis, RequestId},
    policy::Principal,
    trace::TraceContext,
    window::Told,
};
use semel_proto::{fingerprint, v1};
use tokio::time::{self, Instant};
use tonic::{Request, Status};

use super::{
    audit::Asked,
    auth_layer::Arrival,
    convert::{fields, header::Basis},
    deadline,
    gate::{self, Gate},
    held::Held,
    status::Refusal,
    told, trace,
};
use crate::{auth::Verdict, clock, observe::Slot, otlp::Place};

/// A call whose message is there.
pub(super) struct Arrived<R> {
    pub(super) headers: HeaderMap,
    pub(super) arrival: Arrival,
    pub(super) message: R,
}

impl<R> From<Request<R>> for Arrived<R> {
    fn from(request: Request<R>) -> Self {
        let (metadata, mut extensions, message) = request.into_parts();
        let headers = metadata.into_headers();
        Self { headers, arrival: Arrival::take(&mut extensions), message }
    }
}

/// See the module.
pub(super) struct Call<'g> {
    pub(super) gate: &'g Gate,
    pub(super) verdict: Verdict,
    pub(super) address: Option<std::net::IpAddr>,
    /// The full name of its message.
    message_name: &'static str,
    /// The app that it names, if the audit log wants to know.
    app: String,
    request_id: String,
    parsed_id: Option<RequestId>,
    /// How long its caller waited for the answer at its arrival, and until when that is.
    patience: Option<Duration>,
    deadline: Option<Instant>,
    /// What it says of other tries.
    pub(super) told: Option<Told>,
    /// Where it stands in a trace.
    place: Option<Place>,
    /// Where it is told what is found out about it.
    pub(super) slot: Slot,
    /// What is kept of its request, until its answer.
    _held: Option<Arc<Held>>,
}

impl<'g> Call<'g> {
    /// One that changes something may begin a trace.
    pub(super) fn begin<R: fingerprint::Request>(gate: &'g Gate, arrived: Arrived<R>, changes: bool) -> (Self, R) {
        let Arrived { headers, arrival, message } = arrived;
        let patience = deadline::of(&headers);
        let deadline = patience.and_then(|patience| clock::timer_now().checked_add(patience));
        let told = told::of(&headers);
        let caller = trace::of(&headers);
        drop(headers);
        let Arrival { verdict, brought, held, slot } = arrival;
        let address = brought.address();
        let request_id = message.header().map(|header| header.request_id.clone()).unwrap_or_default();
        let parsed_id = fields::parse_request_id(&request_id);
        let app = if gate.audit().is_some() { message.app().to_owned() } else { String::new() };
        let in_header = || trace::of_message(message.header()?.trace_context.as_ref());
        let place = gate.settings.tracer.arrive(caller.or_else(in_header), changes);
        slot.tell(|facts| {
            facts.place.clone_from(&place);
            facts.tries = told;
            facts.verdict = Some(verdict.clone());
            facts.request_id.clone_from(&request_id);
            facts.client = message.header().and_then(|header| header.client.clone()).map(|c| (c.name, c.version));
        });
        let (message_name, _held) = (R::MESSAGE, held);
        let call = Self {
            gate,
            verdict,
            address,
            message_name,
            app,
            request_id,
            parsed_id,
            patience,
            deadline,
            told,
            place,
            slot,
            _held,
        };
        (call, message)
    }

    /// Whoever calls, if it may be served at all.
    pub(super) fn principal(&self) -> Result<&Arc<Principal>, Refusal> {
        if let Some(refusal) = Refusal::of_verdict(&self.verdict) {
            return Err(refusal);
        }
        self.gate.served_anonymously(&self.verdict, 1);
        let nobody = || Refusal::of_verdict(&Verdict::refused(crate::auth::Status::Missing));
        self.verdict.principal.as_ref().ok_or_else(|| nobody().expect("a missing credential is a refusal"))
    }

    /// The id, which a call that changes something must have.
    pub(super) fn required_id(&self) -> Result<RequestId, Refusal> {
        gate::required_id(&self.request_id, self.parsed_id)
    }

    /// The id, which a read may have; but one that is there must be one.
    pub(super) fn checked_id(&self) -> Result<(), Refusal> {
        if self.request_id.is_empty() || self.parsed_id.is_some() { Ok(()) } else { Err(gate::id_malformed()) }
    }

    pub(super) fn basis(&self) -> Basis<'_> {
        self.gate.basis(&self.request_id, self.parsed_id, &self.verdict)
    }

    /// Where in a trace that stands which it makes.
    pub(super) fn trace(&self) -> Option<Box<TraceContext>> {
        self.place.as_ref().map(|place| Box::new(place.context().clone()))
    }

    /// The header of a read.
    pub(super) fn read_header(&self) -> Option<v1::ResponseHeader> {
        Some(self.basis().read())
    }

    /// The moment from which on no answer would be in time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The same moment by the clock that the engine goes by, of a call that has just arrived.
    pub(super) fn engine_deadline(&self) -> Option<Millis> {
        let left = i64::try_from(self.patience?.as_millis()).unwrap_or(i64::MAX);
        Some(Millis(self.gate.settings.clock.steady().0.saturating_add(left)))
    }

    /// Waits for something no longer than the caller does. What it waits for is not cancelled by it.
    pub(super) async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Refusal> {
        match self.deadline {
            Some(deadline) => time::timeout_at(deadline, future).await.map_err(|_| Refusal::outcome_unknown()),
            None => Ok(future.await),
        }
    }

    /// Tells the audit log of a refusal.
    pub(super) fn audit(&self, refusal: &Refusal) {
        let Self { message_name: message, app, request_id, verdict, address, .. } = self;
        self.gate.audit_refusal(refusal, &Asked { message, app, request_id, verdict, address: *address });
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Status {
        refusal.tell(&self.slot);
        self.audit(&refusal);
        refusal.into_status(self.basis().header())
    }
}
