"""The calls of the protocol, read from its descriptors: the path, the types, and the little that differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from semel import v1
from semel.errors import UsageError

PACKAGE = "semel.v1"
SERVER_WAIT_MAX = 60.0
"""The longest that a server waits, in seconds, whatever it was asked for."""
SERVICES = (
    (v1.app_service_pb2, "AppService"),
    (v1.auth_service_pb2, "AuthService"),
    (v1.job_service_pb2, "JobService"),
    (v1.request_service_pb2, "RequestService"),
    (v1.run_service_pb2, "RunService"),
    (v1.server_service_pb2, "ServerService"),
    (v1.trigger_service_pb2, "TriggerService"),
    (v1.watch_service_pb2, "WatchService"),
    (v1.worker_service_pb2, "WorkerService"),
)


@dataclass(frozen=True)
class Method:
    """One call of the protocol."""

    name: str
    path: str
    request: type[Any]
    response: type[Any]
    is_unary: bool


def _all() -> list[Method]:
    found = []
    for module, name in SERVICES:
        for method in module.DESCRIPTOR.services_by_name[name].methods:
            request = getattr(v1, method.input_type.name)
            response = getattr(v1, method.output_type.name)
            is_unary = not (method.client_streaming or method.server_streaming)
            found.append(Method(method.name, f"/{PACKAGE}.{name}/{method.name}", request, response, is_unary))
    return found


ALL = tuple(_all())
BY_NAME = {method.name: method for method in ALL}
BY_REQUEST = {method.request: method for method in ALL}
ISSUE_TOKEN = BY_NAME["IssueToken"]
SUBMIT_RUNS, WATCH, WORK = BY_NAME["SubmitRuns"], BY_NAME["Watch"], BY_NAME["Work"]
# Their `app` is the thing itself, so it is never filled in.
ABOUT_APPS = frozenset({"CreateApp", "UpdateApp", "DeleteApp"})
# How long the server is asked to wait stands in this field; what the server takes its absence for.
WAITS = {"WaitRun": ("timeout", SERVER_WAIT_MAX), "GetRunLogs": ("wait", 0.0)}


def method_of(request: Message) -> Method:
    """Which unary call a request belongs to. Raises `UsageError` where it is none."""
    method = BY_REQUEST.get(type(request))
    if method is None or not method.is_unary:
        raise UsageError(f"a {type(request).__name__} is not the request of a unary call of {PACKAGE}")
    return method


def server_wait(method: Method, request: Any) -> float:
    """How long the server is asked to wait before it answers, in seconds."""
    if method.name not in WAITS:
        return 0.0
    name, unstated = WAITS[method.name]
    if not request.HasField(name):
        return unstated
    asked = getattr(request, name)
    return float(min(max(asked.seconds + asked.nanos / 1e9, 0.0), SERVER_WAIT_MAX))


def fill_app(method: Method, request: Any, app: str) -> None:
    """Puts in the client's app where the request names none."""
    if app and method.name not in ABOUT_APPS and "app" in request.DESCRIPTOR.fields_by_name and not request.app:
        request.app = app


def holds_credentials(method: Method, request: Any) -> bool:
    """Whether the request proves by itself who sends it, so that it goes unsigned."""
    return method is ISSUE_TOKEN and bool(request.secret)
