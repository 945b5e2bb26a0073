"""Keeps a watch going over as many streams as it takes, and tells what they tell. What a message means stands in `course`,
what follows from a failure in `reconnect`.

A program may be slower than what happens. Then gRPC's flow control holds the stream, for no message is asked for before
the last one was told; what lies ready is bounded.
"""

from __future__ import annotations

import datetime
import logging
import random
import time
from typing import Any

import grpc

from semel import v1
from semel._core import refusal, retry
from semel._core.auth import Signature
from semel._core.core import Core
from semel._core.flow import Flow, GaveUp, Open, Pause, Read, Stream, Tell
from semel._core.methods import WATCH, fill_app
from semel._core.refusal import Origin, Refusal
from semel._core.watch.course import Course, Filter
from semel._core.watch.items import Told
from semel._core.watch.reconnect import Next, Troubles, decide, pace
from semel.errors import Cancelled, Error, Kind

log = logging.getLogger("semel.watch")

OPEN_TIMEOUT = 10.0
"""How long a stream may take to open, in seconds."""
SILENT_INTERVALS = 3
"""A stream that says nothing for so many of its own intervals is dead, whatever the connection looks like."""
INTERVAL_UNSTATED = 30.0
RENEW_TIMEOUT, RENEW_AGAIN = 20.0, 2.0
"""How long getting fresh credentials may take, and how long to wait before it is tried again, in seconds."""
WAIT_MAX = 3600.0
"""The longest that a server may ask to wait, in seconds."""


def watch(core: Core, asked: Filter) -> Flow[None]:
    """Tells items until the program wants no more, or something binds."""
    try:
        yield from Reader(core, asked).read()
    except GaveUp:
        raise Cancelled("the caller gave up the watch") from None


class Unsigned(Exception):
    """There is no token to be had."""

    def __init__(self, error: Error) -> None:
        self.error = error


class Reader:
    """See the module."""

    def __init__(self, core: Core, asked: Filter) -> None:
        self.core = core
        self.course = Course(asked)
        self.pace = pace(core.settings.retry)
        self.troubles = Troubles(core.can_renew)
        self.patience: float | None = time.monotonic() + core.settings.timeout
        """Until when the first stream has to be open; None once it was."""
        self.refused: int | None = None
        """The generation of the credentials that were refused last."""
        self.signature: Signature = core.unsigned
        self.request_id = ""

    def read(self) -> Flow[None]:
        while True:
            try:
                ended = yield from self._one_stream()
            except Unsigned as failure:
                error, following, wait = self._judge_unsigned(failure.error)
            else:
                if not isinstance(ended, Refusal):
                    yield Pause(ended)
                    continue
                error, following, wait = self._judge(ended)
            log.debug("a watch has no stream: error=%s next=%s", error, following.name)
            wait = min(wait, WAIT_MAX)
            if following is Next.END or (self.patience is not None and time.monotonic() + wait >= self.patience):
                raise error
            if following is Next.AGAIN:
                yield Tell(self.course.lose(error))
            yield Pause(wait)

    def _judge_unsigned(self, error: Error) -> tuple[Error, Next, float]:
        self.troubles.failures += 1
        lasting = not error.may_retry and error.kind is not Kind.TRANSPORT
        wait = (error.retry_after or 0.0) + self.pace.backoff(self.troubles.failures, random.random())  # noqa: S311
        return error, Next.END if lasting or self.pace.attempts_max <= 1 else Next.AGAIN, wait

    def _judge(self, ended: Refusal) -> tuple[Error, Next, float]:
        troubles = self.troubles
        troubles.failures += 1
        kind = retry.classify(ended)
        troubles.faults += kind is retry.Class.FAULT
        following, wait = decide(ended, troubles, self.pace, random.random())  # noqa: S311
        if following is Next.RENEW:
            self.refused, troubles.renewed = self.signature.generation, True
        error = ended.to_error(self.request_id, troubles.failures, may_retry=kind.is_hopeful)
        return error, following, wait

    def _one_stream(self) -> Flow[Refusal | float]:
        """Reads one stream to its end. Gives why it failed, or after how many seconds another one is to be opened."""
        core, deadline = self.core, time.monotonic() + OPEN_TIMEOUT
        try:
            signing = core.sign(deadline) if self.refused is None else core.renew(self.refused, deadline)
            self.signature = yield from signing
        except Error as error:
            raise Unsigned(error) from error
        request = self.course.request()
        if not request.apps:
            fill_app(WATCH, request, core.settings.app)
        self.request_id = core.mint()
        request.header.CopyFrom(v1.RequestHeader(request_id=self.request_id, client=core.client_info))
        sent_at = core.clock.local()
        stream = yield Open(WATCH, request, self.signature.bearer)
        try:
            first = yield Read(stream, max(deadline - time.monotonic(), 0.0))
            opened = self._first_word(first, sent_at)
            if isinstance(opened, Refusal):
                return opened
            yield Tell(self.course.open(opened.opened, opened.resume_token))
            return (yield from self._live(stream, silence_of(opened.opened)))
        finally:
            stream.cancel()

    def _first_word(self, first: Any, sent_at: float) -> Refusal | v1.WatchResponse:
        if first is None:
            return refusal.local(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream did not open in time", Origin.NO_ANSWER)
        if isinstance(first, Refusal):
            if first.header is not None:
                self.core.clock.learn(first.header, sent_at)
            return first
        message: v1.WatchResponse = first
        has_place = message.resume_token or not self.course.needs_place
        if message.WhichOneof("kind") != "opened" or not refusal.spoke(message.header) or not has_place:
            text = "the stream does not begin as that of a Semel server; check the address"
            return refusal.local(grpc.StatusCode.OK, text, Origin.OTHER)
        self.core.clock.learn(message.header, sent_at)
        self.patience = self.refused = None
        self.troubles.renewed = False
        return message

    def _live(self, stream: Stream, silence: float) -> Flow[Refusal | float]:
        renew_at, has_fresh = self.signature.renew_at, False
        silent_at = time.monotonic() + silence
        while True:
            now = time.monotonic()
            if renew_at is not None and now >= renew_at:
                has_fresh = yield from self._renew()
                renew_at = None if has_fresh else time.monotonic() + RENEW_AGAIN
            if has_fresh and self.course.is_at_token:
                log.debug("going on with fresh credentials over another stream")
                return 0.0
            until = silent_at if renew_at is None else min(silent_at, renew_at)
            message = yield Read(stream, max(until - now, 0.0))
            if isinstance(message, Refusal):
                return message
            if message is None:
                if time.monotonic() >= silent_at:
                    return refusal.no_answer("the stream has gone silent")
                continue
            if message.HasField("header"):
                self.core.clock.learn(message.header)
            kind = message.WhichOneof("kind")
            if kind in ("snapshot", "snapshot_end", "events", "progress"):
                self.troubles.failures = self.troubles.faults = 0
            items = self.course.take(message)
            if kind == "auth_notice" and message.auth_notice.auth.status == v1.AUTH_STATUS_EXPIRING:
                if self.core.can_renew:
                    renew_at = self._hurry(renew_at, has_fresh=has_fresh)
                else:
                    ends = message.auth_notice.auth.expire_time.ToDatetime(datetime.timezone.utc)
                    items.append(self.course.behind_all(Told.EXPIRING, expire_time=ends))
            if items:
                yield Tell(items)
            if kind == "going_away":
                return self._farewell(message.going_away)
            silent_at = time.monotonic() + silence

    def _hurry(self, renew_at: float | None, *, has_fresh: bool) -> float | None:
        """The server says that the credentials end soon. Those that live shorter than its warning time are renewed in
        their own time, or it would be done in a circle."""
        if has_fresh:
            return renew_at
        now = time.monotonic()
        return renew_at if renew_at is not None and renew_at > now else now

    def _renew(self) -> Flow[bool]:
        try:
            yield from self.core.renew(self.signature.generation, time.monotonic() + RENEW_TIMEOUT)
        except Error as error:
            log.warning("cannot renew the token of the watch yet: %s", error)
            return False
        return True

    def _farewell(self, going: v1.GoingAway) -> float:
        """The server is about to stop: how long to wait before going on elsewhere. All its watchers come at once."""
        self.troubles.failures += 1
        after = max(going.reconnect_after.seconds + going.reconnect_after.nanos / 1e9, 0.0)
        log.info("the server is going away, going on over another stream: after_s=%.3f", after)
        return min(after, WAIT_MAX) + self.pace.backoff(self.troubles.failures, random.random())  # noqa: S311


def silence_of(opened: v1.WatchOpened) -> float:
    """For how many seconds a stream may say nothing before it counts as dead."""
    interval = opened.progress_interval.seconds + opened.progress_interval.nanos / 1e9
    return (interval if interval > 0 else INTERVAL_UNSTATED) * SILENT_INTERVALS
