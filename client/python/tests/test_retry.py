"""The table of client/README.md, row by row."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from grpc import StatusCode as Code
from statuses import refused, retry_info, unexplained

from semel._core.options import RetryOptions
from semel._core.refusal import Origin
from semel._core.retry import FAULTS_MAX, Next, Progress, asked_delay, decide

AGAIN, RENEW, MINT, GIVE_UP = Next.AGAIN, Next.RENEW, Next.MINT_ANEW, Next.GIVE_UP


def first(**known: Any) -> Progress:
    return Progress(**{"attempts": 1, "can_renew": True, **known})


def check(refusal: Any, progress: Progress, expected: Next) -> None:
    assert decide(refusal, progress, RetryOptions()) is expected
    assert decide(refusal, progress, RetryOptions.none()) is GIVE_UP, "without retries nothing is sent again"


@pytest.mark.parametrize(
    ("code", "reason", "delay", "expected"),
    [
        (Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", None, RENEW),
        (Code.UNAUTHENTICATED, "CREDENTIALS_MALFORMED", None, RENEW),
        (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", None, RENEW),
        (Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED", None, RENEW),
        (Code.UNAUTHENTICATED, "CREDENTIALS_REVOKED", None, RENEW),
        (Code.UNAVAILABLE, "AUTH_UNAVAILABLE", 7, AGAIN),
        (Code.UNAVAILABLE, "AUTH_UNAVAILABLE", None, AGAIN),
        (Code.PERMISSION_DENIED, "FORBIDDEN", None, GIVE_UP),
        (Code.RESOURCE_EXHAUSTED, "AUTH_THROTTLED", 7, AGAIN),
        (Code.RESOURCE_EXHAUSTED, "AUTH_THROTTLED", None, GIVE_UP),
        (Code.INVALID_ARGUMENT, "REQUEST_ID_MISSING", None, GIVE_UP),
        (Code.INVALID_ARGUMENT, "REQUEST_ID_MALFORMED", None, GIVE_UP),
        (Code.INVALID_ARGUMENT, "REQUEST_ID_IN_FUTURE", None, MINT),
        (Code.FAILED_PRECONDITION, "REQUEST_ID_REUSED", None, GIVE_UP),
        (Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED", None, MINT),
        (Code.RESOURCE_EXHAUSTED, "OVERLOADED", 7, AGAIN),
        (Code.RESOURCE_EXHAUSTED, "OVERLOADED", None, AGAIN),
        (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", 7, AGAIN),
        (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", None, GIVE_UP),
        (Code.UNAVAILABLE, "DRAINING", None, AGAIN),
        (Code.UNAVAILABLE, "NO_OWNER", None, AGAIN),
        (Code.DEADLINE_EXCEEDED, "OUTCOME_UNKNOWN", None, AGAIN),
        (Code.FAILED_PRECONDITION, "LEASE_STALE", None, GIVE_UP),
        (Code.OUT_OF_RANGE, "RESUME_COMPACTED", None, GIVE_UP),
        (Code.INVALID_ARGUMENT, "INVALID", None, GIVE_UP),
        (Code.NOT_FOUND, "NOT_FOUND", None, GIVE_UP),
        (Code.ABORTED, "ETAG_MISMATCH", None, GIVE_UP),
        (Code.INTERNAL, "INTERNAL", None, AGAIN),
        (Code.UNAVAILABLE, "A_REASON_OF_A_LATER_VERSION", None, AGAIN),
        (Code.FAILED_PRECONDITION, "A_REASON_OF_A_LATER_VERSION", None, GIVE_UP),
    ],
)
def test_what_a_semel_server_said(code: Code, reason: str, delay: int | None, expected: Next) -> None:
    refusal = refused(code, reason, *([retry_info(delay)] if delay else []))
    check(refusal, first(), expected)
    assert asked_delay(refusal) == delay


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.UNAVAILABLE, AGAIN),
        (Code.CANCELLED, AGAIN),
        (Code.DEADLINE_EXCEEDED, AGAIN),
        (Code.INTERNAL, AGAIN),
        (Code.UNKNOWN, AGAIN),
        (Code.OK, AGAIN),
        (Code.UNAUTHENTICATED, GIVE_UP),
        (Code.PERMISSION_DENIED, GIVE_UP),
        (Code.RESOURCE_EXHAUSTED, GIVE_UP),
        (Code.UNIMPLEMENTED, GIVE_UP),
        (Code.INVALID_ARGUMENT, GIVE_UP),
    ],
)
def test_what_no_semel_server_said(code: Code, expected: Next) -> None:
    check(unexplained(code), first(), expected)


@pytest.mark.parametrize("origin", [Origin.NOT_SENT, Origin.NO_ANSWER])
def test_a_lost_connection_passes_however_gprc_calls_it(origin: Origin) -> None:
    check(unexplained(Code.INTERNAL, origin), first(faults=9), AGAIN)


def test_a_reason_without_our_header_is_none_of_ours() -> None:
    refusal = refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED")
    check(dataclasses.replace(refusal, header=None), first(), GIVE_UP)
    check(refused(Code.PERMISSION_DENIED, "CREDENTIALS_EXPIRED", domain="istio.io"), first(), GIVE_UP)


def test_credentials_are_renewed_once_and_only_where_they_can_be() -> None:
    refusal = refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED")
    check(refusal, first(renewed=True), GIVE_UP)
    check(refusal, first(can_renew=False), GIVE_UP)


@pytest.mark.parametrize("reason", ["REQUEST_ID_EXPIRED", "REQUEST_ID_IN_FUTURE"])
def test_a_fresh_id_is_minted_only_where_the_former_one_surely_took_no_effect(reason: str) -> None:
    refusal = refused(Code.FAILED_PRECONDITION, reason)
    check(refusal, first(attempts=2, renewed=True), MINT)
    check(refusal, first(id_given=True), GIVE_UP)
    check(refusal, first(minted_anew=True), GIVE_UP)
    check(refusal, first(attempts=2, outcome_open=True), GIVE_UP)
    assert refusal.header is not None
    refusal.header.ClearField("server_time")
    check(refusal, first(), GIVE_UP)


def test_faults_are_bounded_and_so_are_attempts() -> None:
    check(unexplained(Code.INTERNAL), first(attempts=2, faults=FAULTS_MAX - 1), AGAIN)
    check(unexplained(Code.INTERNAL), first(attempts=3, faults=FAULTS_MAX), GIVE_UP)
    last = RetryOptions().attempts_max
    check(unexplained(Code.UNAVAILABLE), first(attempts=last - 1), AGAIN)
    check(unexplained(Code.UNAVAILABLE), first(attempts=last), GIVE_UP)


def test_push_back_rules_over_what_the_status_says() -> None:
    passing = refused(Code.UNAVAILABLE, "DRAINING", retry_info(2))
    check(dataclasses.replace(passing, pushback=-1.0), first(), GIVE_UP)
    assert asked_delay(dataclasses.replace(passing, pushback=5.0)) == 5.0
    assert asked_delay(dataclasses.replace(passing, pushback=1.0)) == 2.0


def test_the_back_off_doubles_up_to_its_bound_and_jitters_over_all_of_it() -> None:
    options = RetryOptions()
    assert [options.backoff(retry, 1.0) for retry in (1, 2, 5, 20, 10**9)] == [0.05, 0.1, 0.8, 5.0, 5.0]
    assert (options.backoff(5, 0.0), options.backoff(5, 0.5)) == (0.0, 0.4)
