"""What a worker knows of its leases, by the steady clock alone. It judges; telling handlers to stop is the course's."""

from __future__ import annotations

from collections import deque

from semel import v1

HEARTBEAT_UNSTATED, LEASE_UNSTATED = 5.0, 30.0
"""What is assumed if the server does not say, in seconds."""
UNANSWERED_MAX = 64
"""A stream on which so many heartbeats found no answer is of no use, whatever else comes over it."""


class Lease:
    """The leases of a worker, which all end together.

    They are good for their duration from the moment at which a heartbeat was *sent* that the server answered: that the
    server read it later can only make them longer. So a worker that was stopped for a while, and first finds old answers
    when it goes on, knows by itself that it must not.
    """

    def __init__(self, now: float) -> None:
        self.duration, self.interval = LEASE_UNSTATED, HEARTBEAT_UNSTATED
        self.until: float | None = None
        """Until when they are good; None before the first stream."""
        self.lost = False
        """Whether they are presumed lost, and that was acted upon."""
        self.unanswered: deque[float] = deque()
        """When the heartbeats were sent that are not answered yet, the oldest first."""
        self.next_heartbeat = now
        self.last_word = now

    def opened(self, opened: v1.Opened, hello_at: float, now: float) -> None:
        """A stream was opened, with a `Hello` that was sent at `hello_at`."""
        self.duration = opened.lease_duration.ToMicroseconds() / 1e6 or LEASE_UNSTATED
        self.interval = opened.heartbeat_interval.ToMicroseconds() / 1e6 or HEARTBEAT_UNSTATED
        self.unanswered.clear()
        self.next_heartbeat = now + self.interval
        self.last_word = now
        self._renew(hello_at)

    def closed(self) -> None:
        """The stream was lost: what was not answered on it never will be."""
        self.unanswered.clear()

    def heard(self, now: float) -> None:
        self.last_word = now

    def sent(self, now: float) -> int:
        """A heartbeat is sent. Gives how many answers are to come until this one is answered."""
        self.next_heartbeat = now + self.interval
        self.unanswered.append(now)
        return len(self.unanswered)

    def answered(self) -> None:
        """The server has answered a heartbeat; they are answered in order."""
        if self.unanswered:
            self._renew(self.unanswered.popleft())

    def _renew(self, sent_at: float) -> None:
        until = sent_at + self.duration
        self.until = until if self.until is None else max(self.until, until)
        self.lost = False

    def heartbeat_is_due(self, now: float) -> bool:
        return self.next_heartbeat <= now

    def is_silent(self, now: float) -> bool:
        """Whether the stream must be taken for dead."""
        return now - self.last_word > self.duration or len(self.unanswered) > UNANSWERED_MAX

    def just_lost(self, now: float) -> bool:
        """True once each time that the leases have to be presumed lost."""
        just = self.until is not None and self.until < now and not self.lost
        self.lost = self.lost or just
        return just

    def next_on_stream(self) -> float:
        """When to look at the stream again; up to the end of the lease the server is not late."""
        return min(self.next_heartbeat, self.last_word + self.duration + 0.001)

    def next_loss(self) -> float | None:
        """When the leases have to be presumed lost, if nothing comes before."""
        return None if self.lost or self.until is None else self.until + 0.001
