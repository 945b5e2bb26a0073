"""What the convenient forms of arguments become: requests of the protocol."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from semel import v1
from semel.errors import UsageError

Data = v1.Payload | bytes | str
"""A payload: as it is, or bytes (`application/octet-stream`), or text (`text/plain`)."""


def payload(data: Data) -> v1.Payload:
    """A payload of what was given."""
    if isinstance(data, v1.Payload):
        return data
    if isinstance(data, str):
        return v1.Payload(data=data.encode(), content_type="text/plain; charset=utf-8")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return v1.Payload(data=bytes(data), content_type="application/octet-stream")
    raise UsageError(f"a payload is bytes, text or a Payload, and not a {type(data).__name__}")


def moment(time: datetime.datetime | None, name: str) -> datetime.datetime | None:
    """The same time, if it says which moment it means. One without a zone is refused, for it would be taken as UTC."""
    if time is not None and time.tzinfo is None:
        raise UsageError(f"{name} has no time zone; give one, for instance datetime.now(timezone.utc)")
    return time


def run(
    job: str,
    payload_: Data | None = None,
    *,
    app: str = "",
    labels: Mapping[str, str] | None = None,
    priority: int | None = None,
    start_time: datetime.datetime | None = None,
    deadline: datetime.datetime | None = None,
    unique_key: str | v1.UniqueKey | None = None,
    request_id: str = "",
) -> v1.RunJobRequest:
    """The request of `RunJob`."""
    return v1.RunJobRequest(
        header=v1.RequestHeader(request_id=request_id) if request_id else None,
        app=app,
        job=job,
        payload=payload(payload_) if payload_ is not None else None,
        labels=labels,
        priority=priority,
        start_time=moment(start_time, "start_time"),
        deadline=moment(deadline, "deadline"),
        unique_key=v1.UniqueKey(key=unique_key) if isinstance(unique_key, str) else unique_key,
    )
