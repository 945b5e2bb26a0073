//! How the credentials of an open stream stand: judged when it opens, again while it lives, and whenever something that
//! they rest on has changed. What follows from a verdict is the stream's to say.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderValue;
use semel_core::id::Millis;
use semel_proto::v1;
use tonic::{Request, Status};

use crate::{
    auth::Verdict,
    engine::Directory,
    observe::Slot,
    transport::{
        auth_layer::Brought,
        convert::{header, time as times},
        gate::Gate,
        status::Refusal,
    },
};

/// How often the credentials of a stream are judged again.
pub(super) const RECHECK: Duration = Duration::from_secs(2);
/// How long before their end credentials are said to end soon.
const EXPIRING_AHEAD: Millis = Millis::from_secs(60);
/// Callers come back this long after a server has gone away.
const RECONNECT_AFTER: Millis = Millis(500);

/// See the module.
pub(in crate::transport) struct Standing {
    verdict: Verdict,
    brought: Brought,
    address: Option<IpAddr>,
    /// What the verdict was judged by.
    directory: Option<Arc<Directory>>,
    /// Whether the caller was told that its credentials end soon.
    warned: bool,
    /// Where is told what is found out about the stream.
    slot: Slot,
}

impl Standing {
    /// As it was judged at its arrival.
    pub(in crate::transport) fn of<T>(request: &Request<T>) -> Self {
        let (verdict, brought) = Gate::stream_credentials(request);
        let address = request.remote_addr().map(|address| address.ip());
        let slot = Gate::slot(request);
        slot.tell(|facts| facts.verdict = Some(verdict.clone()));
        Self { verdict, brought, address, directory: None, warned: false, slot }
    }

    pub(in crate::transport) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Where is told what is found out about the stream.
    pub(in crate::transport) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The end of the stream by a refusal.
    pub(in crate::transport) fn refuse(&self, gate: &Gate, refusal: Refusal) -> Status {
        refusal.tell(&self.slot);
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
    v1::GoingAway { reconnect_after: Some(times::duration(RECONNECT_AFTER)) }
}
