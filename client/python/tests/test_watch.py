"""The course of a watch: what it tells, where to go on, and what a break does to it."""

from __future__ import annotations

import pytest
from grpc import StatusCode as Code
from statuses import refused, unexplained

import semel
from semel import v1
from semel._core.options import RetryOptions
from semel._core.refusal import Origin
from semel._core.watch import token
from semel._core.watch.course import Course, Filter
from semel._core.watch.items import Item, Told
from semel._core.watch.marks import APPS_MAX, Marks
from semel._core.watch.reader import silence_of
from semel._core.watch.reconnect import Next, Troubles, decide, pace


def course(**fields: object) -> Course:
    return Course(Filter(v1.WatchRequest(**fields)))  # type: ignore[arg-type]


def opened(which: Course, resume_token: str = "A") -> list[Item]:
    return which.open(v1.WatchOpened(revision=4, oldest_revision=1), resume_token)


def events(*places: tuple[str, int], resume_token: str = "") -> v1.WatchResponse:
    told = v1.WatchEvents(events=[v1.Event(app=app, revision=revision) for app, revision in places])
    return v1.WatchResponse(resume_token=resume_token, events=told)


def tokens(items: list[Item]) -> list[str | None]:
    return [item.resume_token for item in items]


def test_each_event_of_a_message_has_a_place_of_its_own() -> None:
    watch = course()
    assert [(item.told, item.resume_token) for item in opened(watch)] == [(Told.OPENED, "A")]
    items = watch.take(events(("pay", 6), ("pay", 6), ("shop", 7), resume_token="B"))
    assert tokens(items) == ["A~pay:6:1", "A~pay:6:2", "B"]
    assert tokens(watch.take(events(("pay", 8)))) == ["B~pay:8:1"], "more of the revision follows"


def test_after_a_break_nothing_is_told_again_and_nothing_is_left_out() -> None:
    watch = course()
    opened(watch)
    watch.take(events(("pay", 5), resume_token="B"))
    watch.take(events(("pay", 6), ("pay", 6)))
    assert [item.told for item in watch.lose(semel.TransportError("x"))] == [Told.LOST]
    assert watch.lose(semel.TransportError("x")) == [], "it is said once"
    assert watch.request().resume_token == "B"
    opened(watch, "B")
    again = watch.take(events(("pay", 6), ("pay", 6), ("pay", 6), ("pay", 7), resume_token="C"))
    assert tokens(again) == ["B~pay:6:3", "C"]


def test_a_token_of_the_middle_of_a_message_is_gone_on_from() -> None:
    watch = course(resume_token="B~pay:6:2")
    assert watch.request().resume_token == "B"
    assert tokens(opened(watch, "B")) == ["B~pay:6:2"]
    items = watch.take(events(("pay", 6), ("pay", 6), ("pay", 6), ("shop", 6), resume_token="C"))
    assert tokens(items) == ["B~pay:6:3", "C"]


def test_a_snapshot_has_no_place_before_its_end_and_is_begun_again() -> None:
    watch = course(snapshot=v1.SNAPSHOT_SCOPE_LIVE)
    rows = v1.WatchResponse(snapshot=v1.WatchSnapshot(runs=[v1.Run(run_id="r")], jobs=[v1.Job(name="j")]))
    assert [item.told for item in opened(watch, "")] == [Told.OPENED, Told.SNAPSHOT_BEGIN]
    items = watch.take(rows)
    assert [(item.told, item.resume_token) for item in items] == [(Told.RUN, None), (Told.JOB, None)]
    assert not watch.is_at_token
    watch.lose(semel.TransportError("x"))
    assert watch.request().snapshot == v1.SNAPSHOT_SCOPE_LIVE
    assert [item.told for item in opened(watch, "")] == [Told.OPENED, Told.SNAPSHOT_BEGIN]
    end = v1.WatchResponse(resume_token="B", snapshot_end=v1.WatchSnapshotEnd(revision=9))
    assert [(item.told, item.revision, item.resume_token) for item in watch.take(end)] == [(Told.SNAPSHOT_END, 9, "B")]
    assert watch.is_at_token


def test_what_a_later_server_says_tells_nothing_and_moves_nothing() -> None:
    watch = course()
    opened(watch)
    assert watch.take(v1.WatchResponse(resume_token="Z")) == []
    assert watch.request().resume_token == "A"


def test_a_start_is_one_of_three() -> None:
    assert course(from_revision=7).request().from_revision == 7
    with pytest.raises(semel.UsageError):
        course(from_revision=7, snapshot=v1.SNAPSHOT_SCOPE_ALL)
    with pytest.raises(semel.UsageError), semel.Client() as client:
        client.watch(from_revision=1, resume_token="A")


def test_tokens_are_written_and_read_back() -> None:
    for text in ("AbC-_", "AbC~pay:7:1", "AbC~:9:2,pay/settle:7:1"):
        assert token.write(*token.read(text)) == text
    for text in ("", "~pay:7:1", "AbC~", "AbC~pay", "AbC~pay:x:1", "AbC~pay:7:1,"):
        with pytest.raises(semel.UsageError):
            token.read(text)


def test_marks_keep_within_their_bound_and_close_whole_revisions() -> None:
    marks = Marks()
    assert marks.admit("pay", 6)
    marks.close({"pay": (6, 1)})
    assert [marks.admit("pay", revision) for revision in (6, 5, 7)] == [False, False, True]
    for number in range(APPS_MAX + 1):
        marks.admit(str(number), 1)
    marks.close({})
    assert marks.admit("pay", 6), "they were forgotten"


@pytest.mark.parametrize(
    ("refusal", "known", "expected"),
    [
        (refused(Code.UNAVAILABLE, "DRAINING"), {}, (Next.AGAIN, 0.2)),
        (unexplained(Code.UNKNOWN, Origin.NOT_SENT), {"failures": 99}, (Next.AGAIN, 10.0)),
        (unexplained(Code.INTERNAL), {}, (Next.AGAIN, 0.2)),
        (unexplained(Code.INTERNAL), {"faults": 3}, (Next.END, 0.0)),
        (refused(Code.PERMISSION_DENIED, "FORBIDDEN"), {}, (Next.END, 0.0)),
        (refused(Code.OUT_OF_RANGE, "RESUME_COMPACTED"), {}, (Next.END, 0.0)),
        (refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED"), {}, (Next.RENEW, 0.0)),
        (refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED"), {"failures": 2}, (Next.RENEW, 0.4)),
        (refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED"), {"renewed": True}, (Next.END, 0.0)),
        (refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED"), {"can_renew": False}, (Next.END, 0.0)),
    ],
)
def test_what_follows_from_a_broken_stream(
    refusal: object, known: dict[str, int], expected: tuple[Next, float]
) -> None:
    troubles = Troubles(**{"can_renew": True, "failures": 1, **known})  # type: ignore[arg-type]
    assert decide(refusal, troubles, pace(RetryOptions()), 1.0) == expected  # type: ignore[arg-type]
    assert decide(refusal, troubles, pace(RetryOptions.none()), 1.0)[0] is Next.END  # type: ignore[arg-type]


def test_silence_is_three_intervals() -> None:
    interval = v1.WatchOpened()
    assert silence_of(interval) == 90.0
    interval.progress_interval.seconds = 1
    assert silence_of(interval) == 3.0
