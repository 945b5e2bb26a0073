//! What is sent, in which order, and what is made of its acknowledgement. A message that changes something keeps its
//! request id until it is acknowledged, over any number of streams.

use std::time::Duration;

use semel_proto::v1::{Log, RequestHeader, TraceContext, WorkRequest, report::Outcome as Reported, work_request::Kind};
use tokio::{sync::mpsc::error::TrySendError, time::Instant};

use super::{
    TIMEOUT_MAX,
    attempt::{self, AttemptKey, Content, Held, Outgoing},
    link::Link,
    runtime::Runtime,
    timers::Timer,
};
use crate::{
    refusal::Refusal,
    retry::{self, Class},
};

/// After how long without an acknowledgement a message is sent again on the same stream.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// How many messages that are not sent again may wait to be sent; past that, progress is left out.
const CONTROL_MAX: usize = 1024;

impl Runtime {
    /// Puts a message in front that is of use only on the present stream.
    pub(super) fn control(&mut self, kind: Kind) {
        let room = self.control.len() < CONTROL_MAX || !matches!(kind, Kind::Progress(_));
        if matches!(self.link, Link::Up(_)) && room {
            self.control.push_back(WorkRequest { header: Some(RequestHeader::default()), kind: Some(kind) });
        }
    }

    /// Sends as much as the stream takes.
    pub(super) fn pump(&mut self, now: Instant) {
        let Link::Up(up) = &self.link else { return };
        let tx = up.tx.clone();
        loop {
            match tx.try_reserve() {
                Ok(room) => match self.control.pop_front().or_else(|| self.next_outgoing(now)) {
                    Some(message) => room.send(message),
                    None => return,
                },
                Err(TrySendError::Full(())) => {
                    if let Link::Up(up) = &mut self.link {
                        up.blocked = !self.control.is_empty() || !self.ready.is_empty();
                    }
                    return;
                }
                // The other half of the stream says why.
                Err(TrySendError::Closed(())) => return,
            }
        }
    }

    fn next_outgoing(&mut self, now: Instant) -> Option<WorkRequest> {
        loop {
            let key = self.ready.pop_front()?;
            let Some(held) = self.attempts.get_mut(&key).filter(|held| !held.in_flight) else { continue };
            let Some(head) = held.queue.front_mut() else { continue };
            if let Some(from) = head.not_before.filter(|from| *from > now) {
                self.timers.set(from, Timer::Resend(key));
                continue;
            }
            let id = head.request_id.get_or_insert_with(|| self.client.mint_request_id().to_string()).clone();
            head.sends += 1;
            head.sent_at = Some(now);
            held.in_flight = true;
            let message = message(&key, head, id.clone(), held.shared.assignment.trace_context.as_ref());
            self.acks.insert(id, key);
            return Some(message);
        }
    }

    /// Sends again what should have been acknowledged long ago.
    pub(super) fn resend_overdue(&mut self, now: Instant) {
        let overdue = |held: &Held| {
            let sent_at = held.queue.front().and_then(|head| head.sent_at);
            held.in_flight && sent_at.is_some_and(|sent_at| now.duration_since(sent_at) > ACK_TIMEOUT)
        };
        for (key, held) in &mut self.attempts {
            if overdue(held) {
                tracing::warn!(attempt = %key, "no acknowledgement came, sending again under the same id");
                held.in_flight = false;
                self.ready.push_back(key.clone());
            }
        }
    }

    pub(super) fn on_acknowledged(&mut self, key: &AttemptKey) {
        let Some(held) = self.attempts.get_mut(key) else { return };
        held.in_flight = false;
        let Some(head) = held.queue.pop_front() else { return };
        match head.content {
            Content::Log(chunk) => {
                held.shared.log.release(&chunk);
                self.ready.push_back(key.clone());
            }
            Content::Report { outcome, .. } => {
                self.attempts.remove(key);
                match outcome {
                    Reported::Succeeded(_) => self.summary.succeeded += 1,
                    Reported::Failed(_) => self.summary.failed += 1,
                    Reported::Cancelled(_) => self.summary.cancelled += 1,
                    Reported::Released(_) => self.summary.released += 1,
                }
            }
        }
    }

    pub(super) fn on_refused(&mut self, key: &AttemptKey, refusal: &Refusal, now: Instant) {
        refusal.header.iter().for_each(|header| self.client.core().transport.clock().learn(header));
        let Some(held) = self.attempts.get_mut(key) else { return };
        held.in_flight = false;
        let Some(head) = held.queue.front_mut() else { return };
        if refusal.reason() == Some("LEASE_STALE") {
            self.attempt_over(key, now);
            return;
        }
        match retry::classify(refusal) {
            // Never executed, and never sent before: a fresh id by the clock that was just learnt makes no second call.
            Class::IdFromFuture | Class::IdExpired if head.sends == 1 => {
                head.request_id = None;
                head.sends = 0;
                self.ready.push_back(key.clone());
            }
            class @ (Class::Passing(_) | Class::Fault | Class::Credentials | Class::IdFromFuture) => {
                head.refusals = head.refusals.saturating_add(1);
                let wait = match class {
                    Class::Passing(wait) => wait.unwrap_or_default().min(TIMEOUT_MAX),
                    _ => Duration::ZERO,
                };
                let jitter = self.reconnect.backoff(head.refusals, fastrand::f64());
                head.not_before = Some(now + wait + jitter);
                tracing::debug!(attempt = %key, reason = refusal.reason(), "refused for now, sending again later");
                self.ready.push_back(key.clone());
            }
            Class::IdExpired | Class::Final => self.on_refused_for_good(key, refusal, now),
        }
    }

    /// The server will never take this message. A piece of a log is left out. A report must not be: the server would
    /// wait for it for as long as this worker lives, so a failure that says what happened takes its place, once.
    fn on_refused_for_good(&mut self, key: &AttemptKey, refusal: &Refusal, now: Instant) {
        let Some(held) = self.attempts.get_mut(key) else { return };
        let Some(head) = held.queue.pop_front() else { return };
        tracing::warn!(attempt = %key, reason = refusal.reason(), message = %refusal.message, "refused for good");
        match head.content {
            Content::Log(chunk) => {
                held.shared.log.release(&chunk);
                self.ready.push_back(key.clone());
            }
            Content::Report { stand_in: false, .. } => {
                let error = format!("the server refused the report: {}", refusal.message);
                held.queue.push_front(Outgoing::stand_in(error));
                self.ready.push_back(key.clone());
            }
            Content::Report { stand_in: true, .. } => self.attempt_over(key, now),
        }
    }
}

fn message(key: &AttemptKey, outgoing: &Outgoing, request_id: String, context: Option<&TraceContext>) -> WorkRequest {
    let mut header = RequestHeader { request_id, ..Default::default() };
    let kind = match &outgoing.content {
        Content::Log(chunk) => Kind::Log(Log {
            run_id: key.run_id.to_string(),
            attempt: key.attempt,
            stream: chunk.stream.into(),
            data: chunk.data.clone(),
        }),
        Content::Report { outcome, .. } => {
            // The report stands where the attempt does.
            header.trace_context = context.cloned();
            Kind::Report(attempt::report(key, outcome.clone()))
        }
    };
    WorkRequest { header: Some(header), kind: Some(kind) }
}
