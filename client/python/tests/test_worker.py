"""The course of a worker, with a scripted server in place of a stream, and a clock that the test moves."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from google.rpc import status_pb2
from grpc import StatusCode as Code
from statuses import header, refused, status
from test_basics import settings

import semel
from semel import v1
from semel._core import refusal
from semel._core.auth import UNSIGNED
from semel._core.core import Core
from semel._core.worker import events
from semel._core.worker.books import WorkerSettings
from semel._core.worker.course import Course
from semel._core.worker.held import CHUNK_BYTES, Key
from semel._core.worker.lease import UNANSWERED_MAX, Lease
from semel._core.worker.outcome import How, Stop, report_of

LEASE = 30.0


class Wire:
    """A stream that keeps what is sent."""

    backlog = 0

    def send(self, message: Any) -> None: ...
    def half_close(self) -> None: ...
    def cancel(self) -> None: ...


class World:
    """A worker, what it was asked to do, and what it sent."""

    def __init__(self, **changes: Any) -> None:
        known = {"slots": 2, "drain_timeout": 5.0, "cancel_timeout": 10.0, **changes}
        core = Core(settings(), threading.Lock())
        self.now = 1000.0
        self.course = Course(core, WorkerSettings("pay", "w", "", frozenset({"count"}), **known), self.now)
        self.wire = Wire()
        self.sent: list[v1.WorkRequest] = []
        self.actions: list[Any] = []
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.course.advance(self.now)
        for action in self.course.take_actions():
            if isinstance(action, events.Send):
                self.sent.append(action.message)
            elif not isinstance(action, events.Observe):
                self.actions.append(action)

    def handle(self, event: Any) -> None:
        self.course.handle(event, self.now)
        self.step()

    def open(self, *stale: Key) -> v1.Hello:
        while not (dials := self.take(events.Dial)):
            self.step(1.0)
        told = v1.Opened(stale=[v1.AttemptRef(run_id=each.run_id, attempt=each.attempt) for each in stale])
        told.lease_duration.seconds, told.heartbeat_interval.seconds = int(LEASE), 10
        self.wire = Wire()
        self.handle(events.DialEnded(events.Dialled(self.wire, told, self.now, UNSIGNED)))
        hello: v1.Hello = dials[-1].hello
        return hello

    def take(self, kind: type[Any]) -> list[Any]:
        found = [each for each in self.actions if isinstance(each, kind)]
        self.actions = [each for each in self.actions if not isinstance(each, kind)]
        return found

    def came(self, **kind: Any) -> None:
        head = kind.pop("header", header())
        self.handle(events.Came(self.wire, v1.WorkResponse(header=head, **kind)))

    def assign(self, run_id: str, attempt: int = 1, processor: str = "count") -> Key:
        self.came(assignment=v1.Assignment(run_id=run_id, attempt=attempt, processor=processor))
        return Key(run_id, attempt)

    def end(self, key: Key, how: How = How.RETURNED, value: Any = "ok") -> None:
        self.handle(events.Ended(key, how, value))

    def reports(self) -> list[v1.WorkRequest]:
        found = [each for each in self.sent if each.WhichOneof("kind") == "report"]
        self.sent.clear()
        return found

    def ack(self, request_id: str, refused_by: status_pb2.Status | None = None) -> None:
        self.came(header=header(request_id=request_id), ack=v1.Ack(refused=refused_by))

    def break_off(self) -> None:
        self.handle(events.Came(self.wire, refusal.no_answer("broken")))

    def heartbeats(self) -> int:
        return sum(each.WhichOneof("kind") == "heartbeat" for each in self.sent)


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


def outcome(message: v1.WorkRequest) -> str:
    return str(message.report.WhichOneof("outcome"))


def test_a_report_keeps_its_id_over_reconnects_until_it_is_acknowledged(world: World) -> None:
    key = world.assign("r")
    assert [each.held.key for each in world.take(events.Start)] == [key]
    world.end(key)
    (first,) = world.reports()
    assert (outcome(first), first.report.succeeded.result.data) == ("succeeded", b"ok")
    world.break_off()
    hello = world.open()
    assert [(each.run_id, each.attempt) for each in hello.held] == [key]
    (second,) = world.reports()
    assert second == first
    world.ack(first.header.request_id)
    assert (world.course.books.held, world.course.finish().succeeded) == ({}, 1)


def test_a_report_whose_acknowledgement_was_lost_is_told_as_what_it_was(world: World) -> None:
    key = world.assign("r")
    world.end(key)
    (first,) = world.reports()
    world.break_off()
    world.open(key)
    (again,) = world.reports()
    assert again == first
    world.ack(first.header.request_id)
    assert world.course.finish().succeeded == 1


def test_what_is_stale_is_stopped_and_nothing_is_said_of_it(world: World) -> None:
    key = world.assign("r")
    world.break_off()
    world.open(key)
    assert [each.key for each in world.take(events.Interrupt)] == [key]
    world.end(key, How.STOPPED, None)
    assert (world.reports(), world.course.finish().stale) == ([], 1)


def test_a_cancelled_handler_is_told_and_reported_as_cancelled(world: World) -> None:
    key = world.assign("r")
    cancel = v1.CancelAttempt(run_id="r", attempt=1, reason=v1.CancelAttempt.REASON_CANCELLED)
    world.came(cancel_attempt=cancel)
    world.came(cancel_attempt=cancel)
    assert [each.key for each in world.take(events.Interrupt)] == [key], "it is told once"
    world.end(key, How.STOPPED, None)
    assert [outcome(each) for each in world.reports()] == ["cancelled"]


def test_a_handler_that_does_not_stop_is_told_once_more(world: World) -> None:
    world.assign("r")
    world.came(cancel_attempt=v1.CancelAttempt(run_id="r", attempt=1, reason=v1.CancelAttempt.REASON_CANCELLED))
    world.take(events.Interrupt)
    world.step(10.0)
    assert len(world.take(events.Interrupt)) == 1


def test_when_the_server_was_not_heard_of_for_a_lease_handlers_are_told_to_stop(world: World) -> None:
    key = world.assign("r")
    world.break_off()
    world.step(LEASE - 1)
    assert world.take(events.Interrupt) == []
    world.step(2.0)
    assert [each.key for each in world.take(events.Interrupt)] == [key]
    world.end(key, How.STOPPED, None)
    world.open()
    assert [outcome(each) for each in world.reports()] == ["released"]


def test_draining_waits_for_what_runs_then_gives_it_back(world: World) -> None:
    first, second = world.assign("a"), world.assign("b")
    world.handle(events.Shutdown())
    assert [each.WhichOneof("kind") for each in world.sent] == ["drain", "heartbeat"]
    world.end(first)
    world.step(5.0)
    assert [each.key for each in world.take(events.Interrupt)] == [second]
    world.end(second, How.STOPPED, None)
    first_report, second_report = world.reports()
    assert (outcome(first_report), outcome(second_report)) == ("succeeded", "released")
    world.ack(first_report.header.request_id)
    assert not world.course.is_done(world.now)
    world.ack(second_report.header.request_id)
    assert world.course.is_done(world.now)


def test_a_drained_worker_takes_back_what_was_under_way_to_it(world: World) -> None:
    world.handle(events.Shutdown())
    assert not world.course.is_done(world.now), "the server may not have read it yet"
    world.sent.clear()
    world.assign("late")
    (report,) = world.reports()
    assert outcome(report) == "released"
    world.came(heartbeat_ack=v1.HeartbeatAck())
    world.ack(report.header.request_id)
    assert world.course.is_done(world.now)


def test_what_this_worker_cannot_run_is_refused(world: World) -> None:
    world.assign("a", processor="other")
    for run_id in ("b", "c", "d"):
        world.assign(run_id)
    assert [outcome(each) for each in world.reports()] == ["failed", "released"]


def test_a_later_attempt_ends_an_earlier_one(world: World) -> None:
    world.assign("r", 1)
    world.assign("r", 2)
    assert [each.key for each in world.take(events.Interrupt)] == [Key("r", 1)]
    assert {each.WhichOneof("kind") for each in world.sent} >= {"credit"}, "the one that stops still takes a slot"


def test_a_report_that_is_refused_for_good_is_replaced_by_a_failure_once(world: World) -> None:
    world.end(world.assign("r"))
    (report,) = world.reports()
    world.ack(report.header.request_id, status(Code.INVALID_ARGUMENT, "INVALID"))
    (instead,) = world.reports()
    assert (outcome(instead), instead.report.failed.permanent) == ("failed", True)
    assert instead.header.request_id != report.header.request_id
    world.ack(instead.header.request_id, status(Code.INVALID_ARGUMENT, "INVALID"))
    assert (world.reports(), world.course.finish().stale) == ([], 1)


def test_a_report_that_is_refused_for_now_is_sent_again_under_its_id(world: World) -> None:
    world.end(world.assign("r"))
    (report,) = world.reports()
    world.ack(report.header.request_id, status(Code.UNAVAILABLE, "NO_OWNER"))
    world.step(0.3)
    assert world.reports() == [report]


def test_logs_are_gathered_and_go_before_the_report(world: World) -> None:
    key = world.assign("r")
    for data in (b"one", b"two"):
        world.handle(events.Logged(key, v1.LOG_STREAM_STDOUT, data))
    assert world.sent == []
    world.step(0.2)
    (log,) = world.sent
    assert log.log.data == b"onetwo"
    world.sent.clear()
    world.handle(events.Logged(key, v1.LOG_STREAM_STDERR, b"x" * CHUNK_BYTES))
    world.end(key)
    assert world.sent == [], "one at a time, so that the order holds"
    world.ack(log.header.request_id)
    assert [each.WhichOneof("kind") for each in world.sent] == ["log"]
    world.ack(world.sent[0].header.request_id)
    assert [each.WhichOneof("kind") for each in world.sent] == ["log", "report"]
    assert len(world.take(events.ReleaseLog)) == 2


def test_progress_is_sent_now_and_then_and_the_last_one_counts(world: World) -> None:
    key = world.assign("r")
    for fraction in (0.1, 0.2, 7.0):
        world.handle(events.Progressed(key, fraction, "m" * 300))
    world.step(0.2)
    told = [(each.progress.fraction, len(each.progress.message)) for each in world.sent]
    assert told == [(0.1, 255), (1.0, 255)]


def test_a_silent_server_is_left(world: World) -> None:
    for _ in range(3):
        world.step(10.0)
    assert world.heartbeats() == 3
    world.step(1.0)
    assert [each.stream for each in world.take(events.Drop)] == [world.wire]


def test_a_worker_gives_up_only_where_it_is_refused_for_good() -> None:
    world = World()
    world.take(events.Dial)
    lost = refusal.no_answer("x").to_error("", 1, may_retry=True)
    world.handle(events.DialEnded(lost))
    world.open()
    world.break_off()
    forbidden = refused(Code.PERMISSION_DENIED, "FORBIDDEN").to_error("", 1, may_retry=False)
    world.handle(events.DialEnded(forbidden))
    assert world.course.is_done(world.now)
    with pytest.raises(semel.Refused, match="FORBIDDEN"):
        world.course.finish()


def test_a_lease_is_good_from_when_its_heartbeat_was_sent() -> None:
    lease = Lease(0.0)
    lease.opened(v1.Opened(), 0.0, 0.0)
    lease.sent(10.0)
    lease.sent(20.0)
    lease.answered()
    assert (lease.just_lost(40.0), lease.just_lost(41.0), lease.just_lost(42.0)) == (False, True, False)
    woken = Lease(0.0)
    woken.opened(v1.Opened(), 0.0, 0.0)
    woken.sent(5.0)
    assert woken.just_lost(100.0)
    woken.answered()
    assert woken.just_lost(100.0), "an old answer that is read late renews nothing"
    for _ in range(UNANSWERED_MAX + 1):
        woken.sent(100.0)
    woken.heard(100.0)
    assert woken.is_silent(100.0)


@pytest.mark.parametrize(
    ("stop", "how", "value", "expected"),
    [
        (Stop.NO, How.RETURNED, b"x", "succeeded"),
        (Stop.CANCELLED, How.RETURNED, b"x", "succeeded"),
        (Stop.CANCELLED, How.RAISED, ValueError("x"), "cancelled"),
        (Stop.DRAINING, How.STOPPED, None, "released"),
        (Stop.LEASE_LOST, How.RAISED, ValueError("x"), "released"),
        (Stop.NO, How.RAISED, ValueError("x"), "failed"),
        (Stop.NO, How.RETURNED, 7, "failed"),
    ],
)
def test_what_is_reported(stop: Stop, how: How, value: Any, expected: str) -> None:
    report = report_of(stop, how, value)
    assert report is not None
    assert report.WhichOneof("outcome") == expected
    assert report_of(Stop.OVER, how, value) is None


def test_an_error_fails_with_its_text_and_says_what_follows() -> None:
    failed = report_of(Stop.NO, How.RAISED, ValueError("bad"))
    assert failed is not None
    assert (failed.failed.error, failed.failed.permanent) == ("ValueError: bad", False)
    error = semel.ProcessError("no use" * 1000, permanent=True, retry_after=2.5)
    failed = report_of(Stop.NO, How.RAISED, error)
    assert failed is not None
    assert (len(failed.failed.error), failed.failed.permanent) == (4096, True)
    assert failed.failed.retry_after.ToMilliseconds() == 2500


def test_settings_that_make_no_worker_are_told_at_once() -> None:
    for changes in ({"slots": 0}, {"slots": 10_001}, {"drain_timeout": -1.0}):
        with pytest.raises(semel.UsageError):
            World(**changes)
    with semel.Client() as client:
        with pytest.raises(semel.UsageError, match="processors"):
            semel.Worker(client).run()

        async def handler(cx: Any) -> None: ...

        with pytest.raises(semel.UsageError, match="coroutine"):
            semel.Worker(client).add_processor("x", handler)  # type: ignore[arg-type]
