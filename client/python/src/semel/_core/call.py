"""The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
binds, or no time left. What a refusal means is decided in `retry`, and nothing here knows what any method does."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from semel._core import methods, retry
from semel._core.core import Core
from semel._core.flow import Attempt, Flow, GaveUp, Pause
from semel._core.options import TIMEOUT_MAX, CallOptions, RetryOptions
from semel._core.refusal import Origin, Refusal
from semel.errors import Cancelled, Error, UsageError

log = logging.getLogger("semel.call")
R = TypeVar("R")


@dataclass(frozen=True)
class Answer(Generic[R]):
    """An answer, and what it took."""

    response: R
    request_id: str
    attempts: int
    """How often the call was sent."""


class Logical:
    """A logical call that is ready to be made: its request, its id, its time, and what was tried so far."""

    def __init__(self, core: Core, request: Any, options: CallOptions) -> None:
        self.method = methods.method_of(request)
        self.request = type(request)()
        self.request.CopyFrom(request)
        self.core = core
        methods.fill_app(self.method, self.request, core.settings.app)
        core.fill_secret(self.method, self.request)
        given = self._given_id(options.get("request_id", ""))
        self.request_id = given or core.mint()
        wait = methods.server_wait(self.method, self.request)
        self.request_timeout = _positive(options, "request_timeout", core.settings.request_timeout) + wait
        self.deadline = time.monotonic() + min(_positive(options, "timeout", core.settings.timeout) + wait, TIMEOUT_MAX)
        self.is_unsigned = methods.holds_credentials(self.method, self.request)
        self.progress = retry.Progress(id_given=bool(given), can_renew=core.can_renew and not self.is_unsigned)
        self.retry: RetryOptions = core.settings.retry
        self.last_reason = ""
        self._put_id()

    def _given_id(self, option: str) -> str:
        in_header: str = self.request.header.request_id
        if in_header and option and in_header.lower() != option.lower():
            raise UsageError(f"the request bears the id {in_header}, the call was to be made under {option}")
        return in_header or option

    def _put_id(self) -> None:
        header = self.request.header
        header.request_id = self.request_id
        if not header.HasField("client"):
            header.client.CopyFrom(self.core.client_info)

    @property
    def time_left(self) -> float:
        return self.deadline - time.monotonic()

    def attempt(self, bearer: str | None) -> Attempt:
        """The next attempt."""
        return Attempt(self.method, self.request, bearer, max(min(self.request_timeout, self.time_left), 0.001))

    def judge(self, refusal: Refusal) -> retry.Next:
        """Decides what to do about a refused attempt, and remembers it."""
        progress = self.progress
        progress.attempts += 1
        if retry.classify(refusal) is retry.Class.FAULT:
            progress.faults += 1
        decision = retry.decide(refusal, progress, self.retry)
        log.debug(
            "an attempt was refused: request_id=%s attempt=%d code=%s reason=%s decision=%s",
            self.request_id, progress.attempts, refusal.code.name, refusal.reason, decision.name,
        )  # fmt: skip
        self.last_reason = refusal.reason or self.last_reason
        progress.outcome_open = progress.outcome_open or not refusal.nothing_happened
        progress.renewed = progress.renewed or decision is retry.Next.RENEW
        return decision

    def wait_before_next(self, refusal: Refusal) -> float | None:
        """How many seconds to wait before it is sent again; None if the time does not suffice."""
        jitter = self.retry.backoff(self.progress.attempts, random.random())  # noqa: S311
        wait = (retry.asked_delay(refusal) or 0.0) + jitter
        return wait if wait < self.time_left else None

    def mint_anew(self) -> None:
        """A fresh id by the clock that was just learnt: the former one was refused for its time, and never executed."""
        self.request_id = self.core.mint()
        self.progress.minted_anew = True
        self._put_id()

    def give_up(self, refusal: Refusal) -> Error:
        """The error for the caller."""
        if refusal.origin is Origin.NO_ANSWER and self.last_reason:
            refusal.message += f"; an attempt before was refused with {self.last_reason}"
        may_retry = retry.classify(refusal).is_hopeful
        return refusal.to_error(self.request_id, self.progress.attempts, may_retry=may_retry)


def call(logical: Logical) -> Flow[Answer[Any]]:
    """Attempts a call until it has an answer, or a refusal that binds, or no time left."""
    try:
        return (yield from _attempts(logical))
    except GaveUp:
        message = "the caller gave up; what became of the call is found by get_request"
        raise Cancelled(message, request_id=logical.request_id, attempts=logical.progress.attempts) from None
    except BaseException as error:
        if not isinstance(error, (Error, GeneratorExit)):
            note_id(error, logical.request_id)
        raise


def _attempts(logical: Logical) -> Flow[Answer[Any]]:
    core, deadline = logical.core, logical.deadline
    signature = core.unsigned if logical.is_unsigned else (yield from signed(logical, core.sign(deadline)))
    while True:
        outcome = yield logical.attempt(signature.bearer)
        if not isinstance(outcome, Refusal):
            return Answer(outcome, logical.request_id, logical.progress.attempts + 1)
        decision = logical.judge(outcome)
        if decision is retry.Next.GIVE_UP:
            raise logical.give_up(outcome)
        if decision is retry.Next.MINT_ANEW:
            logical.mint_anew()
        elif decision is retry.Next.RENEW:
            signature = yield from signed(logical, core.renew(signature.generation, deadline))
        else:
            wait = logical.wait_before_next(outcome)
            if wait is None:
                raise logical.give_up(outcome)
            yield Pause(wait)
            if not logical.is_unsigned:
                signature = yield from signed(logical, core.sign(deadline))


def signed(logical: Logical, signing: Flow[Any]) -> Flow[Any]:
    """Gets a signature; where there is none to be had, that is an error of this call."""
    try:
        return (yield from signing)
    except Error as error:
        error.request_id = logical.request_id
        raise


def note_id(error: BaseException, request_id: str) -> None:
    """Leaves in somebody else's exception under which id the call was made that it ended."""
    if hasattr(error, "add_note"):
        error.add_note(f"semel: the call under request id {request_id} has an open outcome; get_request tells")


def _positive(options: CallOptions, name: str, default: float) -> float:
    value = options.get(name, None)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or value <= 0:
        raise UsageError(f"{name} must be more than 0 s")
    return float(value)
