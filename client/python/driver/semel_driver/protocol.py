"""The lines of the driver's protocol: reading commands, writing answers and events, and the JSON forms of what they hold."""

from __future__ import annotations

import json
import pathlib
import platform
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import json_format

import semel
from semel import v1
from semel._core import methods

Json = dict[str, Any]
MILLISECOND = 1000.0


class Unsupported(Exception):
    """This client has no such thing."""


class Fault(Exception):
    """The command cannot be read."""


class Lines:
    """Writes to standard output, a line at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, line: Json) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            sys.stdout.buffer.write(text.encode() + b"\n")
            sys.stdout.buffer.flush()

    def fail(self, number: Any, error: BaseException) -> None:
        """Answers with what became of a command that did not succeed."""
        if isinstance(error, semel.Error):
            self.write({"id": number, "error": error_json(error)})
        elif isinstance(error, Unsupported):
            self.write({"id": number, "unsupported": str(error)})
        else:
            self.write({"id": number, "fault": f"{type(error).__name__}: {error}"})


def commands() -> Iterator[str]:
    """The lines of standard input."""
    for line in sys.stdin.buffer:
        text = line.decode("utf-8", "replace").strip()
        if text:
            yield text


def read(text: str, lines: Lines) -> Json | None:
    """A command; None where it is none, which is answered."""
    try:
        command = json.loads(text)
        if not isinstance(command, dict) or "op" not in command:
            raise Fault("a command is an object with id and op")
    except (ValueError, Fault) as error:
        lines.fail(None, error)
        return None
    return command


def hello() -> Json:
    runtime = f"{platform.python_implementation()} {platform.python_version()}"
    return {
        "client": "semel-client", "version": semel.__version__, "language": "python",
        "runtime": runtime, "grpc": f"grpcio {grpc.__version__}",
    }  # fmt: skip


def connection(command: Json) -> Json:
    """The keywords of a client."""
    options = command.get("options") or {}
    credentials = command.get("credentials")
    offset = seconds(options.get("clock_offset")) or 0.0
    keywords: Json = {"app": command.get("app") or "", "now": lambda: time.time() + offset}
    if credentials and "token" in credentials:
        keywords["credentials"] = semel.Token(credentials["token"])
    elif credentials:
        keywords["credentials"] = semel.Secret(credentials["app"], credentials["secret"])
    for theirs, ours in (("request_timeout", "request_timeout"), ("overall_timeout", "timeout")):
        if options.get(theirs) is not None:
            keywords[ours] = seconds(options[theirs])
    retry: Json = {}
    if options.get("attempts_max") is not None:
        retry["attempts_max"] = options["attempts_max"]
    for name in ("backoff_first", "backoff_max"):
        if options.get(name) is not None:
            retry[name] = seconds(options[name])
    files = options.get("tls") or {}
    pem = {name: pathlib.Path(files[name]).read_bytes() if files.get(name) else None for name in ("ca", "cert", "key")}
    tls = semel.Tls(ca_certificates=pem["ca"], client_certificate=pem["cert"], client_key=pem["key"])
    return {**keywords, "tls": tls, "retry": semel.RetryOptions(**retry)}


def call_options(command: Json) -> Json:
    """The keywords of a call."""
    options: Json = {}
    if command.get("request_id"):
        options["request_id"] = command["request_id"]
    for theirs, ours in (("request_timeout", "request_timeout"), ("overall_timeout", "timeout")):
        if command.get(theirs) is not None:
            options[ours] = seconds(command[theirs])
    return options


def seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / MILLISECOND


def request_of(method: str, fields: Json | None) -> Any:
    """The request message of a unary call."""
    found = methods.BY_NAME.get(method)
    if found is None or not found.is_unary:
        raise Fault(f"there is no unary call {method}")
    return parse(fields, found.request())


def parse(fields: Json | None, message: Any) -> Any:
    try:
        return json_format.ParseDict(fields or {}, message)
    except json_format.ParseError as error:
        raise Fault(f"cannot read the message: {error}") from error


def message_json(message: Any) -> Json:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def error_json(error: semel.Error) -> Json:
    return {
        "kind": error.kind.value,
        "code": error.code.name,
        "reason": error.reason,
        "auth_status": enum_name(v1.AuthStatus, error.auth_status),
        "may_retry": error.may_retry,
        "request_id": error.request_id,
        "attempts": error.attempts,
        "message": error.message,
        "violations": [list(each) for each in error.violations],
        "metadata": error.metadata,
        "oldest_revision": error.oldest_revision,
    }


def enum_name(enum: Any, number: int) -> str | int:
    try:
        return str(enum.Name(number))
    except ValueError:
        return number


def answer_json(answer: semel.Answer[Any]) -> Json:
    response = message_json(answer.response)
    return {"response": response, "request_id": answer.request_id, "attempts": answer.attempts}


def made_json(response: v1.RunJobResponse) -> Json:
    """One result of many that was taken."""
    disposition = enum_name(v1.Disposition, response.header.disposition)
    return {"request_id": response.header.request_id, "run_id": response.run_id, "disposition": disposition}


def refused_json(error: semel.Error) -> Json:
    """One result of many that was not taken."""
    return {"request_id": error.request_id, "error": error_json(error)}


def submitted_json(submitted: semel.Submitted) -> Json:
    if submitted.response is not None:
        return made_json(submitted.response)
    return refused_json(submitted.error or semel.UsageError("neither an answer nor an error"))


def numbered(command: Json, count: int | None = None) -> Iterator[v1.RunJobRequest]:
    """The runs of `submit_many`: the payload of number n is its decimal."""
    template = request_of("RunJob", command["request"])
    for number in range(command["count"] if count is None else count):
        request = v1.RunJobRequest()
        request.CopyFrom(template)
        request.payload.data = str(number).encode()
        yield request


def timed(command: Json) -> Iterator[v1.RunJobRequest]:
    """The runs of `bench_submit`: as many as go through in its time."""
    template = request_of("RunJob", command["request"])
    until = time.monotonic() + command["duration"] / MILLISECOND
    while time.monotonic() < until:
        request = v1.RunJobRequest()
        request.CopyFrom(template)
        yield request


def watch_keywords(command: Json) -> Json:
    """The keywords of a watch."""
    request = parse(command.get("request"), v1.WatchRequest())
    start = request.WhichOneof("start")
    keywords: Json = {name: getattr(request, name) for name in ("app", "terminal_only")}
    keywords |= {name: list(getattr(request, name)) for name in ("apps", "jobs", "run_ids", "kinds")}
    keywords["labels"] = dict(request.labels)
    if request.HasField("progress_interval"):
        keywords["progress_interval"] = request.progress_interval.ToTimedelta().total_seconds()
    if command.get("token"):
        return {**keywords, "resume_token": command["token"]}
    if start:
        keywords[start] = getattr(request, start)
    return {**keywords, "snapshot": request.snapshot or None}


def item_json(watch: str, item: semel.Item) -> Json:
    """What a watch told."""
    line: Json = {"watch": watch, "told": item.told.value, "revision": item.revision, "token": item.resume_token}
    for message in (item.event, item.run, item.job, item.worker):
        if message is not None:
            line["message"] = message_json(message)
    if item.error is not None:
        line["error"] = error_json(item.error)
    return line


def summary_json(summary: semel.Summary) -> Json:
    return {name: getattr(summary, name) for name in ("succeeded", "failed", "cancelled", "released")}


def many(results: Iterable[Json]) -> Json:
    return {"results": list(results)}


def text_id(error: BaseException) -> str:
    """The request id that stands in the notes of somebody else's exception."""
    for note in getattr(error, "__notes__", ()):
        for word in str(note).split():
            if len(word) == 36 and word.count("-") == 4:
                return word
    return ""


def cancelled(error: BaseException) -> semel.Cancelled:
    return semel.Cancelled("the task was cancelled", request_id=text_id(error))


def named(table: dict[str, Any], command: Json, field: str) -> Any:
    """What an earlier command made under a name."""
    try:
        return table[command[field]]
    except KeyError as error:
        raise Fault(f"there is no {field} {command.get(field)!r}") from error
