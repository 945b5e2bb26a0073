"""An attempt that this worker holds: whether its handler runs, why it is to stop, and what is still to be sent about it.
Plain state and its small transitions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from semel import v1
from semel._core.worker.outcome import ProcessError, Stop, failed

CHUNK_BYTES = 32 * 1024
"""A piece of a log is sent when it has grown to this, or when it is 200 ms old: half of what a server takes at most."""
LOG_ROOM_BYTES = 256 * 1024
"""How much of an attempt's log may wait for its acknowledgement; then the writer waits too."""
WRITE_COST = 64
"""What a write costs beside its bytes, so that many tiny ones are bounded as well."""


class Key(NamedTuple):
    """Names an attempt."""

    run_id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.run_id}/{self.attempt}"


@dataclass
class Chunk:
    """A piece of a log."""

    stream: v1.LogStream
    data: bytearray = field(default_factory=bytearray)
    cost: int = 0
    """The room that it takes until it is acknowledged."""


@dataclass
class Outgoing:
    """A message that changes something, and so is sent until it is acknowledged."""

    report: v1.Report | None = None
    chunk: Chunk | None = None
    """One of the two."""
    is_stand_in: bool = False
    """Whether it stands in for a report that the server would not take."""
    request_id: str = ""
    """Minted when it is sent for the first time."""
    sends: int = 0
    """How often it was sent under that id."""
    refusals: int = 0
    """How often it was refused in a way that may pass."""
    sent_at: float = 0.0
    not_before: float = 0.0

    @property
    def is_sent_report(self) -> bool:
        """Whether it is a report that the server may have had already."""
        return self.report is not None and self.sends > 0

    def message(self, key: Key) -> v1.WorkRequest:
        """What is sent."""
        message = v1.WorkRequest(header=v1.RequestHeader(request_id=self.request_id))
        if self.report is not None:
            message.report.CopyFrom(self.report)
            message.report.run_id, message.report.attempt = key
        elif self.chunk is not None:
            log = v1.Log(run_id=key.run_id, attempt=key.attempt, stream=self.chunk.stream, data=bytes(self.chunk.data))
            message.log.CopyFrom(log)
        return message

    @classmethod
    def stand_in(cls, text: str) -> Outgoing:
        """A failure, reported in place of something that the server would not take."""
        return cls(report=failed(ProcessError(text, permanent=True)), is_stand_in=True)


@dataclass
class Held:
    """An attempt that this worker holds."""

    key: Key
    assignment: v1.Assignment
    is_running: bool = False
    stop: Stop = Stop.NO
    queue: deque[Outgoing] = field(default_factory=deque)
    """What is to be sent, in order. Only the first one is ever under way, so the order holds whatever is refused."""
    in_flight: bool = False
    chunks: list[Chunk] = field(default_factory=list)
    """The log that has gathered."""
    progress: tuple[float, str] | None = None
    """What was said last and is not sent yet."""
    progress_from: float = 0.0
    """When progress may be sent again."""

    def write(self, stream: v1.LogStream, data: bytes) -> bool:
        """Adds to the log. Whether it should be sent at once."""
        last = self.chunks[-1] if self.chunks else None
        if last is None or last.stream != stream or len(last.data) + len(data) > CHUNK_BYTES:
            last = Chunk(stream)
            self.chunks.append(last)
        last.data += data
        last.cost += len(data) + WRITE_COST
        return len(self.chunks) > 1 or len(last.data) >= CHUNK_BYTES

    def gather_log(self) -> None:
        """Moves the log that has gathered into the queue."""
        self.queue.extend(Outgoing(chunk=chunk) for chunk in self.chunks)
        self.chunks.clear()
