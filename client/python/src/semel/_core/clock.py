"""The server's clock, as far as this client knows it. It owns the offset between the two clocks and is the only place that
reads this machine's wall clock; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semel import v1


class ServerClock:
    """How far the server's clock is ahead of this machine's, learnt from every header that arrives."""

    def __init__(self, local: Callable[[], float]) -> None:
        self.local = local
        """This machine's clock, in seconds since 1970."""
        self.offset = 0.0
        """By how many seconds the server's clock is ahead. One assignment, so threads need no lock."""

    def now(self) -> float:
        """The server's time now, in seconds since 1970, as far as it is known; this machine's own before."""
        return self.local() + self.offset

    def learn(self, header: v1.ResponseHeader, sent_at: float | None = None) -> None:
        """Learns from a header that has just arrived. Where it answers something that was sent at `sent_at` by
        `local`, its time is taken to be that of the half-way moment; else that of its arrival."""
        if not header.HasField("server_time"):
            return
        arrived_at = self.local()
        moment = arrived_at if sent_at is None else (sent_at + arrived_at) / 2
        self.offset = header.server_time.seconds + header.server_time.nanos / 1e9 - moment
