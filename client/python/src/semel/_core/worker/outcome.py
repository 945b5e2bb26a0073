"""How attempts end: what handlers return and raise, and what is reported of it."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Any

from semel import v1
from semel._core.channel import MESSAGE_BYTES_MAX
from semel._core.requests import payload

ERROR_CHARACTERS_MAX = 4096
"""What the server takes of an error text."""
RESULT_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
"""A result must fit into a message with what is around it; the server's own limit is lower still."""

Result = v1.Payload | bytes | str | None
"""What a handler may return: the result of the run."""


class ProcessError(Exception):
    """Raised by a handler, it fails the attempt as any exception does, and says what follows."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        """`permanent`: trying again is of no use, whatever the job's retry policy says. `retry_after`: the wait before
        the next attempt in seconds, instead of what that policy says."""
        super().__init__(message)
        self.message = message
        self.permanent = permanent
        self.retry_after = retry_after


class AttemptCancelled(Exception):
    """Raised in a handler that runs in a thread, by its context, when it is to stop. Let it pass. A handler that is a
    coroutine gets `asyncio.CancelledError` instead."""


class Stop(enum.IntEnum):
    """Why a handler was told to stop, the stronger one later: a stronger reason takes the place of a weaker one."""

    NO = 0
    LEASE_LOST = 1
    """The server was not heard of for as long as the lease lasts."""
    DRAINING = 2
    """The worker shuts down."""
    CANCELLED = 3
    """Somebody cancelled the run: say so when it has stopped."""
    OVER = 4
    """The attempt is over for the server: say nothing."""


class How(enum.Enum):
    """How a handler ended."""

    RETURNED = "returned"
    RAISED = "raised"
    STOPPED = "stopped, as it was told to"


@dataclass
class Summary:
    """What a worker did, as the server acknowledged it."""

    attempts: int = 0
    """Attempts whose handler was started."""
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    released: int = 0
    """Attempts that were given back."""
    stale: int = 0
    """Attempts that were over before they could be reported: timed out, or given to another worker."""
    unreported: int = 0
    """Attempts whose report was not acknowledged before the worker had to stop. Their leases run out by themselves."""


def report_of(stop: Stop, how: How, value: Any) -> v1.Report | None:
    """What is reported of an attempt whose handler has ended, without its names. None if it is over for the server."""
    if stop is Stop.OVER:
        return None
    if how is How.RETURNED:
        return succeeded(value)
    if stop is Stop.CANCELLED:
        return v1.Report(cancelled=v1.Report.Cancelled())
    if stop is Stop.DRAINING:
        return released("the worker shut down")
    if stop is Stop.LEASE_LOST:
        return released("the worker lost touch with the server")
    if how is How.STOPPED:
        return failed(ProcessError("the handler ended as if it had been cancelled, and was not"))
    return failed(value)


def released(reason: str) -> v1.Report:
    return v1.Report(released=v1.Report.Released(reason=reason))


def failed(error: BaseException) -> v1.Report:
    """A failure with the error's text."""
    known = error if isinstance(error, ProcessError) else None
    text = str(error) or type(error).__name__
    message = text if known else f"{type(error).__name__}: {error}" if str(error) else text
    wait = None if known is None or known.retry_after is None else datetime.timedelta(seconds=known.retry_after)
    told = v1.Report.Failed(
        error=message[:ERROR_CHARACTERS_MAX], permanent=known is not None and known.permanent, retry_after=wait
    )
    return v1.Report(failed=told)


def succeeded(value: Any) -> v1.Report:
    try:
        result = payload(b"" if value is None else value)
    except ValueError as error:
        return failed(ProcessError(f"the handler returned what is no result: {error}", permanent=True))
    if value is None:
        result = v1.Payload()
    size = result.ByteSize()
    if size > RESULT_BYTES_MAX:
        text = f"the result of {size} bytes is larger than a message can be; give back a reference to it"
        return failed(ProcessError(text, permanent=True))
    return v1.Report(succeeded=v1.Report.Succeeded(result=result))
