"""The errors of this package. They own what a caller can learn from a failed call, and decide nothing."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

if TYPE_CHECKING:
    from semel import v1


class Kind(str, enum.Enum):
    """Who is behind an error."""

    REFUSED = "refused"
    """A Semel server said no: see `reason`."""
    NOT_SEMEL = "not_semel"
    """Somebody answered, but no Semel server: a proxy, a wrong address. What became of the call is not known; sending it
    again under the same id is safe."""
    TRANSPORT = "transport"
    """Nobody answered: no connection, a lost one, or a time-out. What became of the call is not known; sending it again
    under the same id is safe."""
    USAGE = "usage"
    """It was not sent, for the way it was made is wrong."""
    CANCELLED = "cancelled"
    """The caller gave up. What became of the call is not known; `get_request` tells."""


class Violation(NamedTuple):
    """What is wrong with a field of a request."""

    field: str
    description: str


class Error(Exception):
    """Why a call failed, after everything that may be tried was tried."""

    kind: Kind = Kind.TRANSPORT

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        auth_status: int = 0,
        may_retry: bool = False,
        request_id: str = "",
        attempts: int = 0,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] = MappingProxyType({}),
        retry_after: float | None = None,
        header: v1.ResponseHeader | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """What the server wrote, for people."""
        self.code = code
        """The code of gRPC. `OK` where an answer came that no Semel server gave."""
        self.reason = reason
        """The reason, for instance `REQUEST_ID_REUSED`; empty if no Semel server gave one."""
        self.auth_status = auth_status
        """What became of the credentials, a `v1.AuthStatus`. 0 means that no Semel server spoke: it is no verdict."""
        self.may_retry = may_retry
        """Whether the same request may be sent again as it stands, under the same id, with some hope. False where
        something has to be mended first: the credentials, the id, a field."""
        self.request_id = request_id
        """The id of the call: with it the same call can be made again, or be looked up. Empty if it was never made."""
        self.attempts = attempts
        """How often the call was sent."""
        self.violations = tuple(violations)
        """What is wrong with the request: each field with what is wrong with it."""
        self.metadata = dict(metadata)
        """What the reason adds, for instance the first field that differs."""
        self.retry_after = retry_after
        """After how many seconds the server wishes to be asked again."""
        self.header = header
        """The header of the refusal; None if no Semel server spoke."""

    @property
    def oldest_revision(self) -> int | None:
        """For `RESUME_COMPACTED`: the oldest revision that the server keeps, from which a watch can begin."""
        text = self.metadata.get("oldest_revision", "")
        return int(text) if text.isdecimal() else None

    def __str__(self) -> str:
        parts = [self.reason] if self.reason else []
        if self.kind is Kind.NOT_SEMEL and not self.reason:
            parts.append("no Semel server answered")
        text = ": ".join([*parts, self.message or self.code.name])
        if not self.request_id:
            return text
        return f"{text} ({self.code.name}, request {self.request_id}, sent {self.attempts} times)"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.message, dict(self.__dict__)))


def _restore(kind: type[Error], message: str, attributes: dict[str, Any]) -> Error:
    error = kind(message)
    error.__dict__.update(attributes)
    return error


class Refused(Error):
    """A Semel server said no."""

    kind = Kind.REFUSED


class NotSemel(Error):
    """Somebody answered, but no Semel server."""

    kind = Kind.NOT_SEMEL


class TransportError(Error):
    """Nobody answered."""

    kind = Kind.TRANSPORT


class UsageError(Error, ValueError):
    """It was not sent, for the way it was made is wrong."""

    kind = Kind.USAGE

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, **{"code": grpc.StatusCode.INVALID_ARGUMENT, **details})


class Cancelled(Error):
    """The caller gave up, by a `Cancel` or by closing the client. Where asyncio or Ctrl-C end a call, their own
    exceptions are raised instead, with the request id in their notes (Python 3.11 and later)."""

    kind = Kind.CANCELLED

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message, **{"code": grpc.StatusCode.CANCELLED, **details})


class WaitTimeout(Error, TimeoutError):
    """The run had not ended when the time to wait was over. Its last state stands in `run`."""

    kind = Kind.TRANSPORT

    def __init__(self, message: str, run: v1.Run | None = None, **details: Any) -> None:
        super().__init__(message, **{"code": grpc.StatusCode.DEADLINE_EXCEEDED, "may_retry": True, **details})
        self.run = run


BY_KIND: Mapping[Kind, type[Error]] = MappingProxyType(
    {each.kind: each for each in (Refused, NotSemel, TransportError, UsageError, Cancelled)}
)
