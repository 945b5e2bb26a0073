"""Keeps the streams of one `submit_many` going: opens them, feeds them from the books, reads them, and falls back to calls
of their own where a stream is not to be had. What a refusal means is decided in `retry`."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from semel import v1
from semel._core import refusal, retry
from semel._core.auth import Signature
from semel._core.call import call
from semel._core.core import Core
from semel._core.flow import CallAll, Flow, GaveUp, Open, Pause, Pulled, Read, ReadOrPull, Stream, Tell
from semel._core.methods import SUBMIT_RUNS
from semel._core.refusal import Refusal
from semel._core.submit.book import Book, logical_of, reauthenticate
from semel.errors import Cancelled, Error

log = logging.getLogger("semel.submit")

OPEN_TIMEOUT = 5.0
"""How long a stream may take to open at most, in seconds."""
BACKLOG_MAX = 2
"""Messages that may wait for the connection to take them; while they do, what comes is put into one message."""
OWN_CALLS_MAX = 64
"""Items that go by calls of their own at a time."""
OFF_FIRST, OFF_MAX = 1.0, 60.0
"""For how many seconds the stream is let be after it served nothing; it doubles each time."""
IDLE = 3600.0
"""A wait without an end."""


def submit(core: Core) -> Flow[None]:
    """Submits what can be pulled, and tells what became of it, in order."""
    try:
        yield from Course(core).run()
    except GaveUp:
        raise Cancelled("the caller gave up; what became of what was sent is found by get_request") from None


class Course:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.book = Book(core)
        self.stream: Stream | None = None
        self.signature: Signature = core.unsigned
        self.has_served = False
        """Whether any run was answered over the present stream."""
        self.is_leaving = False
        """The server is about to stop: nothing new is sent."""
        self.not_before = 0.0
        """When the next stream may be opened, after a farewell."""
        self.off_until = 0.0
        self.off_span = OFF_FIRST
        self.moved_at = 0.0
        """When there was last something new to wait for, or something came."""
        self.has_renewed = False
        """Whether the credentials were renewed for a stream that was refused."""

    def run(self) -> Flow[None]:
        try:
            while True:
                results = self.book.ready()
                if results:
                    yield Tell(results)
                if self.book.is_done:
                    return
                yield from self._step(time.monotonic())
        finally:
            self._drop()

    def _step(self, now: float) -> Flow[None]:
        has_waiting = self.book.has_waiting(now)
        if has_waiting and self.stream is None:
            if now < self.off_until:
                return (yield from self._own_calls())
            if now < self.not_before and not self.book.has_room:
                yield Pause(self.not_before - now)
                return None
            if now >= self.not_before:
                return (yield from self._open())
        if has_waiting and not self.is_leaving:
            yield from self._send()
        event = yield self._wait(time.monotonic())
        if isinstance(event, Pulled):
            self._pulled(event)
        elif isinstance(event, Refusal):
            self._ended(event)
        elif event is not None:
            self._hear(event)
        elif self.book.has_outstanding and time.monotonic() - self.moved_at >= self.core.settings.request_timeout:
            self._ended(refusal.no_answer("nothing comes back over the stream"))
        return None

    def _wait(self, now: float) -> Any:
        until = [now + IDLE]
        if self.book.has_outstanding:
            until.append(self.moved_at + self.core.settings.request_timeout)
        delayed = self.book.next_delayed()
        if delayed is not None:
            until.append(delayed)
        timeout = max(min(until) - now, 0.0)
        if self.book.has_room:
            return ReadOrPull(self.stream, timeout)
        return Pause(timeout) if self.stream is None else Read(self.stream, timeout)

    def _pulled(self, event: Pulled) -> None:
        if not self.book.has_outstanding:
            self.moved_at = time.monotonic()
        for item in event.items:
            self.book.take(item)
        self.book.input_ended = event.is_end

    def _open(self) -> Flow[None]:
        """Opens a stream, and waits for the server's first word: nothing is sent into one that leads nowhere."""
        core = self.core
        timeout = min(OPEN_TIMEOUT, core.settings.request_timeout)
        try:
            self.signature = yield from self._sign(time.monotonic() + core.settings.timeout)
        except Error as error:
            # The calls will say so themselves, each as its own error.
            log.debug("no token for a stream: %s", error)
            self._switch_off()
            return
        self.has_served = self.is_leaving = False
        sent_at = core.clock.local()
        stream = yield Open(SUBMIT_RUNS, None, self.signature.bearer)
        self.stream = stream
        stream.send(v1.SubmitRunsRequest(header=v1.RequestHeader(client=core.client_info)))
        first = yield Read(stream, timeout)
        if first is None or isinstance(first, Refusal):
            self._ended(first or refusal.no_answer("the stream did not open in time"))
        elif not refusal.spoke(first.header):
            self._ended(refusal.no_answer("the stream does not begin as that of a Semel server"))
        else:
            core.clock.learn(first.header, sent_at)
            self.moved_at = time.monotonic()

    def _sign(self, deadline: float) -> Flow[Signature]:
        if self.book.must_renew:
            self.book.must_renew = False
            return (yield from self.core.renew(self.signature.generation, deadline))
        return (yield from self.core.sign(deadline))

    def _send(self) -> Flow[None]:
        stream = self.stream
        while stream is not None and stream.backlog < BACKLOG_MAX and self.book.has_waiting(time.monotonic()):
            fresh = yield from self._fresh()
            if not self.book.has_outstanding:
                self.moved_at = time.monotonic()
            message = self.book.pack()
            if fresh:
                reauthenticate(message, self.signature)
            stream.send(message)

    def _fresh(self) -> Flow[bool]:
        """Gets fresh credentials where those of the stream end soon or were refused. Whether there are any."""
        renew_at, now = self.signature.renew_at, time.monotonic()
        if not self.book.must_renew and (renew_at is None or now < renew_at):
            return False
        former = self.signature.generation
        try:
            self.signature = yield from self._sign(now + self.core.settings.request_timeout)
        except Error as error:
            log.warning("cannot renew the token of the stream yet: %s", error)
        return self.signature.generation > former

    def _hear(self, message: v1.SubmitRunsResponse) -> None:
        self.moved_at = time.monotonic()
        broken = self.book.hear(message)
        if message.results and not broken:
            self.has_served = True
            self.has_renewed = False
            self.off_span = OFF_FIRST
        if broken:
            self._ended(refusal.no_answer(broken))
        elif message.HasField("going_away"):
            after = message.going_away.reconnect_after
            self.is_leaving = self.has_served = True
            jitter = self.core.settings.retry.backoff(2, random.random())  # noqa: S311
            self.not_before = time.monotonic() + min(after.seconds + after.nanos / 1e9, IDLE) + jitter
        elif message.auth_notice.auth.status == v1.AUTH_STATUS_EXPIRING and self.core.can_renew:
            renew_at = self.signature.renew_at
            self.book.must_renew = renew_at is None or time.monotonic() >= renew_at

    def _ended(self, why: Refusal) -> None:
        """The stream is over. One that served something is made anew; one that did not leads to calls of their own."""
        log.debug("the stream has ended: code=%s reason=%s message=%s", why.code.name, why.reason, why.message)
        if why.header is not None:
            self.core.clock.learn(why.header)
        self._drop()
        self.book.lose_stream()
        if retry.classify(why) is retry.Class.CREDENTIALS and self.core.can_renew and not self.has_renewed:
            self.has_renewed = self.book.must_renew = True
        elif not self.has_served:
            self._switch_off()

    def _own_calls(self) -> Flow[None]:
        """Sends what waits by calls of their own, under the same ids."""
        items = self.book.take_waiting(OWN_CALLS_MAX)
        outcomes = yield CallAll([call(logical_of(item)) for item in items])
        for item, outcome in zip(items, outcomes, strict=True):
            self.book.finish(item, outcome)

    def _switch_off(self) -> None:
        self.off_until = time.monotonic() + self.off_span
        self.off_span = min(self.off_span * 2, OFF_MAX)

    def _drop(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.cancel()
