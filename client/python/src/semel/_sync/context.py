"""What a handler sees that runs in a thread: of a blocking worker, or a plain function of an asyncio one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from semel import v1
from semel._core.core import Core
from semel._core.worker.context import BaseContext, pieces
from semel._core.worker.events import Ended, Logged
from semel._core.worker.held import LOG_ROOM_BYTES, WRITE_COST
from semel._core.worker.outcome import AttemptCancelled, How


class Context(BaseContext):
    """One attempt, as a handler sees it that runs in a thread. A thread cannot be stopped from outside: a handler that
    takes long asks `is_cancelled`, or waits by `sleep`, which raises `AttemptCancelled` when it is to stop."""

    def __init__(self, core: Core, assignment: v1.Assignment, post: Callable[[Any], None]) -> None:
        super().__init__(core, assignment, post)
        self._changed = threading.Condition()
        self._is_cancelled = False
        self._log_is_closed = False
        self._log_room = LOG_ROOM_BYTES

    @property
    def is_cancelled(self) -> bool:
        """Whether the handler is to stop: the run was cancelled or timed out, the worker shuts down, or the lease is lost
        and another worker may have the run by now."""
        return self._is_cancelled

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Waits until the handler is to stop, at most so many seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_cancelled, timeout)

    def check(self) -> None:
        """Raises `AttemptCancelled` if the handler is to stop."""
        if self._is_cancelled:
            raise AttemptCancelled(f"the attempt {self.attempt_id} is to stop")

    def sleep(self, seconds: float) -> None:
        """Sleeps, and raises `AttemptCancelled` as soon as the handler is to stop."""
        self.wait_cancelled(seconds)
        self.check()

    def log(self, data: bytes | str, stream: v1.LogStream = v1.LOG_STREAM_STDOUT) -> None:
        """Writes to the log of the run. Waits while too much of it is not acknowledged yet. What is written after the
        attempt was lost goes nowhere."""
        for piece in pieces(data):
            cost = len(piece) + WRITE_COST
            with self._changed:
                while not self._log_is_closed and self._log_room < cost:
                    self._changed.wait()
                if self._log_is_closed:
                    return
                self._log_room -= cost
            self._post(Logged(self._key, stream, piece))

    def interrupt(self) -> None:
        """Tells the handler to stop; for the worker."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def release_log(self, cost: int) -> None:
        """So much of the log is dealt with; for the worker."""
        with self._changed:
            self._log_room += cost
            self._changed.notify_all()

    def close_log(self) -> None:
        """Nobody takes the log any more; for the worker."""
        with self._changed:
            self._log_is_closed = True
            self._changed.notify_all()

    def run_in_thread(self, handler: Callable[[Context], Any]) -> None:
        """Runs a handler in a thread of its own, which no end of the program waits for."""

        def body() -> None:
            try:
                ended = Ended(self._key, How.RETURNED, handler(self))
            except AttemptCancelled as error:
                ended = Ended(self._key, How.STOPPED, error)
            except BaseException as error:  # noqa: BLE001
                ended = Ended(self._key, How.RAISED, error)
            self._post(ended)

        threading.Thread(target=body, name=f"semel-{self.attempt_id}", daemon=True).start()
