"""What a watch tells a program."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass

from semel import v1
from semel.errors import Error


class Told(str, enum.Enum):
    """What an item is."""

    OPENED = "opened"
    """The stream is open: for the first time, or again after LOST. `revision` is that after which the events begin,
    `oldest_revision` the oldest one that is kept."""
    SNAPSHOT_BEGIN = "snapshot_begin"
    """Rows follow, then SNAPSHOT_END. Whatever an earlier snapshot told is void, for it was not whole. What changes while
    the rows are read is not among them: its events tell of it."""
    RUN = "run"
    JOB = "job"
    WORKER = "worker"
    SNAPSHOT_END = "snapshot_end"
    """The snapshot is whole; the events that follow are those after `revision`."""
    EVENT = "event"
    """Something happened. Its kind and its subject may be of a later version than this client."""
    PROGRESS = "progress"
    """Nothing else happened up to `revision`."""
    EXPIRING = "expiring"
    """The credentials end soon, at `expire_time`, and this client cannot renew them: the watch will end with
    CREDENTIALS_EXPIRED. Where it can, they are renewed without a word."""
    LOST = "lost"
    """The stream was lost, for the reason in `error`. It is made again by itself and goes on without a gap; nothing has
    to be done."""


@dataclass(frozen=True)
class Item:
    """One thing that a watch tells, and where to go on behind it."""

    told: Told
    resume_token: str | None
    """Where to go on behind this item, also after a restart of the program. Opaque, and no permission; it goes with the
    filter of the watch that gave it. None before the end of a snapshot: a snapshot is begun again."""
    revision: int = 0
    oldest_revision: int = 0
    event: v1.Event | None = None
    run: v1.Run | None = None
    job: v1.Job | None = None
    worker: v1.Worker | None = None
    error: Error | None = None
    expire_time: datetime.datetime | None = None
