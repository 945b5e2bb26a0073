"""Both APIs against a real server: restarts, giving up, signals, and the example. What both drivers do alike is held in
test_driver.py."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from conftest import App, Server

import semel
import semel.aio
from semel import v1

EXAMPLE = pathlib.Path(__file__).resolve().parents[1] / "examples" / "word_count"
SECONDS_MAX = 30


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_calls_many_runs_and_a_watch_outlive_a_killed_server(own_server: Server) -> None:
    app = App(own_server, "pay")
    with app.client() as client:
        seen: list[str] = []
        cancel = semel.Cancel()

        def watch() -> None:
            try:
                for item in client.watch(from_revision=1, jobs=["count"], progress_interval=1, cancel=cancel):
                    if item.event is not None and item.event.kind == v1.EVENT_KIND_RUN_CREATED:
                        seen.append(item.event.run.run_id)
                    if len(seen) == 2002:
                        return
            except semel.Cancelled:
                return

        watcher = in_thread(watch)
        restarted = threading.Event()

        def restart() -> None:
            own_server.start()
            restarted.set()

        def runs() -> Iterator[v1.RunJobRequest]:
            for number in range(2000):
                if number == 1000:
                    own_server.stop(signal.SIGKILL)
                    in_thread(restart)
                yield semel.run("count", str(number))

        first = client.run_job("count")
        made = [each.run_id for each in client.submit_many(runs())]
        assert restarted.wait(SECONDS_MAX)
        last = client.run_job("count")
        watcher.join(SECONDS_MAX)
        cancel.cancel()
        assert len(set(made)) == 2000
        assert sorted(seen) == sorted([first.run_id, *made, last.run_id])


async def test_an_asyncio_worker_outlives_a_killed_server(own_server: Server) -> None:
    app = App(own_server, "pay")
    async with semel.aio.Client(own_server.endpoint, app="pay", credentials=app.credentials) as client:
        worker = semel.aio.Worker(client, slots=4)
        entered = asyncio.Event()

        @worker.processor("count")
        async def count(cx: semel.aio.Context) -> str:
            entered.set()
            while not cx.payload.data or (own_server.folder / "go").exists() is False:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            return cx.attempt_id

        working = asyncio.create_task(worker.run())
        made = await client.run_job("count", b"x")
        await asyncio.wait_for(entered.wait(), SECONDS_MAX)
        await asyncio.to_thread(own_server.restart)
        (own_server.folder / "go").touch()
        run = await client.wait(made.run_id, timeout=SECONDS_MAX)
        assert (run.state, run.result.data.decode()) == (v1.RUN_STATE_SUCCEEDED, f"{made.run_id}/1")
        worker.stop()
        assert (await working).succeeded == 1


def test_a_wait_ends_with_its_time_and_says_how_far_the_run_is(app: App) -> None:
    with app.client() as client:
        made = client.run_job("count", "x", labels={"a": "b"})
        with pytest.raises(TimeoutError) as caught:
            client.wait(made.run_id, timeout=0.2)
        assert isinstance(caught.value, semel.WaitTimeout)
        assert caught.value.run is not None
        assert (caught.value.run.state, caught.value.run.labels["a"]) == (v1.RUN_STATE_QUEUED, "b")


def test_a_unique_key_makes_one_run(app: App) -> None:
    with app.client() as client:
        first, second = (client.run_job("count", unique_key="k") for _ in range(2))
        assert (first.run_id, first.existing, second.existing) == (second.run_id, False, True)


def watch_until_it_ends(items: Iterator[semel.Item], opened: threading.Event) -> None:
    for _ in items:
        opened.set()


def test_closing_a_client_ends_what_is_under_way(app: App) -> None:
    client = app.client()
    made = client.run_job("count")
    errors: list[semel.Error] = []

    def until_it_ends(work: Callable[[], object]) -> Callable[[], None]:
        def body() -> None:
            try:
                work()
            except semel.Error as error:
                errors.append(error)

        return body

    cancel, opened = semel.Cancel(), threading.Event()
    works: list[Callable[[], object]] = [
        lambda: client.wait(made.run_id),
        lambda: client.wait(made.run_id, cancel=cancel),
        lambda: watch_until_it_ends(client.watch(cancel=cancel), opened),
    ]
    threads = [in_thread(until_it_ends(work)) for work in works]
    assert opened.wait(SECONDS_MAX)
    client.close()
    for thread in threads:
        thread.join(SECONDS_MAX)
    assert [type(each) for each in errors] == [semel.Cancelled] * 3
    assert not cancel.is_cancelled, "it is the caller's"
    with pytest.raises(semel.Cancelled, match=r"closed|gave up"):
        client.run_job("count")


async def test_a_cancelled_task_ends_its_call_and_names_the_id(app: App) -> None:
    async with semel.aio.Client(app.server.endpoint, app=app.name, credentials=app.credentials) as client:
        made = await client.run_job("count")
        request_id = client.mint_request_id()
        waiting = asyncio.create_task(client.wait_run(made.run_id, request_id=request_id))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        if sys.version_info >= (3, 11) and getattr(caught.value, "__notes__", None):
            assert request_id in caught.value.__notes__[0]
        assert (await client.get_run(made.run_id)).run.run_id == made.run_id


async def test_plain_functions_run_beside_coroutines(app: App) -> None:
    async with semel.aio.Client(app.server.endpoint, app=app.name, credentials=app.credentials) as client:
        worker = semel.aio.Worker(client, slots=2)
        threads: list[bool] = []

        @worker.processor("count")
        def count(cx: semel.Context) -> str:
            threads.append(threading.current_thread() is not threading.main_thread())
            cx.log("counted\n")
            return str(len(cx.payload.data.split()))

        working = asyncio.create_task(worker.run())
        made = await client.run_job("count", "to be or not")
        run = await client.wait(made.run_id, timeout=SECONDS_MAX)
        assert (run.result.data, threads) == (b"4", [True])
        chunks = (await client.get_run_logs(made.run_id)).chunks
        assert b"".join(each.data for each in chunks) == b"counted\n"
        worker.stop()
        await working


def environment(app: App) -> dict[str, str]:
    own = {"SEMEL_SERVER": app.server.endpoint, "SEMEL_APP": app.name, "SEMEL_SECRET": app.secret}
    return {**os.environ, **own}


def test_ctrl_c_ends_a_blocking_call_at_once(app: App) -> None:
    program = (
        "import os, semel\n"
        "app = os.environ['SEMEL_APP']\n"
        "client = semel.Client(os.environ['SEMEL_SERVER'], app=app, credentials=semel.Secret.from_env(app))\n"
        "run_id = client.run_job('count').run_id\n"
        "print('ready', flush=True)\n"
        "client.wait(run_id)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(app), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=5)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said


def test_the_example_counts_words_and_its_watcher_goes_on_after_a_restart(app: App, tmp_path: pathlib.Path) -> None:
    env = environment(app)
    worker = subprocess.Popen([sys.executable, str(EXAMPLE / "worker.py")], env=env, stdout=subprocess.PIPE, text=True)
    try:
        files = []
        for name, text in (("one", "to be or not to be"), ("two", "that is the question"), ("bad", b"\xff")):
            file = tmp_path / name
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            files.append(str(file))
        submit = [sys.executable, str(EXAMPLE / "submit.py"), *files]
        said = subprocess.run(submit, env=env, capture_output=True, text=True, check=True, timeout=SECONDS_MAX).stdout
        assert 'one RUN_STATE_SUCCEEDED {"words": 6, "most_common": {"to": 2, "be": 2, "or": 1, "not": 1}}' in said
        assert "two RUN_STATE_SUCCEEDED" in said
        assert "bad RUN_STATE_FAILED" in said
        told = []
        for count in ("2", "1"):
            watch = [sys.executable, str(EXAMPLE / "watch.py"), "--count", count]
            ended = subprocess.run(
                watch, env=env, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=SECONDS_MAX
            )
            told += [line.split()[1] for line in ended.stdout.splitlines()]
        assert sorted(told) == ["bad", "one", "two"]
    finally:
        worker.send_signal(signal.SIGINT)
        said, _ = worker.communicate(timeout=SECONDS_MAX)
    assert "succeeded=2" in said
    assert "failed=1" in said
