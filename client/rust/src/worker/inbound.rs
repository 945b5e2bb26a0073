//! What the server says, and what a worker does about it. Each message is one call; nothing here waits.

use std::time::Duration;

use semel_proto::v1::{
    Ack, AuthNotice, AuthStatus, CancelAttempt, GoingAway, Reauthenticate, ResponseHeader, WorkResponse,
    cancel_attempt::Reason, work_request, work_response::Kind,
};
use tokio::time::Instant;

use super::{
    attempt::{AttemptKey, Stop},
    given,
    link::Link,
    runtime::Runtime,
};
use crate::{auth::Signature, error::Error, refusal::Refusal};

/// How long renewing the token of an open stream may take, and how long to wait before it is tried again.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);
const RENEW_AGAIN: Duration = Duration::from_secs(2);

impl Runtime {
    pub(super) fn on_message(&mut self, message: WorkResponse, now: Instant) {
        self.lease.heard(now);
        self.failures = 0;
        let header = message.header.unwrap_or_default();
        self.client.core().transport.clock().learn(&header);
        match message.kind {
            Some(Kind::Assignment(assignment)) => self.on_assignment(assignment, now),
            Some(Kind::Ack(ack)) => self.on_ack(&header, ack, now),
            Some(Kind::CancelAttempt(cancel)) => self.on_cancel(&cancel, now),
            Some(Kind::AuthNotice(notice)) => self.on_auth_notice(&notice, now),
            Some(Kind::GoingAway(going)) => self.on_going_away(&going, now),
            Some(Kind::HeartbeatAck(_)) => {
                self.lease.answered();
                self.drain_unread = self.drain_unread.saturating_sub(1);
            }
            Some(Kind::Opened(_)) => tracing::debug!("opened twice, ignoring it"),
            // A message that this worker does not know yet.
            None => {}
        }
    }

    fn on_ack(&mut self, header: &ResponseHeader, ack: Ack, now: Instant) {
        let Some(key) = self.acks.remove(&header.request_id) else {
            tracing::debug!(request_id = %header.request_id, "an acknowledgement that nothing waits for");
            return;
        };
        match ack.refused {
            None => self.on_acknowledged(&key),
            Some(status) => self.on_refused(&key, &Refusal::from_status(status), now),
        }
    }

    fn on_cancel(&mut self, cancel: &CancelAttempt, now: Instant) {
        let key = AttemptKey::new(&cancel.run_id, cancel.attempt);
        match cancel.reason() {
            Reason::TimedOut | Reason::LeaseStale => self.attempt_over(&key, now),
            Reason::Cancelled | Reason::Unspecified => self.stop(&key, Stop::Cancelled, now),
        }
    }

    fn on_auth_notice(&mut self, notice: &AuthNotice, now: Instant) {
        let status = notice.auth.as_ref().map_or(AuthStatus::Unspecified, |auth| auth.status());
        if status == AuthStatus::Expiring {
            let Link::Up(up) = &self.link else { return };
            match up.fresh_until.filter(|until| *until > now) {
                Some(until) => self.renew_at = Some(until),
                None => self.renew_token(),
            }
        } else {
            tracing::warn!(status = status.as_str_name(), "the credentials of the stream are refused");
        }
    }

    pub(super) fn renew_token(&mut self) {
        self.renew_at = None;
        let Link::Up(up) = &self.link else { return };
        if !self.client.core().auth.can_refresh() {
            tracing::warn!("the credentials end soon and cannot be renewed; start the worker with fresh ones");
            return;
        }
        if self.renewing.is_some() {
            return;
        }
        let (client, generation) = (self.client.clone(), up.generation);
        self.renewing = Some(Box::pin(async move {
            let core = client.core();
            core.auth.refresh(core, generation, std::time::Instant::now() + RENEW_TIMEOUT).await
        }));
    }

    pub(super) fn on_renewed(&mut self, signature: Result<Signature, Error>, now: Instant) {
        let Link::Up(up) = &mut self.link else { return };
        match signature {
            Ok(Signature { bearer, generation, renew_at }) => {
                up.generation = generation;
                up.fresh_until = renew_at.map(Instant::from_std);
                let token = bearer.as_ref().and_then(|bearer| bearer.to_str().ok()?.strip_prefix("Bearer "));
                let token = token.unwrap_or_default().to_owned();
                self.control(work_request::Kind::Reauthenticate(Reauthenticate { token }));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew the token of the stream yet");
                self.renew_at = Some(now + RENEW_AGAIN);
            }
        }
    }

    fn on_going_away(&mut self, going: &GoingAway, now: Instant) {
        let after = given(going.reconnect_after);
        tracing::info!(after = ?after, "the server is going away, reconnecting");
        self.lose_link(now, after);
    }
}
