"""What is read of a status, whoever wrote it."""

from __future__ import annotations

from google.rpc import error_details_pb2
from grpc import StatusCode as Code
from statuses import GrpcStatus, header, refused, retry_info, status, unexplained

import semel
from semel import v1
from semel._core import refusal
from semel._core.refusal import Origin
from semel.errors import Kind


def test_all_that_a_refusal_says_is_in_the_error() -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="job", description="no such name")
    encoded = status(Code.INVALID_ARGUMENT, "INVALID", bad, retry_info(3), oldest_revision="12").SerializeToString()
    read = refusal.from_grpc(GrpcStatus(Code.INVALID_ARGUMENT, "no", ("grpc-status-details-bin", encoded)))
    error = read.to_error("id", 3, may_retry=False)
    assert isinstance(error, semel.Refused)
    assert (error.kind, error.code, error.reason) == (Kind.REFUSED, Code.INVALID_ARGUMENT, "INVALID")
    assert (error.auth_status, error.retry_after, error.oldest_revision) == (v1.AUTH_STATUS_PASSED, 3.0, 12)
    assert (error.request_id, error.attempts, error.violations) == ("id", 3, (("job", "no such name"),))
    assert error.header == header()
    assert str(error) == "INVALID: no (INVALID_ARGUMENT, request id, sent 3 times)"


def test_a_header_without_a_verdict_is_no_semel_servers() -> None:
    said = status(Code.PERMISSION_DENIED, "FORBIDDEN")
    del said.details[1]
    read = refusal.from_status(said)
    assert (read.origin, read.header, read.reason) == (Origin.OTHER, None, "")
    assert isinstance(read.to_error("", 1, may_retry=False), semel.NotSemel)


def test_details_that_cannot_be_read_say_nothing() -> None:
    read = refusal.from_grpc(GrpcStatus(Code.UNAVAILABLE, "x", ("grpc-status-details-bin", b"\xff\xff")))
    assert (read.origin, read.reason) == (Origin.OTHER, "")


def test_who_spoke_is_told_by_what_grpc_says() -> None:
    for details, metadata, origin in (
        ("failed to connect to all addresses; last error: x", (), Origin.NOT_SENT),
        ("Stream removed (Socket closed)", (), Origin.NO_ANSWER),
        ("Stream removed (RST_STREAM (Received RST_STREAM with error code 0))", (), Origin.NO_ANSWER),
        ("Received http2 header with status: 503", (), Origin.OTHER),
        ("upstream connect error", (), Origin.OTHER),
        ("Stream removed", (("date", "today"),), Origin.OTHER),
    ):
        assert refusal.from_grpc(GrpcStatus(Code.UNAVAILABLE, details, *metadata)).origin is origin, details


def test_push_back_is_read() -> None:
    for text, seconds in (("250", 0.25), ("0", 0.0), ("-1", -1.0), ("soon", -1.0)):
        assert refusal.from_grpc(GrpcStatus(Code.UNAVAILABLE, "", ("grpc-retry-pushback-ms", text))).pushback == seconds


def test_what_leaves_the_outcome_open() -> None:
    assert refused(Code.UNAVAILABLE, "DRAINING").nothing_happened
    assert not refused(Code.DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN").nothing_happened
    assert not refused(Code.INTERNAL, "INTERNAL").nothing_happened
    assert unexplained(Code.UNAVAILABLE, Origin.NOT_SENT).nothing_happened
    assert not unexplained(Code.UNAVAILABLE, Origin.NO_ANSWER).nothing_happened
    assert not unexplained(Code.UNAVAILABLE).nothing_happened


def test_only_a_semel_servers_ok_counts() -> None:
    assert refusal.judge_answer(header(request_id="ID"), "id") is None
    for said in (v1.ResponseHeader(request_id="id"), header(request_id="another")):
        judged = refusal.judge_answer(said, "id")
        assert judged is not None
        assert (judged.code, judged.origin) == (Code.OK, Origin.OTHER)
