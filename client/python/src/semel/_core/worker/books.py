"""What all parts of a worker's course share: its settings and its state, as plain data."""

from __future__ import annotations

import enum
import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from semel import v1
from semel._core import ids
from semel._core.core import Core
from semel._core.flow import Stream
from semel._core.worker.events import Drop, Observe, WorkerEvent, WorkerTold
from semel._core.worker.held import Held, Key
from semel._core.worker.outcome import Summary
from semel.errors import UsageError

SLOTS_MAX, PROCESSORS_MAX = 10_000, 256
"""How many attempts a worker may take at a time, and how many processors it may offer."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker was set up with, checked."""

    app: str
    worker_id: str
    name: str
    processors: frozenset[str]
    slots: int
    drain_timeout: float
    cancel_timeout: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.processors) <= PROCESSORS_MAX:
            raise UsageError(f"a worker needs from 1 to {PROCESSORS_MAX} processors; add one with worker.processor")
        if not 1 <= self.slots <= SLOTS_MAX:
            raise UsageError(f"slots must be from 1 to {SLOTS_MAX}")
        if self.drain_timeout < 0 or self.cancel_timeout < 0:
            raise UsageError("the time to drain and the time to stop cannot be negative")


def worker_id(core: Core) -> str:
    """The id of a worker: minted when it is set up, kept over reconnects."""
    return ids.mint(core.clock.now())


class Phase(enum.Enum):
    """How far a worker is with its own end."""

    SERVING = "it works"
    DRAINING = "it takes no new work; what runs may end"
    FLUSHING = "everything was told to stop; reports may be acknowledged"


class Timer(enum.Enum):
    """What is due at a moment. One that has lost its sense is not taken out: whoever it wakes looks again."""

    FLUSH_LOG = "the log that an attempt has gathered is to be sent"
    PROGRESS = "the progress of an attempt is to be sent"
    RESEND = "the first message in an attempt's queue may be sent again"
    OVERSTAYED = "a handler that was told to stop has had its time"


@dataclass
class Books:
    """See the module."""

    core: Core
    settings: WorkerSettings
    held: dict[Key, Held] = field(default_factory=dict)
    running: int = 0
    """How many handlers run."""
    stopping: int = 0
    """How many of these belong to attempts that are over for the server, and so take room that it does not know of."""
    stream: Stream | None = None
    """The stream, while it is open."""
    phase: Phase = Phase.SERVING
    summary: Summary = field(default_factory=Summary)
    ready: deque[Key] = field(default_factory=deque)
    """The attempts that may have something to send."""
    control: deque[v1.WorkRequest] = field(default_factory=deque)
    """What is sent before all else, and is not sent again."""
    acks: dict[str, Key] = field(default_factory=dict)
    """What waits for which acknowledgement on the present stream."""
    actions: list[Any] = field(default_factory=list)
    """What the shell is to do."""
    _timers: list[tuple[float, int, Timer, Key]] = field(default_factory=list)
    _count: int = 0

    def set_timer(self, at: float, timer: Timer, key: Key) -> None:
        self._count += 1
        heapq.heappush(self._timers, (at, self._count, timer, key))

    def pop_timer(self, now: float) -> tuple[Timer, Key] | None:
        """Takes out one that is due, if any is."""
        if not self._timers or self._timers[0][0] > now:
            return None
        _, _, timer, key = heapq.heappop(self._timers)
        return timer, key

    def next_timer(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def observe(self, told: WorkerTold, key: Key | None = None, outcome: str = "") -> None:
        run_id, attempt = key or ("", 0)
        self.actions.append(Observe(WorkerEvent(told, run_id, attempt, outcome)))

    def lose_stream(self) -> None:
        """There is no stream any more. What was under way on it is sent again on the next one."""
        if self.stream is not None:
            self.actions.append(Drop(self.stream))
            self.observe(WorkerTold.DISCONNECTED)
        self.stream = None
        self.control.clear()
        self.acks.clear()
        for held in self.held.values():
            held.in_flight = False
