"""Giving up on a call from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Cancel:
    """Ends calls from another thread: give it to them as `cancel`, and call `cancel()` when the caller no longer wants
    them. They then raise `semel.Cancelled`. That takes nothing back on the server: what became of a cancelled call is
    found under its request id by `get_request`.

    One may serve many calls, at the same time or one after another; once cancelled it stays so.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._hooks: dict[int, Callable[[], object]] = {}
        self._count = 0

    def cancel(self) -> None:
        """Ends all calls that have it, and those that come with it later."""
        with self._lock:
            self._event.set()
            hooks = list(self._hooks.values())
        for hook in hooks:
            hook()

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits until it is cancelled, at most so long; whether it is."""
        return self._event.wait(seconds)

    def _add(self, hook: Callable[[], object]) -> int:
        """Calls `hook` when it is cancelled, at once if it is. Gives a number for `_remove`."""
        with self._lock:
            self._count += 1
            number = self._count
            self._hooks[number] = hook
            is_set = self._event.is_set()
        if is_set:
            hook()
        return number

    def _remove(self, number: int) -> None:
        with self._lock:
            self._hooks.pop(number, None)
