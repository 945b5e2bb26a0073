//! Through here goes every call: credentials, then the id, then the fields, then the engine.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use semel_core::{
    app::Role,
    command::Command,
    id::{AppName, Millis, RequestId, Timestamp},
    policy::Principal,
    window::{Fingerprint, Window},
};
use semel_proto::fingerprint;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use super::{
    audit,
    call::{Arrived, Call},
    convert::{
        fields::Fields,
        header::Basis,
        reply::{Body, FromAnswer},
    },
    lists::Lists,
    quota::{QuotaRules, Quotas, UnderWay},
    status::Refusal,
    watch::Hub,
};
use crate::{
    auth::{Authenticator, Moment, Shown, Verdict, jwt::Issuers},
    clock::Clock,
    engine::{Directory, Envelope, Handle, Pending, Refused},
    logs::audit::Audit,
    metrics::WatchSeen,
    otlp::Tracer,
};

/// What the gate must know of the server.
pub(crate) struct Settings {
    pub(crate) authenticator: Authenticator,
    pub(crate) clock: Clock,
    pub(crate) payload_bytes_max: usize,
    pub(crate) message_bytes_max: usize,
    /// What requests without an answer may hold together.
    pub(crate) intake_bytes_max: usize,
    /// What answers that have not left may hold together.
    pub(crate) answer_bytes_max: usize,
    /// Wishes that may wait for the engine.
    pub(crate) queue_max: usize,
    /// What each app may ask for.
    pub(crate) quota: QuotaRules,
    pub(crate) server_id: String,
    pub(crate) store_kind: &'static str,
    /// Where is written who changed what, and who was refused.
    pub(crate) audit: Option<Audit>,
    /// Where calls and runs stand in traces.
    pub(crate) tracer: Tracer,
    /// How far the server is on its way out.
    pub(crate) stage: watch::Receiver<Stage>,
}

/// How far a server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not at all.
    Serving,
    /// About to stop: streams are told so, and waits end.
    Going,
    /// Whoever has not ended by now is left: a peer that reads nothing must not keep the store open.
    Cut,
}

/// Comes back once a server is so far on its way out.
pub(super) async fn reached(stage: &watch::Receiver<Stage>, awaited: Stage) {
    let _ = stage.clone().wait_for(|stage| *stage >= awaited).await;
}

/// See the module.
pub(crate) struct Gate {
    pub(super) settings: Settings,
    pub(super) start_time: Timestamp,
    engine: ArcSwapOption<Handle>,
    pub(super) lists: Lists,
    pub(super) quotas: Quotas,
    /// What all watchers share.
    pub(super) hub: Hub,
    anonymous_calls: AtomicU64,
}

impl Gate {
    pub(crate) fn new(settings: Settings) -> Self {
        let start_time = settings.clock.wall();
        let quotas = Quotas::new(settings.quota.clone());
        let (engine, lists, hub) = (ArcSwapOption::empty(), Lists::default(), Hub::default());
        Self { settings, start_time, engine, lists, quotas, hub, anonymous_calls: AtomicU64::new(0) }
    }

    /// The store is loaded: from now on calls are served.
    pub(crate) fn open(&self, engine: Handle) {
        self.engine.store(Some(Arc::new(engine)));
    }

    /// The server has ended: whoever still holds the gate no longer holds the store.
    pub(crate) fn close(&self) {
        self.engine.store(None);
    }

    /// The engine, for reads and for the streams of workers. Not for services: they go through the methods below.
    pub(super) fn engine(&self) -> Result<Arc<Handle>, Refusal> {
        self.engine.load_full().ok_or_else(|| refused(Refused::NoOwner))
    }

    /// The engine for those who only look at how it is doing; none before the store is loaded, and after the end.
    pub(crate) fn handle(&self) -> Option<Arc<Handle>> {
        self.engine.load_full()
    }

    /// Who watches.
    pub(crate) fn watched(&self) -> Option<WatchSeen> {
        self.handle().map(|engine| self.hub.seen(engine.committed()))
    }

    /// Time that only grows.
    pub(crate) fn steady(&self) -> Millis {
        self.settings.clock.steady()
    }

    /// How many were served without credentials, items of streams among them.
    pub(crate) fn anonymous_calls(&self) -> u64 {
        self.anonymous_calls.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.load().as_ref().map_or_else(|| self.settings.clock.wall(), |engine| engine.time())
    }

    pub(super) fn moment(&self, address: Option<IpAddr>) -> Moment {
        Moment { now: self.now(), steady: self.settings.clock.steady(), address }
    }

    /// All credentials, as of now; none before the store is loaded.
    pub(super) fn directory(&self) -> Option<Arc<Directory>> {
        self.engine.load().as_ref().map(|engine| engine.directory())
    }

    pub(super) fn window(&self) -> Option<Window> {
        self.engine.load().as_ref().map(|engine| *engine.window())
    }

    /// The outside issuers, whose keys somebody must bring.
    pub(crate) fn issuers(&self) -> &Issuers {
        self.settings.authenticator.issuers()
    }

    pub(super) fn judge(&self, shown: Shown<'_>, address: Option<IpAddr>) -> Verdict {
        let directory = self.directory();
        self.settings.authenticator.judge(directory.as_deref(), shown, self.moment(address))
    }

    /// The refusal of a verdict, for services that know no header of ours.
    pub(super) fn bar(&self, verdict: &Verdict) -> Option<Status> {
        let refusal = Refusal::of_verdict(verdict)?;
        Some(refusal.into_status(self.basis("", None, verdict).header()))
    }

    pub(super) fn fields(&self) -> Fields {
        Fields::new(self.settings.payload_bytes_max)
    }

    pub(super) fn basis<'a>(
        &'a self,
        request_id: &'a str,
        parsed_id: Option<RequestId>,
        verdict: &'a Verdict,
    ) -> Basis<'a> {
        Basis {
            request_id,
            parsed_id,
            verdict,
            window: self.window(),
            now: self.now(),
            server_id: &self.settings.server_id,
        }
    }

    /// The way of every call that changes something.
    pub(super) async fn mutate<R, P>(
        &self,
        request: Request<R>,
        parse: impl FnOnce(&R, AppName, &mut Fields) -> Option<Command>,
    ) -> Result<Response<P>, Status>
    where
        R: fingerprint::Request,
        P: FromAnswer,
    {
        self.change(request.into(), parse).await.map(Response::new)
    }

    /// The same, of a call that came past the library. It has gone into the engine when this comes back; what comes back waits
    /// for its answer, and holds no more than that takes.
    pub(super) fn change<R, P>(
        &self,
        arrived: Arrived<R>,
        parse: impl FnOnce(&R, AppName, &mut Fields) -> Option<Command>,
    ) -> impl Future<Output = Result<P, Status>>
    where
        R: fingerprint::Request,
        P: FromAnswer,
    {
        let (call, message) = Call::begin(self, arrived, true);
        let handed_in = self.hand_in(&call, &message, parse);
        drop(message);
        async move {
            let answered = match handed_in {
                Ok(HandedIn { request_id, pending, _under_way }) => match call.in_time(pending).await {
                    Ok(Ok(answer)) => Ok((request_id, answer)),
                    Ok(Err(refused)) => Err(Refusal::of_refused(refused, R::leaf_name)),
                    Err(late) => Err(late),
                },
                Err(refusal) => Err(refusal),
            };
            match answered {
                Ok((request_id, answer)) => {
                    call.slot.tell_answer(&answer);
                    let header = call.basis().answered(&answer);
                    let keyring = self.settings.authenticator.keyring();
                    Ok(P::from_answer(Body { header, answer: &answer, request_id, keyring }))
                }
                Err(refusal) => Err(call.refuse(refusal)),
            }
        }
    }

    /// Judges a change, and hands it to the engine.
    fn hand_in<R: fingerprint::Request>(
        &self,
        call: &Call<'_>,
        message: &R,
        parse: impl FnOnce(&R, AppName, &mut Fields) -> Option<Command>,
    ) -> Result<HandedIn, Refusal> {
        let principal = call.principal()?;
        let request_id = call.required_id()?;
        let mut envelope = self.envelope(principal, request_id, message, parse)?;
        call.slot.tell(|facts| facts.app = Some(envelope.app().clone()));
        envelope.audit(self.audit(), audit::caller(&call.verdict, call.address));
        envelope.arrive(call.told, call.trace(), call.engine_deadline());
        let under_way = self.enter_to_change(principal, envelope.command())?;
        let charge = self.charge(principal, envelope.command())?;
        match self.engine()?.enqueue(envelope) {
            Ok(pending) => Ok(HandedIn { request_id, pending, _under_way: under_way }),
            Err(error) => {
                charge.give_back();
                Err(refused(error))
            }
        }
    }

    /// What goes into the engine for something that changes something, be it a call of its own or an item of a stream.
    pub(super) fn envelope<R: fingerprint::Request>(
        &self,
        principal: &Arc<Principal>,
        request_id: RequestId,
        message: &R,
        parse: impl FnOnce(&R, AppName, &mut Fields) -> Option<Command>,
    ) -> Result<Envelope, Refusal> {
        let mut fields = self.fields();
        let app = meant_app(principal, message.app(), &mut fields);
        let command = app.and_then(|app| parse(message, app, &mut fields));
        let command = match command {
            Some(command) if fields.is_clean() => command,
            _ => return Err(Refusal::invalid(fields.violations())),
        };
        let fingerprint = if command.scope() == *command.app() {
            message.fingerprint()
        } else {
            message.fingerprint_with_app(command.app().as_str())
        };
        Ok(Envelope::new(principal.clone(), request_id, stored(fingerprint), command))
    }

    /// The way of every call that only reads what belongs to an app. `look` gets the app, once the caller has proved its
    /// right to view it.
    pub(super) async fn read<R, P>(
        &self,
        request: Request<R>,
        look: impl AsyncFnOnce(&Call<'_>, &R, AppName, Fields) -> Result<P, Refusal>,
    ) -> Result<Response<P>, Status>
    where
        R: fingerprint::Request,
    {
        let (call, message) = Call::begin(self, request.into(), false);
        let result = async {
            let principal = call.principal()?;
            call.checked_id()?;
            let mut fields = self.fields();
            let Some(app) = meant_app(principal, message.app(), &mut fields) else {
                return Err(Refusal::invalid(fields.violations()));
            };
            call.slot.tell(|facts| facts.app = Some(app.clone()));
            principal.require(Role::Viewer, &app).map_err(rejected)?;
            let _under_way = self.enter(&app)?;
            call.in_time(look(&call, &message, app, fields)).await?
        };
        result.await.map(Response::new).map_err(|refusal| call.refuse(refusal))
    }

    /// The way of calls that belong to no app, or judge for themselves. `look` gets whoever may be served at all.
    pub(super) async fn serve<R, P>(
        &self,
        request: Request<R>,
        look: impl AsyncFnOnce(&Call<'_>, &R, &Principal) -> Result<P, Refusal>,
    ) -> Result<Response<P>, Status>
    where
        R: fingerprint::Request,
    {
        let (call, message) = Call::begin(self, request.into(), false);
        let result = async {
            let principal = call.principal()?;
            call.checked_id()?;
            call.in_time(look(&call, &message, principal)).await?
        };
        result.await.map(Response::new).map_err(|refusal| call.refuse(refusal))
    }

    pub(super) fn served_anonymously(&self, verdict: &Verdict, count: usize) {
        if verdict.status == crate::auth::Status::NotRequired {
            let before = self.anonymous_calls.fetch_add(count as u64, Ordering::Relaxed);
            let calls = before + count as u64;
            tracing::debug!(calls, "served a caller without credentials");
            if before.checked_ilog2() != calls.checked_ilog2() {
                tracing::info!(calls, "callers without credentials are being served; see auth.mode");
            }
        }
    }
}

/// A change that the engine has.
struct HandedIn {
    request_id: RequestId,
    pending: Pending,
    _under_way: UnderWay,
}

pub(super) fn rejected(rejection: semel_core::rejection::Rejection) -> Refusal {
    Refusal::of_rejection(rejection, |_| "")
}

pub(super) fn refused(error: Refused) -> Refusal {
    Refusal::of_refused(error, |_| "")
}

/// The app that is meant: the one named, or that of the caller.
fn meant_app(principal: &Principal, named: &str, fields: &mut Fields) -> Option<AppName> {
    if !named.is_empty() {
        return fields.take("app", AppName::parse(named));
    }
    if principal.app.is_none() {
        fields.note("app", "must be given: the caller has no app of its own");
    }
    principal.app.clone()
}

/// The id, which whatever changes something must have: as it was sent, and as it was read.
pub(super) fn required_id(text: &str, parsed: Option<RequestId>) -> Result<RequestId, Refusal> {
    if text.is_empty() {
        return Err(id_missing());
    }
    parsed.ok_or_else(id_malformed)
}

/// The fingerprint as it is remembered.
pub(super) fn stored(fingerprint: fingerprint::Fingerprint) -> Fingerprint {
    Fingerprint { version: fingerprint.version, digest: fingerprint.digest, leaves: fingerprint.leaves }
}

fn id_missing() -> Refusal {
    let message = "the header has no request_id; mint a UUIDv7 once per logical call, and keep it over retries";
    Refusal::new(Code::InvalidArgument, "REQUEST_ID_MISSING", message)
}

pub(super) fn id_malformed() -> Refusal {
    let message = "the request_id must be a UUIDv7 in its 36 character form";
    Refusal::new(Code::InvalidArgument, "REQUEST_ID_MALFORMED", message)
}
