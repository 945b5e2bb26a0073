"""Refusals for tests, as a server or somebody else would send them."""

from __future__ import annotations

import uuid
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode

from semel import v1
from semel._core import refusal
from semel._core.refusal import Origin, Refusal

SERVER_SECONDS = 1_750_000_000


def time_of(request_id: str) -> float:
    """When an id was minted, in seconds since 1970."""
    return (uuid.UUID(request_id).int >> 80) / 1000


def packed(message: Any) -> AnyMessage:
    wrapped = AnyMessage()
    wrapped.Pack(message)
    return wrapped


def header(**fields: Any) -> v1.ResponseHeader:
    made = v1.ResponseHeader(auth=v1.AuthResult(status=v1.AUTH_STATUS_PASSED), **fields)
    made.server_time.seconds = SERVER_SECONDS
    return made


def status(
    code: StatusCode, reason: str, *details: Any, domain: str = "semel.v1", **metadata: str
) -> status_pb2.Status:
    """What stands in the details of a refusal of a Semel server."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)
    number = code_pb2.Code.Value(code.name)
    return status_pb2.Status(code=number, message="no", details=[packed(each) for each in (info, header(), *details)])


def refused(code: StatusCode, reason: str, *details: Any, **metadata: str) -> Refusal:
    return refusal.from_status(status(code, reason, *details, **metadata))


def retry_info(seconds: int) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.seconds = seconds
    return info


def unexplained(code: StatusCode, origin: Origin = Origin.OTHER) -> Refusal:
    return refusal.local(code, "", origin)


class GrpcStatus:
    """A status as gRPC hands it over."""

    def __init__(self, code: StatusCode, details: str = "", *metadata: tuple[str, Any]) -> None:
        self._code, self._details, self._metadata = code, details, metadata

    def code(self) -> StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._metadata
