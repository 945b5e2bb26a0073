"""The books of one `submit_many`: which runs wait, which are under way, what became of them. Pure: it packs messages and
hears answers; sending them is `course`'s."""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import grpc

from semel import v1
from semel._core import refusal, retry
from semel._core.auth import Signature
from semel._core.call import Logical
from semel._core.core import Core
from semel._core.refusal import Origin, Refusal
from semel.errors import Error, UsageError

OUTSTANDING_MAX = 4096
"""Runs that were taken from the program and whose results were not given back."""
MESSAGE_ITEMS_MAX = 100
MESSAGE_BYTES_MAX = 1 << 20
"""Bytes of one message, unless a single run has more."""


@dataclass(frozen=True)
class Submitted:
    """What became of one run of many."""

    request_id: str
    """The id under which it was submitted; empty where it could not be."""
    response: v1.RunJobResponse | None = None
    """What `run_job` would have answered, if the run was taken."""
    error: Error | None = None
    """What `run_job` would have raised, if not."""

    @property
    def run_id(self) -> str:
        """The run. Raises the error, if there is one."""
        return self.unwrap().run_id

    def unwrap(self) -> v1.RunJobResponse:
        """The answer. Raises the error, if there is one."""
        if self.response is None:
            raise self.error or UsageError("there is neither an answer nor an error")
        return self.response


@dataclass(order=True)
class Item:
    """A run on its way."""

    number: int
    logical: Logical | None = field(compare=False)
    result: Submitted | None = field(compare=False, default=None)


class Book:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.input_ended = False
        self._count = 0
        self._window: deque[Item] = deque()
        """All that was taken and not given back, in the program's order."""
        self._waiting: deque[Item] = deque()
        self._delayed: list[tuple[float, Item]] = []
        self._outstanding: deque[Item] = deque()
        """What was sent on the present stream and has no answer, in that order."""
        self.must_renew = False
        """Whether an item was refused for its credentials."""

    @property
    def has_room(self) -> bool:
        return not self.input_ended and len(self._window) < OUTSTANDING_MAX

    @property
    def is_done(self) -> bool:
        return self.input_ended and not self._window

    @property
    def has_outstanding(self) -> bool:
        return bool(self._outstanding)

    def take(self, request: Any) -> None:
        """Takes the next run of the program; its time runs from now on."""
        self._count += 1
        try:
            if not isinstance(request, v1.RunJobRequest):
                raise UsageError(f"submit_many takes RunJobRequest, and not {type(request).__name__}; see semel.run")
            item = Item(self._count, Logical(self.core, request, {}))
            self._waiting.append(item)
        except UsageError as error:
            item = Item(self._count, None, Submitted("", error=error))
        self._window.append(item)

    def ready(self) -> list[Submitted]:
        """The results that can be given back: those before the first run without one."""
        results = []
        while self._window and self._window[0].result is not None:
            results.append(self._window.popleft().result)
        return [each for each in results if each is not None]

    def has_waiting(self, now: float) -> bool:
        """Whether something is to be sent now."""
        while self._delayed and self._delayed[0][0] <= now:
            self._waiting.append(heapq.heappop(self._delayed)[1])
        return bool(self._waiting)

    def next_delayed(self) -> float | None:
        """When something is to be sent again, on the steady clock."""
        return self._delayed[0][0] if self._delayed else None

    def pack(self) -> v1.SubmitRunsRequest:
        """The next message of what waits."""
        message, size = v1.SubmitRunsRequest(), 0
        while self._waiting and len(message.runs) < MESSAGE_ITEMS_MAX:
            item = self._waiting[0]
            request = logical_of(item).request
            size += request.ByteSize()
            if size > MESSAGE_BYTES_MAX and message.runs:
                break
            message.runs.append(request)
            self._outstanding.append(self._waiting.popleft())
        return message

    def take_waiting(self, count: int) -> list[Item]:
        """Takes out items that are to go by calls of their own."""
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def hear(self, message: v1.SubmitRunsResponse) -> str | None:
        """What the server answers. Gives why the stream is of no use any more, if it is not."""
        if not refusal.spoke(message.header):
            return "a message says nothing of the credentials"
        self.core.clock.learn(message.header)
        for result in message.results:
            first = self._outstanding[0] if self._outstanding else None
            if first is None or result.request_id.lower() != logical_of(first).request_id.lower():
                return "an answer came that nobody waits for"
            self._outstanding.popleft()
            self._settle(first, result, message.header)
        return None

    def _settle(self, item: Item, result: v1.SubmitResult, header: v1.ResponseHeader) -> None:
        outcome = result.WhichOneof("outcome")
        if outcome == "run":
            item.result = Submitted(result.request_id, response_of(result, header))
        elif outcome == "refused":
            refused = refusal.from_status(result.refused)
            if refused.header is not None:
                self.core.clock.learn(refused.header)
            self.refuse(item, refused)
        else:
            text = "the answer says neither yes nor no; the server may be newer than this client"
            self.refuse(item, refusal.local(grpc.StatusCode.OK, text, Origin.OTHER))

    def refuse(self, item: Item, refused: Refusal, due: float | None = None) -> float | None:
        """An attempt of an item has failed: it waits for the next one, until `due` if that is given, or has its error.
        Gives until when it waits."""
        logical = logical_of(item)
        decision = logical.judge(refused)
        wait = logical.wait_before_next(refused) if decision is retry.Next.AGAIN else 0.0
        if decision is retry.Next.GIVE_UP or wait is None:
            item.result = Submitted(logical.request_id, error=logical.give_up(refused))
            return None
        if decision is retry.Next.MINT_ANEW:
            logical.mint_anew()
        self.must_renew = self.must_renew or decision is retry.Next.RENEW
        due = time.monotonic() + wait if due is None else due
        heapq.heappush(self._delayed, (due, item))
        return due

    def finish(self, item: Item, outcome: Any) -> None:
        """A call of its own has ended so."""
        if isinstance(outcome, Error):
            item.result = Submitted(outcome.request_id, error=outcome)
        else:
            item.result = Submitted(outcome.request_id, outcome.response)

    def lose_stream(self) -> None:
        """What was sent on the stream finds no answer there any more: it is sent again under the same ids, all of it at
        the same time, so that the order stays."""
        lost, self._outstanding = self._outstanding, deque()
        due = None
        for item in lost:
            due = self.refuse(item, refusal.no_answer("the stream ended before the answer came"), due) or due


def logical_of(item: Item) -> Logical:
    """The call of an item that is sent."""
    assert item.logical is not None, "only items with a call are sent"  # noqa: S101
    return item.logical


def reauthenticate(message: v1.SubmitRunsRequest, signature: Signature) -> None:
    """Puts fresh credentials into a message; they count from its items on."""
    if signature.bearer:
        message.reauthenticate.token = signature.bearer


def response_of(result: v1.SubmitResult, header: v1.ResponseHeader) -> v1.RunJobResponse:
    """What one result says, as the answer of `RunJob` would say it."""
    run = result.run
    response = v1.RunJobResponse(
        header=header, run_id=run.run_id, state=run.state, existing=run.existing, create_time=run.create_time
    )
    own = response.header
    own.request_id, own.disposition, own.arrivals, own.revision = (
        result.request_id, run.disposition, run.arrivals, run.revision,
    )  # fmt: skip
    own.execute_time.CopyFrom(run.execute_time)
    own.safe_retry_until.CopyFrom(run.safe_retry_until)
    return response
