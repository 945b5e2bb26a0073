"""Request ids: their form (UUIDv7, RFC 9562) and how one is made of a time. It never reads a clock, so that the corrected
clock of the client is the only source of that time.

They come from uuid-utils: CPython has no UUIDv7 before 3.14, and its own takes no time. The library does, and draws its
random bits anew after a fork.
"""

from __future__ import annotations

import uuid

import uuid_utils

from semel.errors import UsageError


def mint(now: float) -> str:
    """A fresh id that bears the time `now`, in seconds since 1970; the rest is random."""
    milliseconds = max(int(now * 1000), 0)
    return str(uuid_utils.uuid7(nanoseconds=milliseconds * 1_000_000))


def time_of(request_id: str) -> float:
    """When an id was minted, in seconds since 1970, to the millisecond. Raises `UsageError` where it is no UUIDv7."""
    try:
        parsed = uuid.UUID(request_id)
    except ValueError as error:
        raise UsageError(f"{request_id!r} is no UUID") from error
    if parsed.version != 7:
        raise UsageError(f"{request_id!r} is no UUID of version 7")
    return (parsed.int >> 80) / 1000
