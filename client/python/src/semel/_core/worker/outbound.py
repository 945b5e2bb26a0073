"""What is sent, in which order, and what is made of its acknowledgement. A message that changes something keeps its request
id until it is acknowledged, over any number of streams."""

from __future__ import annotations

import logging
import random
from typing import Any

from semel import v1
from semel._core import refusal, retry
from semel._core.refusal import Refusal
from semel._core.worker.books import Books, Timer
from semel._core.worker.events import ReleaseLog, Send
from semel._core.worker.held import Held, Key, Outgoing
from semel._core.worker.lifecycle import Lifecycle
from semel._core.worker.link import RECONNECT

log = logging.getLogger("semel.worker")

ACK_TIMEOUT = 30.0
"""After how many seconds without an acknowledgement a message is sent again on the same stream."""
CONTROL_MAX = 1024
"""How many messages that are not sent again may wait to be sent; past that, progress is left out."""
WAIT_MAX = 7 * 24 * 3600.0


class Outbound:
    """See the module."""

    def __init__(self, books: Books, lifecycle: Lifecycle) -> None:
        self.books = books
        self.lifecycle = lifecycle

    def control(self, **kind: Any) -> None:
        """Puts a message in front that is of use only on the present stream."""
        books = self.books
        if books.stream is not None and (len(books.control) < CONTROL_MAX or "progress" not in kind):
            books.control.append(v1.WorkRequest(header=v1.RequestHeader(), **kind))

    def pump(self, now: float) -> None:
        """Sends what there is. It is bounded: one message of each attempt is under way, and what is of use only now."""
        books = self.books
        while books.stream is not None:
            message = books.control.popleft() if books.control else self._next(now)
            if message is None:
                return
            books.actions.append(Send(books.stream, message))

    def _next(self, now: float) -> v1.WorkRequest | None:
        books = self.books
        while books.ready:
            key = books.ready.popleft()
            held = books.held.get(key)
            if held is None or held.in_flight or not held.queue:
                continue
            head = held.queue[0]
            if head.not_before > now:
                books.set_timer(head.not_before, Timer.RESEND, key)
                continue
            head.request_id = head.request_id or books.core.mint()
            head.sends += 1
            head.sent_at = now
            held.in_flight = True
            books.acks[head.request_id] = key
            return head.message(key)
        return None

    def send_progress(self, key: Key, now: float) -> None:
        """Sends what progress was said last, at most every 200 ms."""
        held = self.books.held.get(key)
        if held is None or held.progress is None or not held.is_running or self.books.stream is None:
            return
        if held.progress_from > now:
            self.books.set_timer(held.progress_from, Timer.PROGRESS, key)
            return
        fraction, message = held.progress
        held.progress, held.progress_from = None, now + 0.2
        run_id, attempt = key
        self.control(progress=v1.AttemptProgress(run_id=run_id, attempt=attempt, fraction=fraction, message=message))

    def resend_overdue(self, now: float) -> None:
        """Sends again what should have been acknowledged long ago."""
        for key, held in self.books.held.items():
            if held.in_flight and held.queue and now - held.queue[0].sent_at > ACK_TIMEOUT:
                log.warning("no acknowledgement came, sending again under the same id: attempt=%s", key)
                held.in_flight = False
                self.books.ready.append(key)

    def on_ack(self, header: v1.ResponseHeader, ack: v1.Ack, now: float) -> None:
        key = self.books.acks.pop(header.request_id, None)
        held = self.books.held.get(key) if key is not None else None
        if key is None or held is None or not held.queue:
            log.debug("an acknowledgement that nothing waits for: request_id=%s", header.request_id)
            return
        held.in_flight = False
        if ack.HasField("refused"):
            self._refused(key, held, refusal.from_status(ack.refused), now)
            return
        head = held.queue.popleft()
        if head.chunk is not None:
            self._dealt_with(key, head)
        else:
            self._reported(key, head)

    def _dealt_with(self, key: Key, head: Outgoing) -> None:
        assert head.chunk is not None, "it is a piece of a log"  # noqa: S101
        self.books.actions.append(ReleaseLog(key, head.chunk.cost))
        self.books.ready.append(key)

    def _reported(self, key: Key, head: Outgoing) -> None:
        assert head.report is not None, "it is a report"  # noqa: S101
        self.lifecycle.drop(key)
        summary = self.books.summary
        match head.report.WhichOneof("outcome"):
            case "succeeded":
                summary.succeeded += 1
            case "failed":
                summary.failed += 1
            case "cancelled":
                summary.cancelled += 1
            case "released":
                summary.released += 1

    def _refused(self, key: Key, held: Held, refused: Refusal, now: float) -> None:
        if refused.header is not None:
            self.books.core.clock.learn(refused.header)
        head = held.queue[0]
        if refused.reason == "LEASE_STALE":
            self.lifecycle.over(key, now)
            return
        kind = retry.classify(refused)
        if kind is retry.Class.ID and head.sends == 1:
            # Never executed, and never sent before: a fresh id by the clock that was just learnt makes no second call.
            head.request_id, head.sends = "", 0
            self.books.ready.append(key)
        elif kind is retry.Class.FINAL or refused.reason == "REQUEST_ID_EXPIRED":
            self._refused_for_good(key, held, refused, now)
        else:
            head.refusals += 1
            wait = min(retry.asked_delay(refused) or 0.0, WAIT_MAX) if kind is retry.Class.PASSING else 0.0
            head.not_before = now + wait + RECONNECT.backoff(head.refusals, random.random())  # noqa: S311
            log.debug("refused for now, sending again later: attempt=%s reason=%s", key, refused.reason)
            self.books.ready.append(key)

    def _refused_for_good(self, key: Key, held: Held, refused: Refusal, now: float) -> None:
        """The server will never take this message. A piece of a log is left out. A report must not be: the server would
        wait for it for as long as this worker lives, so a failure that says what happened takes its place, once."""
        head = held.queue.popleft()
        log.warning("refused for good: attempt=%s reason=%s message=%s", key, refused.reason, refused.message)
        if head.chunk is not None:
            self._dealt_with(key, head)
        elif head.is_stand_in:
            self.lifecycle.over(key, now)
        else:
            held.queue.appendleft(Outgoing.stand_in(f"the server refused the report: {refused.message}"))
            self.books.ready.append(key)
