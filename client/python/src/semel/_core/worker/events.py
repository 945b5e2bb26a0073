"""What comes to a worker's course, and what it asks for."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from semel import v1
from semel._core.auth import Signature
from semel._core.flow import Stream
from semel._core.worker.held import Held, Key
from semel._core.worker.outcome import How
from semel.errors import Error


@dataclass(frozen=True)
class Dialled:
    """A stream that was just opened."""

    stream: Stream
    opened: v1.Opened
    hello_at: float
    """When `Hello` was sent, on the steady clock: the leases are good from then on."""
    signature: Signature


# What comes to the course.


@dataclass(frozen=True)
class DialEnded:
    outcome: Dialled | Error


@dataclass(frozen=True)
class Came:
    """A message of a stream, or the `Refusal` with which it ended."""

    stream: Stream
    message: Any


@dataclass(frozen=True)
class Renewed:
    outcome: Signature | Error


@dataclass(frozen=True)
class Ended:
    """A handler has ended; `value` is what it returned or raised."""

    key: Key
    how: How
    value: Any


@dataclass(frozen=True)
class Logged:
    key: Key
    stream: v1.LogStream
    data: bytes


@dataclass(frozen=True)
class Progressed:
    key: Key
    fraction: float
    message: str


@dataclass(frozen=True)
class Shutdown:
    """The worker is to drain; the second time, to give back at once what still runs."""


# What the course asks for.


@dataclass(frozen=True)
class Dial:
    """Open a stream, and say how that ended."""

    hello: v1.Hello


@dataclass(frozen=True)
class Renew:
    """Get a token in place of that of a generation, and say how that ended."""

    generation: int


@dataclass(frozen=True)
class Send:
    stream: Stream
    message: v1.WorkRequest


@dataclass(frozen=True)
class Drop:
    """Let go of a stream."""

    stream: Stream


@dataclass(frozen=True)
class Start:
    """Run the handler of an attempt, and say how it ended."""

    held: Held


@dataclass(frozen=True)
class Interrupt:
    """Tell a handler to stop; once more, if it did not in its time."""

    key: Key


@dataclass(frozen=True)
class ReleaseLog:
    """So much of an attempt's log is dealt with."""

    key: Key
    cost: int


@dataclass(frozen=True)
class CloseLog:
    """Nobody takes an attempt's log any more."""

    key: Key


class WorkerTold(str, enum.Enum):
    CONNECTED = "connected"
    """The stream is open, for the first time or again."""
    DISCONNECTED = "disconnected"
    STARTED = "started"
    CANCELLED = "cancelled"
    """A handler was told to stop."""
    ENDED = "ended"
    """A handler has ended, with the `outcome` that is reported; empty if there is nothing to report."""


@dataclass(frozen=True)
class WorkerEvent:
    """What a worker tells its `on_event`, for logs and metrics."""

    told: WorkerTold
    run_id: str = ""
    attempt: int = 0
    outcome: str = ""
    """`succeeded`, `failed`, `cancelled` or `released`."""


@dataclass(frozen=True)
class Observe:
    """Tell the program's observer."""

    event: WorkerEvent
