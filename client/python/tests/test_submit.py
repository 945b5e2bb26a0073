"""The books of `submit_many`: the order, the messages, and what becomes of items whose stream is lost."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from grpc import StatusCode as Code
from statuses import header, status
from test_basics import settings

import semel
from semel import v1
from semel._core.core import Core
from semel._core.submit.book import MESSAGE_ITEMS_MAX, OUTSTANDING_MAX, Book


def book(count: int = 0, data: bytes = b"", **changes: Any) -> Book:
    made = Book(Core(settings(**changes), threading.Lock()))
    for _ in range(count):
        made.take(semel.run("settle", data))
    return made


def ids(message: v1.SubmitRunsRequest) -> list[str]:
    return [run.header.request_id for run in message.runs]


def taken(request_id: str) -> v1.SubmitResult:
    run = v1.SubmittedRun(run_id=f"run-{request_id}", disposition=v1.DISPOSITION_EXECUTED, revision=7)
    return v1.SubmitResult(request_id=request_id, run=run)


def answer(*results: v1.SubmitResult) -> v1.SubmitRunsResponse:
    return v1.SubmitRunsResponse(header=header(), results=results)


def later(made: Book) -> bool:
    return made.has_waiting(time.monotonic() + 60)


def test_messages_are_bounded_by_items_and_by_bytes() -> None:
    made = book(MESSAGE_ITEMS_MAX + 1)
    assert [len(made.pack().runs) for _ in range(2)] == [MESSAGE_ITEMS_MAX, 1]
    made = book(3, b"x" * 600_000)
    assert [len(made.pack().runs) for _ in range(3)] == [1, 1, 1]


def test_what_was_not_given_back_is_bounded() -> None:
    made = book(OUTSTANDING_MAX)
    assert not made.has_room
    assert made.hear(answer(taken(ids(made.pack())[0]))) is None
    assert len(made.ready()) == 1
    assert made.has_room


def test_results_come_in_the_order_of_the_runs() -> None:
    made = book(3)
    first, second, third = ids(made.pack())
    passing = v1.SubmitResult(request_id=first, refused=status(Code.UNAVAILABLE, "NO_OWNER"))
    refused = v1.SubmitResult(request_id=second, refused=status(Code.NOT_FOUND, "NOT_FOUND"))
    assert made.hear(answer(passing, refused, taken(third))) is None
    assert made.ready() == []
    assert later(made)
    again = made.pack()
    assert ids(again) == [first], "the same id"
    made.hear(answer(taken(first)))
    results = made.ready()
    assert [each.request_id for each in results] == [first, second, third]
    assert [each.error.reason if each.error else each.run_id for each in results] == [
        f"run-{first}", "NOT_FOUND", f"run-{third}",
    ]  # fmt: skip
    assert results[0].unwrap().header.request_id == first
    assert (results[0].unwrap().header.revision, results[0].unwrap().header.auth.status) == (7, v1.AUTH_STATUS_PASSED)
    with pytest.raises(semel.Refused):
        results[1].unwrap()


def test_a_lost_stream_is_gone_on_from_under_the_same_ids() -> None:
    made = book(20)
    sent = ids(made.pack())
    made.hear(answer(taken(sent[0])))
    made.lose_stream()
    assert later(made)
    assert ids(made.pack()) == sent[1:]


def test_without_retries_a_lost_stream_ends_its_items() -> None:
    made = book(2, retry=semel.RetryOptions.none())
    made.pack()
    made.lose_stream()
    assert [type(each.error) for each in made.ready()] == [semel.TransportError] * 2


def test_an_item_that_may_have_been_executed_gets_no_fresh_id() -> None:
    expired = status(Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED")
    made = book(1)
    (first,) = ids(made.pack())
    made.hear(answer(v1.SubmitResult(request_id=first, refused=expired)))
    assert later(made)
    (second,) = ids(made.pack())
    assert second != first, "nothing happened under it"
    made.lose_stream()
    assert later(made)
    made.pack()
    made.hear(answer(v1.SubmitResult(request_id=second, refused=expired)))
    assert [each.error.reason for each in made.ready() if each.error] == ["REQUEST_ID_EXPIRED"]


def test_an_answer_out_of_order_breaks_the_stream() -> None:
    made = book(2)
    first, second = ids(made.pack())
    assert made.hear(answer(taken(second))) is not None
    assert made.hear(v1.SubmitRunsResponse(results=[taken(first)])) is not None, "no verdict: no Semel server"


def test_what_is_no_run_is_an_error_of_its_own() -> None:
    made = book()
    made.take("settle")
    made.take(semel.run("settle"))
    assert len(made.pack().runs) == 1
    assert [type(each.error) for each in made.ready()] == [semel.UsageError]
