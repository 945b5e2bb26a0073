"""What a handler sees that is a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from semel import v1
from semel._core.core import Core
from semel._core.worker.context import BaseContext, pieces
from semel._core.worker.events import Ended, Logged
from semel._core.worker.held import LOG_ROOM_BYTES, WRITE_COST
from semel._core.worker.outcome import How


class Context(BaseContext):
    """One attempt, as a handler sees it that is a coroutine. When it is to stop, `asyncio.CancelledError` is raised in it:
    the run was cancelled or timed out, the worker shuts down, or the lease is lost and another worker may have the run by
    now."""

    def __init__(self, core: Core, assignment: v1.Assignment, post: Callable[[Any], None]) -> None:
        super().__init__(core, assignment, post)
        self._task: asyncio.Task[None] | None = None
        self._room_changed = asyncio.Event()
        self._log_is_closed = False
        self._log_room = LOG_ROOM_BYTES
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the handler was told to stop."""
        return self._is_cancelled

    async def log(self, data: bytes | str, stream: v1.LogStream = v1.LOG_STREAM_STDOUT) -> None:
        """Writes to the log of the run. Waits while too much of it is not acknowledged yet. What is written after the
        attempt was lost goes nowhere."""
        for piece in pieces(data):
            cost = len(piece) + WRITE_COST
            while not self._log_is_closed and self._log_room < cost:
                self._room_changed.clear()
                await self._room_changed.wait()
            if self._log_is_closed:
                return
            self._log_room -= cost
            self._post(Logged(self._key, stream, piece))

    def interrupt(self) -> None:
        """Tells the handler to stop; for the worker."""
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    def release_log(self, cost: int) -> None:
        """So much of the log is dealt with; for the worker."""
        self._log_room += cost
        self._room_changed.set()

    def close_log(self) -> None:
        """Nobody takes the log any more; for the worker."""
        self._log_is_closed = True
        self._room_changed.set()

    def run_as_task(self, handler: Callable[[Context], Any]) -> None:
        """Runs a handler as a task of its own."""
        self._task = asyncio.create_task(self._run(handler), name=f"semel-{self.attempt_id}")

    async def _run(self, handler: Callable[[Context], Any]) -> None:
        try:
            ended = Ended(self._key, How.RETURNED, await handler(self))
        except asyncio.CancelledError as error:
            ended = Ended(self._key, How.STOPPED, error)
        except Exception as error:  # noqa: BLE001
            ended = Ended(self._key, How.RAISED, error)
        self._post(ended)
