"""How the shared logic asks for what it cannot do itself. A flow is a generator: it yields an effect, and whoever runs it
performs that, blocking or awaiting, and sends the result back in. So one text of the logic serves both APIs.

Whatever a runner raises goes through the flow, so that its `finally` clauses run: that is how giving up looks.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from semel._core.methods import Method

T = TypeVar("T")
Flow = Generator["Effect", Any, T]


class GaveUp(Exception):
    """The caller gave up; raised by a runner into the flow, which makes the caller's error of it."""


class Gate(Protocol):
    """A lock of the runner's kind."""

    def release(self) -> None: ...
    def locked(self) -> bool: ...


class Stream(Protocol):
    """An open stream of the runner's kind. Sending and ending never wait; what was sent lies in line."""

    def send(self, message: Any) -> None: ...
    def half_close(self) -> None: ...
    def cancel(self) -> None: ...
    @property
    def backlog(self) -> int:
        """How many messages lie in line that the connection has not taken."""
        ...


@dataclass(frozen=True)
class Attempt:
    """Send this once, in its own time. Gives the response or a `Refusal`."""

    method: Method
    request: Any = field(repr=False)
    bearer: str | None = field(repr=False)
    timeout: float


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds. Gives None."""

    seconds: float


@dataclass(frozen=True)
class TakeGate:
    """Take the lock, waiting for it. Gives None."""

    gate: Gate


@dataclass(frozen=True)
class Open:
    """Begin a stream. Gives a `Stream` at once; whether it stands shows when it is read. Where the caller sends only
    `request`, that is all of it."""

    method: Method
    request: Any | None = field(repr=False)
    bearer: str | None = field(repr=False)


@dataclass(frozen=True)
class Read:
    """Wait for the next message of a stream. Gives the message, or a `Refusal` with which it has ended, or None if
    `timeout` seconds have passed before."""

    stream: Stream
    timeout: float


@dataclass(frozen=True)
class ReadOrPull:
    """The same, or the next things that the program gives, whichever comes first. Gives a `Pulled` for the latter.
    Without a stream it waits for the program alone."""

    stream: Stream | None
    timeout: float


PULLED_MAX = 100
"""How many things one `Pulled` has at most: those that come at once."""


@dataclass(frozen=True)
class Pulled:
    """What the program gave: the next things, and whether they were the last."""

    items: Sequence[Any]
    is_end: bool = False


@dataclass(frozen=True)
class CallAll:
    """Run flows side by side. Gives for each its result, or the `semel.Error` that it raised, in order."""

    flows: Sequence[Flow[Any]]


@dataclass(frozen=True)
class Tell:
    """Hand this to the program. Gives None once the program wants more."""

    items: Sequence[Any]


Effect = Attempt | Pause | TakeGate | Open | Read | ReadOrPull | CallAll | Tell
