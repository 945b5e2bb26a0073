"""The workers of both drivers, and the processors that they offer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import semel
import semel.aio
from semel_driver import protocol
from semel_driver.protocol import Json, Lines, named


def setup(command: Json) -> Json:
    """The keywords of a worker."""
    keywords: Json = {"name": command["worker"], "slots": command.get("slots") or 1}
    if command.get("drain_timeout") is not None:
        keywords["drain_timeout"] = protocol.seconds(command["drain_timeout"])
    return keywords


def observer(lines: Lines, name: str) -> Callable[[semel.WorkerEvent], None]:
    """Tells the runner what a worker tells."""

    def on_event(event: semel.WorkerEvent) -> None:
        if event.told is semel.WorkerTold.DISCONNECTED:
            return
        line: Json = {"worker": name, "told": event.told.value}
        if event.run_id:
            line |= {"run_id": event.run_id, "attempt": event.attempt}
        if event.outcome:
            line["outcome"] = event.outcome
        lines.write(line)

    return on_event


def number_of(cx: semel.Context | semel.aio.Context) -> float:
    return float(cx.payload.data or b"0") / 1000


def text_of(cx: semel.Context | semel.aio.Context) -> str:
    return cx.payload.data.decode("utf-8", "replace")


class Workers:
    """Those of the blocking driver."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.workers: dict[str, semel.Worker] = {}
        self.released: dict[tuple[str, str], threading.Event] = {}
        self.lock = threading.Lock()

    def run(self, client: semel.Client, command: Json, cancel: semel.Cancel) -> Json:
        name = command["worker"]
        worker = semel.Worker(client, on_event=observer(self.lines, name), **setup(command))
        for processor in command["processors"]:
            worker.add_processor(processor, self.handler(name, processor))
        self.workers[name] = worker
        cancel._add(worker.stop)
        return protocol.summary_json(worker.run(handle_signals=False))

    def stop(self, command: Json) -> Json:
        named(self.workers, command, "worker").stop()
        return {}

    def gate(self, worker: str, run_id: str) -> threading.Event:
        with self.lock:
            return self.released.setdefault((worker, run_id), threading.Event())

    def release(self, command: Json) -> Json:
        self.gate(command["worker"], command["run_id"]).set()
        return {}

    def handler(self, worker: str, processor: str) -> Callable[[semel.Context], semel.Result]:
        def block(cx: semel.Context) -> None:
            gate = self.gate(worker, cx.run_id)
            while not gate.wait(0.02):
                cx.check()

        own: dict[str, Callable[[semel.Context], semel.Result]] = {"conformance.block": block}
        return own.get(processor) or HANDLERS.get(processor) or echo


def echo(cx: semel.Context) -> semel.Result:
    return cx.payload


def fail(cx: semel.Context) -> semel.Result:
    raise semel.ProcessError(text_of(cx))


def permanent(cx: semel.Context) -> semel.Result:
    raise semel.ProcessError(text_of(cx), permanent=True)


def sleep(cx: semel.Context) -> semel.Result:
    cx.sleep(number_of(cx) / 2)
    cx.progress(0.5, "half")
    cx.sleep(number_of(cx) / 2)
    return None


def log(cx: semel.Context) -> semel.Result:
    cx.log(cx.payload.data)
    return None


HANDLERS: dict[str, Callable[[semel.Context], semel.Result]] = {
    "conformance.echo": echo,
    "conformance.fail": fail,
    "conformance.permanent": permanent,
    "conformance.sleep": sleep,
    "conformance.log": log,
}


class AsyncWorkers:
    """Those of the asyncio driver. Two of the processors are plain functions, so that both ways are driven."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.workers: dict[str, semel.aio.Worker] = {}
        self.released: dict[tuple[str, str], asyncio.Event] = {}

    async def run(self, client: semel.aio.Client, command: Json) -> Json:
        name = command["worker"]
        worker = semel.aio.Worker(client, on_event=observer(self.lines, name), **setup(command))
        for processor in command["processors"]:
            worker.add_processor(processor, self.handler(name, processor))
        self.workers[name] = worker
        return protocol.summary_json(await worker.run())

    def stop(self, command: Json) -> Json:
        named(self.workers, command, "worker").stop()
        return {}

    def gate(self, worker: str, run_id: str) -> asyncio.Event:
        return self.released.setdefault((worker, run_id), asyncio.Event())

    def release(self, command: Json) -> Json:
        self.gate(command["worker"], command["run_id"]).set()
        return {}

    def handler(self, worker: str, processor: str) -> Any:
        async def block(cx: semel.aio.Context) -> None:
            await self.gate(worker, cx.run_id).wait()

        own = {"conformance.block": block, "conformance.sleep": sleep_async, "conformance.log": log_async}
        return (
            own.get(processor)
            or {"conformance.echo": echo_async}.get(processor)
            or HANDLERS.get(processor)
            or echo_async
        )


async def echo_async(cx: semel.aio.Context) -> semel.Result:
    return cx.payload


async def sleep_async(cx: semel.aio.Context) -> semel.Result:
    await asyncio.sleep(number_of(cx) / 2)
    cx.progress(0.5, "half")
    await asyncio.sleep(number_of(cx) / 2)
    return None


async def log_async(cx: semel.aio.Context) -> semel.Result:
    await cx.log(cx.payload.data)
    return None
