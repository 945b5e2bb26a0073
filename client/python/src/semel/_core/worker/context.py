"""What a handler sees of its attempt, whatever way it runs, and what a program sets a worker up with."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from semel import v1
from semel._core.core import Core
from semel._core.worker.books import WorkerSettings, worker_id
from semel._core.worker.events import Progressed, WorkerEvent
from semel._core.worker.held import CHUNK_BYTES, Key

log = logging.getLogger("semel.worker")

H = TypeVar("H", bound=Callable[..., Any])


class BaseContext:
    """One attempt, as its handler sees it."""

    def __init__(self, core: Core, assignment: v1.Assignment, post: Callable[[Any], None]) -> None:
        self._core = core
        self._post = post
        self._key = Key(assignment.run_id, assignment.attempt)
        self._progress: tuple[float, str] | None = None
        self._lock = threading.Lock()
        self.assignment = assignment
        """All that the server said of it."""

    @property
    def run_id(self) -> str:
        """The run."""
        return self._key.run_id

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1 on. It is also the fencing token: it only grows, so whatever this handler
        changes should refuse a smaller one than it has seen."""
        return self._key.attempt

    @property
    def attempt_id(self) -> str:
        """Run and attempt in one word, `run/attempt`: the key under which to make effects idempotent per attempt."""
        return str(self._key)

    @property
    def app(self) -> str:
        return self.assignment.app

    @property
    def job(self) -> str:
        return self.assignment.job

    @property
    def processor(self) -> str:
        """The name under which this handler was asked for."""
        return self.assignment.processor

    @property
    def payload(self) -> v1.Payload:
        """The input; empty if the run has none."""
        return self.assignment.payload

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the run."""
        return self.assignment.labels

    @property
    def max_attempts(self) -> int:
        """How many attempts the run may have."""
        return self.assignment.max_attempts

    @property
    def trigger(self) -> str:
        """The trigger of the job that made the run; empty if none did."""
        return self.assignment.trigger

    @property
    def scheduled_time(self) -> datetime.datetime | None:
        """The time that the run was made for, by the schedule of its trigger: the same however late it runs, and over all
        attempts. What a nightly run works on hangs on this, and not on the clock."""
        return _time(self.assignment, "scheduled_time")

    @property
    def trace_context(self) -> v1.TraceContext | None:
        """The span of this attempt in the trace of the run: let that of the work be its child. None if the run is in no
        trace."""
        return self.assignment.trace_context if self.assignment.HasField("trace_context") else None

    @property
    def deadline(self) -> datetime.datetime | None:
        """When the attempt counts as timed out, by the server's clock; None if never. See `time_left`."""
        return _time(self.assignment, "attempt_deadline")

    @property
    def time_left(self) -> float | None:
        """How many seconds the attempt may still take, as far as this client knows the server's clock; None if for
        ever."""
        deadline = self.deadline
        return None if deadline is None else max(deadline.timestamp() - self._core.clock.now(), 0.0)

    def progress(self, fraction: float, message: str = "") -> None:
        """Says how far the attempt is: from 0 to 1, and at what. Volatile: only the last one counts, and only now and then
        is one sent. Never waits."""
        with self._lock:
            is_news = self._progress is None
            self._progress = (fraction, message)
        if is_news:
            self._post(self)

    def take_progress(self) -> Progressed:
        """The progress that was said last; for the worker."""
        with self._lock:
            fraction, message = self._progress or (0.0, "")
            self._progress = None
        return Progressed(self._key, fraction, message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.attempt_id}, job={self.job!r})"


def pieces(data: bytes | str) -> list[bytes]:
    """What is written to a log, in pieces that fit into a message."""
    whole = data.encode() if isinstance(data, str) else bytes(data)
    return [whole[start : start + CHUNK_BYTES] for start in range(0, len(whole), CHUNK_BYTES)]


def _time(assignment: v1.Assignment, field: str) -> datetime.datetime | None:
    if not assignment.HasField(field):
        return None
    time: datetime.datetime = getattr(assignment, field).ToDatetime(datetime.timezone.utc)
    return time


class WorkerSetup(Generic[H]):
    """What a program says of a worker before it runs."""

    def __init__(
        self,
        core: Core,
        *,
        name: str,
        app: str,
        slots: int,
        drain_timeout: float,
        cancel_timeout: float,
        on_event: Callable[[WorkerEvent], object] | None,
    ) -> None:
        self._core = core
        self._name, self._app, self._slots = name, app or core.settings.app, slots
        self._drain_timeout, self._cancel_timeout = drain_timeout, cancel_timeout
        self._on_event = on_event
        self._handlers: dict[str, H] = {}
        self.worker_id = worker_id(core)
        """Its id: minted when it was set up, kept over reconnects."""

    def processor(self, name: str) -> Callable[[H], H]:
        """Offers a handler under a name:

            @worker.processor("count")
            def count(cx): ...

        A later one under the same name takes its place."""

        def offer(handler: H) -> H:
            self.add_processor(name, handler)
            return handler

        return offer

    def add_processor(self, name: str, handler: H) -> None:
        """The same without a decorator."""
        self._handlers[name] = handler

    def _tell(self, event: WorkerEvent) -> None:
        """Tells the program's observer, whose mistakes are its own."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            log.exception("on_event has failed: %s", event)

    def _settings(self) -> WorkerSettings:
        return WorkerSettings(
            self._app, self.worker_id, self._name, frozenset(self._handlers), self._slots, self._drain_timeout,
            self._cancel_timeout,
        )  # fmt: skip
