"""What a refused call says. This file reads a gRPC status, or its like in a stream, into one value; whether to send the
call again is decided in `retry`."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from semel import v1
from semel.errors import BY_KIND, Error, Kind, Violation

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage

ERROR_DOMAIN = "semel.v1"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# How gRPC's core begins what it says by itself; a status of another's words was sent by somebody.
NOT_SENT_WORDS = ("failed to connect to all addresses", "DNS resolution failed", "empty address list")
NO_ANSWER_WORDS = (
    "Stream removed",
    "Deadline Exceeded",
    "Socket closed",
    "Broken pipe",
    "Connection reset",
    "Connection dropped",
    "keepalive watchdog timeout",
    "Transport closed",
    "Endpoint closing",
    "GOAWAY received",
    "Too many pings",
    "Locally cancelled",
    "Channel closed",
)


class Origin(enum.Enum):
    """Who spoke."""

    SERVER = "a Semel server"
    OTHER = "somebody on the way, or a server that is no Semel"
    NOT_SENT = "nobody: there was no connection, so nothing was sent"
    NO_ANSWER = "nobody: the connection was lost, or no answer came in time"


class Status(Protocol):
    """What `grpc.Call` and `grpc.aio.AioRpcError` have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


@dataclass
class Refusal:
    """A refusal, decoded: from the status of a call, or from an item of a stream."""

    code: grpc.StatusCode
    message: str
    origin: Origin
    info: error_details_pb2.ErrorInfo | None = None
    header: v1.ResponseHeader | None = None
    """Only kept when it says what became of the credentials, for otherwise no Semel server wrote it."""
    retry_delay: float | None = None
    violations: list[Violation] = field(default_factory=list)
    pushback: float | None = None
    """gRPC's push-back, in seconds; a negative one says that nothing is to be sent again."""

    @property
    def reason(self) -> str:
        """The reason, if a Semel server gave one, for instance `REQUEST_ID_REUSED`. Without its header a status is
        somebody's word, whatever it says."""
        ours = self.header is not None and self.info is not None and self.info.domain == ERROR_DOMAIN
        return self.info.reason if ours and self.info is not None else ""

    @property
    def nothing_happened(self) -> bool:
        """Whether it is certain that the call took no effect: a Semel server said no, or nothing was sent."""
        if self.origin is Origin.NOT_SENT:
            return True
        codes = grpc.StatusCode
        open_codes = (codes.DEADLINE_EXCEEDED, codes.CANCELLED, codes.INTERNAL, codes.UNKNOWN)
        return self.origin is Origin.SERVER and self.code not in open_codes

    def to_error(self, request_id: str, attempts: int, *, may_retry: bool) -> Error:
        """The error for the caller."""
        kind = {Origin.SERVER: Kind.REFUSED, Origin.OTHER: Kind.NOT_SEMEL}.get(self.origin, Kind.TRANSPORT)
        return BY_KIND[kind](
            self.message,
            code=self.code,
            reason=self.reason,
            auth_status=self.header.auth.status if self.header is not None else 0,
            may_retry=may_retry,
            request_id=request_id,
            attempts=attempts,
            violations=self.violations,
            metadata=self.info.metadata if self.info is not None else {},
            retry_after=self.retry_delay,
            header=self.header,
        )


def local(code: grpc.StatusCode, message: str, origin: Origin) -> Refusal:
    """A refusal that nobody sent."""
    return Refusal(code, message, origin)


def no_answer(message: str) -> Refusal:
    return local(grpc.StatusCode.UNAVAILABLE, message, Origin.NO_ANSWER)


def from_status(status: status_pb2.Status) -> Refusal:
    """Reads the refusal of an item in a stream, for instance `Ack.refused`."""
    refusal = Refusal(CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, Origin.OTHER)
    _take_details(refusal, status.details)
    return refusal


def from_grpc(status: Status) -> Refusal:
    """Reads the status of a call."""
    message = status.details() or ""
    refusal = Refusal(status.code(), message, Origin.OTHER)
    metadata = list(status.trailing_metadata() or ())
    for key, value in metadata:
        if key == DETAILS_KEY:
            _take_encoded_details(refusal, value)
        elif key == PUSHBACK_KEY:
            refusal.pushback = int(value) / 1000 if str(value).isdecimal() else -1.0
    if refusal.header is None and not metadata:
        if message.startswith(NOT_SENT_WORDS):
            refusal.origin = Origin.NOT_SENT
        elif message.startswith(NO_ANSWER_WORDS) and refusal.code is not grpc.StatusCode.UNKNOWN:
            # A stream that ends in what is no gRPC, a web page for instance, is UNKNOWN: that was somebody.
            refusal.origin = Origin.NO_ANSWER
    return refusal


def _take_encoded_details(refusal: Refusal, value: object) -> None:
    try:
        decoded = status_pb2.Status.FromString(value if isinstance(value, bytes) else str(value).encode())
    except DecodeError:
        return
    _take_details(refusal, decoded.details)


def _take_details(refusal: Refusal, details: Iterable[AnyMessage]) -> None:
    for detail in details:
        try:
            _take_detail(refusal, detail)
        except DecodeError:
            continue


def _take_detail(refusal: Refusal, detail: AnyMessage) -> None:
    info, header = error_details_pb2.ErrorInfo(), v1.ResponseHeader()
    retry, bad = error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    if detail.Unpack(info):
        refusal.info = refusal.info or info
    elif detail.Unpack(header):
        if spoke(header):
            refusal.origin = Origin.SERVER
            refusal.header = refusal.header or header
    elif detail.Unpack(retry):
        refusal.retry_delay = max(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9, 0.0)
    elif detail.Unpack(bad):
        refusal.violations.extend(Violation(each.field, each.description) for each in bad.field_violations)


def spoke(header: v1.ResponseHeader) -> bool:
    """Whether a header shows that a Semel server spoke. A verdict that this client does not know yet counts."""
    return header.auth.status != 0


def judge_answer(header: v1.ResponseHeader, request_id: str) -> Refusal | None:
    """Whether an OK is the answer of a Semel server to this request; if not, what it is instead."""
    if not spoke(header):
        message = "the answer says nothing of the credentials; check the address and what stands in between"
    elif header.request_id.lower() != request_id.lower():
        message = f"the answer is one to request {header.request_id!r}; look for a proxy that caches"
    else:
        return None
    return local(grpc.StatusCode.OK, message, Origin.OTHER)
