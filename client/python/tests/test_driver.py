"""Both drivers speak the whole protocol: the same commands, the same answers, over either API."""

from __future__ import annotations

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import App

from semel import v1

DRIVER = pathlib.Path(__file__).resolve().parents[1] / "driver"
SECONDS_MAX = 30


class Driver:
    """A driver process and what it has said."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "semel_driver", *flags],
            env={**os.environ, "PYTHONPATH": str(DRIVER)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        self.number = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def start(self, op: str, **fields: Any) -> int:
        self.number += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": self.number, "op": op, **fields}) + "\n")
        self.process.stdin.flush()
        return self.number

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for line in self.seen:
            if holds(line):
                self.seen.remove(line)
                return line
        while True:
            line = self.lines.get(timeout=SECONDS_MAX)
            if holds(line):
                return line
            self.seen.append(line)

    def answer(self, number: int) -> dict[str, Any]:
        return self.until(lambda line: line.get("id") == number)

    def ok(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = self.answer(self.start(op, **fields))
        assert "ok" in answer, answer
        found: dict[str, Any] = answer["ok"]
        return found


@pytest.fixture(params=["sync", "aio"])
def driver(request: pytest.FixtureRequest, app: App) -> Iterator[Driver]:
    driver = Driver(*(["--aio"] if request.param == "aio" else []))
    credentials = {"app": app.name, "secret": app.secret}
    driver.ok("connect", client="c", endpoint=app.server.endpoint, app=app.name, credentials=credentials)
    yield driver
    assert driver.process.stdin is not None
    driver.process.stdin.close()
    assert driver.process.wait(SECONDS_MAX) == 0


def job(driver: Driver, processor: str) -> str:
    name = processor.rsplit(".", 1)[1]
    driver.ok("call", client="c", method="CreateJob", request={"job": name + ".d", "spec": {"processor": processor}})
    return name + ".d"


def run(driver: Driver, name: str, payload: str) -> str:
    request = {"job": name, "payload": {"data": payload}}
    run_id: str = driver.ok("call", client="c", method="RunJob", request=request)["response"]["run_id"]
    return run_id


def test_calls(driver: Driver) -> None:
    made = driver.ok("call", client="c", method="RunJob", request={"job": "count"})
    assert made["response"]["header"]["disposition"] == "DISPOSITION_EXECUTED"
    assert (made["request_id"], made["attempts"]) == (made["response"]["header"]["request_id"], 1)
    again = driver.ok("call", client="c", method="RunJob", request={"job": "count"}, request_id=made["request_id"])
    assert again["response"]["header"]["disposition"] == "DISPOSITION_REPLAYED"
    error = driver.answer(driver.start("call", client="c", method="GetJob", request={"job": "none"}))["error"]
    assert (error["kind"], error["reason"], error["auth_status"]) == ("refused", "NOT_FOUND", "AUTH_STATUS_PASSED")
    assert "fault" in driver.answer(driver.start("call", client="c", method="GetJob", request={"no": 1}))
    assert driver.ok("uuid", unix_ms=1, random="0" * 20)["uuid"].startswith("00000000-0001-7")
    assert len(driver.ok("mint", client="c")["request_id"]) == 36


def test_a_call_is_cancelled(driver: Driver, app: App) -> None:
    run_id = run(driver, "count", "")
    target = driver.start("call", client="c", method="WaitRun", request={"run_id": run_id})
    driver.ok("cancel", target=target)
    assert driver.answer(target)["error"]["kind"] == "cancelled"


def test_many(driver: Driver) -> None:
    many = driver.ok("call_many", client="c", request={"job": "count"}, count=20, concurrency=4)["results"]
    assert len({each["run_id"] for each in many}) == 20
    many = driver.ok("submit_many", client="c", request={"job": "count"}, count=500)["results"]
    assert len({each["run_id"] for each in many}) == 500
    assert {each["disposition"] for each in many} == {"DISPOSITION_EXECUTED"}
    payload = driver.ok("call", client="c", method="GetRun", request={"run_id": many[7]["run_id"]})
    assert payload["response"]["run"]["payload"]["data"] == "Nw=="
    many = driver.ok("submit_many", client="c", request={"job": "none"}, count=3)["results"]
    assert [each["error"]["reason"] for each in many] == ["NOT_FOUND"] * 3


def test_a_watch_goes_on_from_a_token(driver: Driver) -> None:
    watch = driver.start("watch", client="c", watch="w", request={"jobs": ["count"]})
    driver.until(lambda line: line.get("told") == "opened")
    driver.ok("submit_many", client="c", request={"job": "count"}, count=10)
    events = [driver.until(lambda line: line.get("told") == "event") for _ in range(10)]
    assert driver.ok("stop_watch", watch="w") == {}
    assert driver.answer(watch) == {"id": watch, "ok": {}}
    driver.start("watch", client="c", watch="x", request={"jobs": ["count"]}, token=events[3]["token"])
    again = [driver.until(lambda line: line.get("told") == "event" and line["watch"] == "x") for _ in range(6)]
    ids = [each["message"]["run"]["run_id"] for each in events]
    assert [each["message"]["run"]["run_id"] for each in again] == ids[4:]
    driver.ok("stop_watch", watch="x")


def test_a_snapshot_is_whole(driver: Driver) -> None:
    driver.ok("submit_many", client="c", request={"job": "count"}, count=3)
    driver.start("watch", client="c", watch="w", request={"snapshot": "SNAPSHOT_SCOPE_LIVE"})
    driver.until(lambda line: line.get("told") == "snapshot_end")
    told = [line["told"] for line in driver.seen if "watch" in line]
    assert told[:2] == ["opened", "snapshot_begin"]
    assert (told.count("run"), told.count("job")) == (3, 2)


def test_a_worker_and_its_processors(driver: Driver) -> None:
    names = [f"conformance.{each}" for each in ("echo", "fail", "permanent", "sleep", "block", "log")]
    jobs = {name: job(driver, name) for name in names}
    worker = driver.start("worker", client="c", worker="k", processors=names, slots=8, drain_timeout=5000)
    driver.until(lambda line: line.get("told") == "connected")
    ids = {name: run(driver, jobs[name], "MTA=") for name in names}
    driver.until(lambda line: line.get("told") == "started" and line["run_id"] == ids["conformance.block"])
    driver.ok("release", worker="k", run_id=ids["conformance.block"])
    ended = {name: driver.ok("wait", client="c", run_id=run_id, timeout=20_000)["run"] for name, run_id in ids.items()}
    states = {name.rsplit(".", 1)[1]: each["state"].removeprefix("RUN_STATE_") for name, each in ended.items()}
    assert states == {
        "echo": "SUCCEEDED", "fail": "FAILED", "permanent": "FAILED", "sleep": "SUCCEEDED", "block": "SUCCEEDED",
        "log": "SUCCEEDED",
    }  # fmt: skip
    assert ended["conformance.echo"]["result"]["data"] == "MTA="
    assert ended["conformance.fail"]["attempts"][0]["error"] == "10"
    logs = driver.ok("call", client="c", method="GetRunLogs", request={"run_id": ids["conformance.log"]})
    assert [each["data"] for each in logs["response"]["chunks"]] == ["MTA="]
    driver.ok("stop_worker", worker="k")
    assert driver.answer(worker)["ok"] == {"succeeded": 4, "failed": 2, "cancelled": 0, "released": 0}


def test_a_run_is_cancelled_and_one_is_given_back(driver: Driver) -> None:
    name = job(driver, "conformance.block")
    worker = driver.start("worker", client="c", worker="k", processors=["conformance.block"], slots=2, drain_timeout=0)
    first, second = run(driver, name, ""), run(driver, name, "")
    for run_id in (first, second):
        driver.until(lambda line, run_id=run_id: line.get("told") == "started" and line["run_id"] == run_id)  # type: ignore[misc]
    driver.ok("call", client="c", method="CancelRun", request={"run_id": first})
    driver.until(lambda line: line.get("told") == "cancelled" and line["run_id"] == first)
    ended = driver.until(lambda line: line.get("told") == "ended" and line["run_id"] == first)
    assert ended["outcome"] == "cancelled"
    assert driver.ok("wait", client="c", run_id=first, timeout=20_000)["run"]["state"] == "RUN_STATE_CANCELLED"
    driver.ok("stop_worker", worker="k")
    assert driver.answer(worker)["ok"] == {"succeeded": 0, "failed": 0, "cancelled": 1, "released": 1}
    waited = driver.ok("wait", client="c", run_id=second, timeout=1)
    assert (waited["finished"], waited["run"]["state"]) == (False, v1.RunState.Name(v1.RUN_STATE_QUEUED))
