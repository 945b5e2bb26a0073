"""Request ids: their form (UUIDv7, RFC 9562) and how one is made of a time. It never reads a clock, so that the corrected
clock of the client is the only source of that time.

They come from uuid-utils: CPython has no UUIDv7 before 3.14, and its own takes no time. The library does, and draws its
random bits anew after a fork.
"""

from __future__ import annotations

import uuid_utils


def mint(now: float) -> str:
    """A fresh id that bears the time `now`, in seconds since 1970; the rest is random."""
    milliseconds = max(int(now * 1000), 0)
    return str(uuid_utils.uuid7(nanoseconds=milliseconds * 1_000_000))
