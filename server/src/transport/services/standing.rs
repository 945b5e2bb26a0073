//! How the credentials of an open stream stand: judged when it opens, again while it lives, and whenever something that
//! they rest on has changed. What follows from a verdict is the stream's to say.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use semel_core::id::Millis;
use semel_proto::v1;
use tokio::sync::watch;
use tonic::{Code, Request, Status};

use crate::{
    auth::Verdict,
    engine::{Directory, spread},
    logs::audit::Caller,
    observe::Slot,
    transport::{
        audit::{self, Asked},
        auth_layer::{Arrival, Brought},
        convert::{header, time as times},
        gate::{Gate, Stage},
        status::Refusal,
    },
};

/// How often the credentials of a stream are judged again.
pub(super) const RECHECK: Duration = Duration::from_secs(2);
/// How long before their end credentials are said to end soon.
const EXPIRING_AHEAD: Millis = Millis::from_secs(60);
/// Callers come back this long after a server has gone away, or later by up to a half of it: not all at once.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// See the module.
pub(in crate::transport) struct Standing {
    verdict: Verdict,
    brought: Brought,
    address: Option<IpAddr>,
    /// What the verdict was judged by.
    directory: Option<Arc<Directory>>,
    /// Whether the caller was told that its credentials end soon.
    warned: bool,
    /// The full name of the messages of the stream.
    message: &'static str,
    /// Where is told what is found out about the stream.
    slot: Slot,
    /// How far its connection is on its way out: as far as the server, or further.
    stage: watch::Receiver<Stage>,
}

impl Standing {
    /// As it was judged at its arrival.
    pub(in crate::transport) fn of<T>(gate: &Gate, request: &Request<T>, message: &'static str) -> Self {
        let Arrival { verdict, brought, slot, .. } = Arrival::of(request);
        let address = brought.address();
        slot.tell(|facts| facts.verdict = Some(verdict.clone()));
        let stage =
            brought.peer.as_ref().map_or_else(|| gate.settings.stage.clone(), |peer| peer.leaving().subscribe());
        Self { verdict, brought, address, directory: None, warned: false, message, slot, stage }
    }

    pub(in crate::transport) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// How far its connection is on its way out.
    pub(in crate::transport) fn stage(&self) -> &watch::Receiver<Stage> {
        &self.stage
    }

    /// Where is told what is found out about the stream.
    pub(in crate::transport) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The address that the stream comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What the audit log is told of the caller.
    pub(super) fn caller(&self) -> Caller {
        audit::caller(&self.verdict, self.address)
    }

    /// Tells the audit log of a refusal of the stream, or of something on it that has this id.
    pub(super) fn audit(&self, gate: &Gate, refusal: &Refusal, message: &'static str, request_id: &str) {
        let Self { verdict, address, .. } = self;
        gate.audit_refusal(refusal, &Asked { message, app: "", request_id, verdict, address: *address });
    }

    /// The end of the stream by a refusal.
    pub(in crate::transport) fn refuse(&self, gate: &Gate, refusal: Refusal) -> Status {
        refusal.tell(&self.slot);
        self.audit(gate, &refusal, self.message, "");
        refusal.into_status(gate.basis("", None, &self.verdict).header())
    }

    /// The refusal that the verdict is, if it is one.
    pub(in crate::transport) fn refusal(&self) -> Option<Refusal> {
        Refusal::of_verdict(&self.verdict)
    }

    /// Fresh credentials have come; they count with the next judgement.
    pub(in crate::transport) fn renew(&mut self, fresh: &v1::Reauthenticate) {
        let authorization = HeaderValue::try_from(format!("Bearer {}", fresh.token));
        // What no header could carry is no token either, and is judged as one that cannot be read.
        self.brought.authorization = Some(authorization.unwrap_or(HeaderValue::from_static("Bearer")));
    }

    /// Judges the credentials again: they may have ended, or been taken back, and fresh ones may have come.
    pub(in crate::transport) fn judge(&mut self, gate: &Gate) {
        self.directory = gate.directory();
        self.verdict = gate.judge(self.brought.shown(), self.address);
        self.slot.tell(|facts| facts.verdict = Some(self.verdict.clone()));
    }

    /// Whether the verdict may be another one by now. Cheap: for each message.
    pub(in crate::transport) fn is_stale(&self, gate: &Gate) -> bool {
        let is_over = self.verdict.expire_time.is_some_and(|end| end <= gate.now());
        let same = match (&self.directory, gate.directory()) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, &now),
            (then, now) => then.is_none() && now.is_none(),
        };
        is_over || !same
    }

    /// Whether the caller must be told that its credentials end soon; it is told once.
    pub(in crate::transport) fn is_to_be_warned(&mut self, gate: &Gate) -> bool {
        let soon = self.verdict.expire_time.is_some_and(|end| end <= gate.now().plus(EXPIRING_AHEAD));
        let warn = soon && !self.warned;
        self.warned = soon;
        warn
    }

    /// How long until something is to be said of the credentials, if time alone brings it about.
    pub(in crate::transport) fn due_in(&self, gate: &Gate) -> Option<Duration> {
        let end = self.verdict.expire_time?;
        let next = if self.warned { end } else { end.minus(EXPIRING_AHEAD) };
        Some(Duration::from_millis(u64::try_from(next.0 - gate.now().0).unwrap_or(0)))
    }

    /// Word of the verdict; or of this status, if it is another.
    pub(in crate::transport) fn notice(&self, status: Option<v1::AuthStatus>) -> v1::AuthNotice {
        let mut auth = header::auth_result(&self.verdict);
        if let Some(status) = status {
            auth.status = status.into();
        }
        v1::AuthNotice { auth: Some(auth) }
    }
}

/// What the caller of a stream is told before the server stops.
pub(in crate::transport) fn going_away() -> v1::GoingAway {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let after = spread(RECONNECT_AFTER, TOLD.fetch_add(1, Ordering::Relaxed));
    v1::GoingAway { reconnect_after: Some(times::duration(after)) }
}

/// The refusal of a message on a stream that could not be read; none where the caller has only gone.
pub(super) fn unread(status: &Status) -> Option<Refusal> {
    match status.code() {
        Code::Cancelled | Code::Unknown | Code::Unavailable => None,
        Code::ResourceExhausted => Some(Refusal::crowded(status.message())),
        _ => Some(Refusal::invalid(vec![("message".to_owned(), format!("cannot be read: {}", status.message()))])),
    }
}
