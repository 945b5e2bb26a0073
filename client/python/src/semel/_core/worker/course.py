"""The course of a worker: messages, handlers, timers and the shutdown all come to this one place, one at a time, and what
is to be done comes out as actions. What each of them means stands in `lifecycle` (handlers) and `outbound` (what is sent).

What it promises to the server: everything that changes something bears a request id, minted when it is first sent and kept
over reconnects, until it is acknowledged. What it promises to a handler: it is told at once when it is to stop, also when
the lease must be presumed lost because the server was not heard of for too long.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from semel import v1
from semel._core.auth import Signature
from semel._core.core import Core
from semel._core.refusal import Refusal
from semel._core.worker import events
from semel._core.worker.books import Books, Phase, Timer, WorkerSettings
from semel._core.worker.events import Came, DialEnded, Dialled, Ended, Logged, Progressed, Renewed, Shutdown
from semel._core.worker.held import Key
from semel._core.worker.lease import Lease
from semel._core.worker.lifecycle import Lifecycle
from semel._core.worker.link import RECONNECT
from semel._core.worker.outbound import Outbound
from semel._core.worker.outcome import Stop, Summary
from semel.errors import Error, Kind

log = logging.getLogger("semel.worker")

IDLE_WAKE = 5.0
"""How often a worker with nothing to do looks around all the same, in seconds."""
FLUSH_TIMEOUT = 10.0
"""How long a worker that has stopped its handlers waits for the last acknowledgements, in seconds."""
WAIT_MAX = 7 * 24 * 3600.0
"""The longest that a server may ask to wait, in seconds."""
RENEW_AGAIN = 2.0
"""How long to wait before renewing a token is tried again, in seconds."""


class Course:
    """See the module."""

    def __init__(self, core: Core, settings: WorkerSettings, now: float) -> None:
        self.books = Books(core, settings)
        self.lifecycle = Lifecycle(self.books)
        self.outbound = Outbound(self.books, self.lifecycle)
        self.lease = Lease(now)
        self.dial_at: float | None = now
        """When the next stream is to be made; None while one is made or open."""
        self.phase_ends: float | None = None
        self.drain_unread = 0
        """How many answers to heartbeats are to come until the server is known to have read `Drain`. The stream keeps its
        order, so whatever the server assigned before stands before the answer to a heartbeat that was sent after it.
        Ending sooner would leave such an attempt to its lease."""
        self.credit = settings.slots
        self.failures = 0
        """How often in a row the stream could not be made, or was lost before anything came over it."""
        self.signature: Signature = core.unsigned
        self.renew_at: float | None = None
        self.is_renewing = False
        self.opened_once = False
        self.failed: Error | None = None
        """Why the worker cannot go on, if it cannot."""

    # What comes.

    def handle(self, event: Any, now: float) -> None:
        """Takes in what happened."""
        match event:
            case Came():
                self._came(event, now)
            case Ended():
                self.lifecycle.on_ended(event)
            case Logged():
                self.lifecycle.on_logged(event, now)
            case Progressed():
                self.lifecycle.on_progressed(event)
                self.outbound.send_progress(event.key, now)
            case DialEnded():
                self._dial_ended(event.outcome, now)
            case Renewed():
                self._renewed(event.outcome, now)
            case Shutdown():
                self._shutdown(now)

    def _came(self, event: Came, now: float) -> None:
        if event.stream is not self.books.stream:
            return
        if isinstance(event.message, Refusal):
            text = "the stream has ended, reconnecting: code=%s reason=%s message=%s"
            log.info(text, event.message.code.name, event.message.reason, event.message.message)
            self._lose_link(now, 0.0)
            return
        message: v1.WorkResponse = event.message
        self.lease.heard(now)
        self.failures = 0
        self.books.core.clock.learn(message.header)
        match message.WhichOneof("kind"):
            case "assignment":
                self.lifecycle.assign(message.assignment, now)
            case "ack":
                self.outbound.on_ack(message.header, message.ack, now)
            case "cancel_attempt":
                self._cancel(message.cancel_attempt, now)
            case "auth_notice":
                self._auth_notice(message.auth_notice, now)
            case "going_away":
                after = message.going_away.reconnect_after
                log.info("the server is going away, reconnecting")
                self._lose_link(now, min(after.seconds + after.nanos / 1e9, WAIT_MAX))
            case "heartbeat_ack":
                self.lease.answered()
                self.drain_unread = max(self.drain_unread - 1, 0)

    def _cancel(self, cancel: v1.CancelAttempt, now: float) -> None:
        key = Key(cancel.run_id, cancel.attempt)
        if cancel.reason in (v1.CancelAttempt.REASON_TIMED_OUT, v1.CancelAttempt.REASON_LEASE_STALE):
            self.lifecycle.over(key, now)
        else:
            self.lifecycle.stop(key, Stop.CANCELLED, now)

    def _auth_notice(self, notice: v1.AuthNotice, now: float) -> None:
        if notice.auth.status != v1.AUTH_STATUS_EXPIRING:
            log.warning("the credentials of the stream are refused: status=%d", notice.auth.status)
        elif not self.books.core.can_renew:
            log.warning("the credentials end soon and cannot be renewed; start the worker with fresh ones")
        else:
            # Those that live shorter than the server's warning time are renewed in their own time.
            fresh_until = self.signature.renew_at
            self.renew_at = fresh_until if fresh_until is not None and fresh_until > now else now

    def _dial_ended(self, outcome: Dialled | Error, now: float) -> None:
        if isinstance(outcome, Error):
            lasting = not outcome.may_retry and outcome.kind is not Kind.TRANSPORT
            for_good = outcome.kind in (Kind.REFUSED, Kind.CANCELLED)
            if lasting and (for_good or not self.opened_once):
                self.failed = outcome
                return
            log.warning("cannot open the stream yet: %s", outcome)
            self._lose_link(now, min(outcome.retry_after or 0.0, WAIT_MAX))
            return
        books = self.books
        self.opened_once = True
        self.lease.opened(outcome.opened, outcome.hello_at, now)
        self.signature, self.renew_at = outcome.signature, outcome.signature.renew_at
        books.stream = outcome.stream
        log.info("the stream is open: worker_id=%s held=%d", books.settings.worker_id, len(books.held))
        books.observe(events.WorkerTold.CONNECTED)
        for stale in outcome.opened.stale:
            self._stale(Key(stale.run_id, stale.attempt), now)
        books.ready.clear()
        books.ready.extend(books.held)
        if books.phase is not Phase.SERVING:
            self._send_drain(now)

    def _stale(self, key: Key, now: float) -> None:
        """An attempt is no longer this worker's. That may be by its own report, whose acknowledgement was lost: one that
        was sent is sent again under its id, and the answer says whether it counted."""
        held = self.books.held.get(key)
        is_reported = held is not None and not held.is_running and bool(held.queue) and held.queue[0].is_sent_report
        if not is_reported:
            self.lifecycle.over(key, now)

    def _renewed(self, outcome: Signature | Error, now: float) -> None:
        self.is_renewing = False
        if isinstance(outcome, Error):
            log.warning("cannot renew the token of the stream yet: %s", outcome)
            self.renew_at = now + RENEW_AGAIN
            return
        self.signature, self.renew_at = outcome, outcome.renew_at
        self.outbound.control(reauthenticate=v1.Reauthenticate(token=outcome.bearer or ""))

    def _shutdown(self, now: float) -> None:
        if self.books.phase is Phase.SERVING:
            log.info("draining: running=%d", self.books.running)
            self.books.phase = Phase.DRAINING
            self.phase_ends = now + self.books.settings.drain_timeout
            self._send_drain(now)
        elif self.books.phase is Phase.DRAINING:
            self._flush(now)

    # What is due.

    def advance(self, now: float) -> None:
        """Does all that is due."""
        if self.lease.just_lost(now):
            if self.books.running:
                log.warning("the leases must be presumed lost, stopping what runs: running=%d", self.books.running)
            self.lifecycle.stop_all(Stop.LEASE_LOST, now)
        while (due := self.books.pop_timer(now)) is not None:
            self._timer(*due, now)
        if self.books.stream is not None:
            self._tend_stream(now)
        elif self.dial_at is not None and self.dial_at <= now:
            self._dial()
        if self.books.phase is Phase.DRAINING and self.phase_ends is not None and self.phase_ends <= now:
            self._flush(now)
        self.outbound.pump(now)

    def _timer(self, timer: Timer, key: Key, now: float) -> None:
        match timer:
            case Timer.FLUSH_LOG:
                self.lifecycle.flush_log(key)
            case Timer.PROGRESS:
                self.outbound.send_progress(key, now)
            case Timer.RESEND:
                self.books.ready.append(key)
            case Timer.OVERSTAYED:
                self.lifecycle.overstayed(key)

    def _tend_stream(self, now: float) -> None:
        if self.lease.is_silent(now):
            log.warning("the server has gone silent, reconnecting")
            self._lose_link(now, 0.0)
            return
        if self.lease.heartbeat_is_due(now):
            self.outbound.resend_overdue(now)
            for key in list(self.books.held):
                self.outbound.send_progress(key, now)
            self.lease.sent(now)
            self.outbound.control(heartbeat=v1.Heartbeat())
        if self.renew_at is not None and self.renew_at <= now and not self.is_renewing:
            self.renew_at, self.is_renewing = None, True
            self.books.actions.append(events.Renew(self.signature.generation))
        wanted = self.lifecycle.wanted_credit()
        if self.books.phase is Phase.SERVING and wanted != self.credit:
            self.credit = wanted
            self.outbound.control(credit=v1.Credit(slots=wanted))

    def _dial(self) -> None:
        settings = self.books.settings
        held = [each for each in self.books.held.values() if each.stop is not Stop.OVER]
        self.credit = self.lifecycle.wanted_credit()
        self.dial_at = None
        hello = v1.Hello(
            app=settings.app,
            worker_id=settings.worker_id,
            worker_name=settings.name,
            processors=sorted(settings.processors),
            slots=self.credit,
            held=[v1.AttemptRef(run_id=each.key.run_id, attempt=each.key.attempt) for each in held],
        )
        self.books.actions.append(events.Dial(hello))

    def _lose_link(self, now: float, at_least: float) -> None:
        """Takes note that there is no stream, and when to make the next one."""
        self.failures += 1
        self.dial_at = now + at_least + RECONNECT.backoff(self.failures, random.random())  # noqa: S311
        self.books.lose_stream()
        self.lease.closed()
        self.renew_at = None

    def _send_drain(self, now: float) -> None:
        """Tells the server that no more work is wanted, with a heartbeat behind it whose answer shows that it was read."""
        if self.books.stream is not None:
            self.outbound.control(drain=v1.Drain())
            self.drain_unread = self.lease.sent(now)
            self.outbound.control(heartbeat=v1.Heartbeat())

    def _flush(self, now: float) -> None:
        log.info("the time to drain is over, giving back what runs: running=%d", self.books.running)
        self.lifecycle.stop_all(Stop.DRAINING, now)
        self.books.phase = Phase.FLUSHING
        self.phase_ends = now + self.books.settings.cancel_timeout + FLUSH_TIMEOUT

    # What the shell asks.

    def take_actions(self) -> list[Any]:
        """What is to be done, in order."""
        actions, self.books.actions = self.books.actions, []
        return actions

    def next_wake(self, now: float) -> float:
        """When to come back at the latest, on the steady clock."""
        loss = self.lease.next_loss() if self.books.running else None
        on_stream = self.lease.next_on_stream() if self.books.stream is not None else None
        wakes = [self.dial_at, on_stream, loss, self.phase_ends, self.renew_at, self.books.next_timer()]
        return min((each for each in wakes if each is not None), default=now + IDLE_WAKE)

    def is_done(self, now: float) -> bool:
        """Whether the worker has ended."""
        if self.failed is not None:
            return True
        books = self.books
        if books.phase is Phase.DRAINING:
            return not books.held and self._has_no_more_to_come()
        return books.phase is Phase.FLUSHING and (
            not books.held or (self.phase_ends is not None and self.phase_ends <= now)
        )

    def _has_no_more_to_come(self) -> bool:
        """Whether no assignment can be under way to this worker any more."""
        if self.books.stream is None:
            # While one is made the server may have read `Hello` and given work.
            return self.dial_at is not None
        return self.drain_unread == 0

    def finish(self) -> Summary:
        """What was done; raises why the worker could not go on."""
        if self.failed is not None:
            raise self.failed
        self.books.summary.unreported = len(self.books.held)
        log.info("the worker has ended: %s", self.books.summary)
        return self.books.summary
