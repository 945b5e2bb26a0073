"""The driver of `semel.aio.Client`: a task for each command."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import semel
import semel.aio
from semel._core.ids import mint
from semel_driver import bare, protocol
from semel_driver.protocol import Json, Lines, Unsupported, named
from semel_driver.workers import AsyncWorkers


class Driver:
    """See the module."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.clients: dict[str, semel.aio.Client] = {}
        self.under_way: dict[Any, asyncio.Task[None]] = {}
        self.watches: dict[str, asyncio.Task[None]] = {}
        self.workers = AsyncWorkers(self.lines)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        texts: asyncio.Queue[str | None] = asyncio.Queue()

        def read() -> None:
            for text in protocol.commands():
                loop.call_soon_threadsafe(texts.put_nowait, text)
            loop.call_soon_threadsafe(texts.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        while (text := await texts.get()) is not None:
            command = protocol.read(text, self.lines)
            if command is not None:
                self.under_way[command.get("id")] = asyncio.create_task(self.answer(command))
        for task in list(self.under_way.values()):
            task.cancel()
        for client in self.clients.values():
            await client.close()

    async def answer(self, command: Json) -> None:
        number = command.get("id")
        try:
            handler: Callable[[Json], Awaitable[Json]] | None = getattr(self, f"on_{command['op']}", None)
            if handler is None:
                raise Unsupported(f"no such command: {command['op']}")
            self.lines.write({"id": number, "ok": await handler(command)})
        except asyncio.CancelledError as error:
            self.lines.fail(number, protocol.cancelled(error))
        except BaseException as error:
            self.lines.fail(number, error)
        finally:
            self.under_way.pop(number, None)

    def client(self, command: Json) -> semel.aio.Client:
        found: semel.aio.Client = named(self.clients, command, "client")
        return found

    async def on_hello(self, command: Json) -> Json:
        return protocol.hello()

    async def on_connect(self, command: Json) -> Json:
        self.clients[command["client"]] = semel.aio.Client(command["endpoint"], **protocol.connection(command))
        return {}

    async def on_close(self, command: Json) -> Json:
        await self.client(command).close()
        return {}

    async def on_mint(self, command: Json) -> Json:
        return {"request_id": self.client(command).mint_request_id()}

    async def on_uuid(self, command: Json) -> Json:
        # uuid-utils draws the random bits itself.
        return {"uuid": mint(command["unix_ms"] / 1000), "own_random": True}

    async def on_call(self, command: Json) -> Json:
        request = protocol.request_of(command["method"], command.get("request"))
        return protocol.answer_json(await self.client(command).call(request, **protocol.call_options(command)))

    async def on_cancel(self, command: Json) -> Json:
        target = self.under_way.get(command["target"])
        if target is not None:
            target.cancel()
        return {}

    async def on_call_many(self, command: Json) -> Json:
        client, request = self.client(command), protocol.request_of("RunJob", command["request"])
        room = asyncio.Semaphore(command.get("concurrency") or 1)

        async def one() -> Json:
            async with room:
                try:
                    return protocol.made_json((await client.call(request)).response)
                except semel.Error as error:
                    return protocol.refused_json(error)

        return protocol.many(await asyncio.gather(*(one() for _ in range(command["count"]))))

    async def on_submit_many(self, command: Json) -> Json:
        submitted = self.client(command).submit_many(protocol.numbered(command))
        return protocol.many([protocol.submitted_json(each) async for each in submitted])

    async def on_wait(self, command: Json) -> Json:
        timeout = protocol.seconds(command.get("timeout"))
        try:
            run = await self.client(command).wait(command["run_id"], timeout=timeout)
        except semel.WaitTimeout as error:
            return {"run": protocol.message_json(error.run), "finished": False}
        return {"run": protocol.message_json(run), "finished": True}

    async def on_watch(self, command: Json) -> Json:
        name, client, keywords = command["watch"], self.client(command), protocol.watch_keywords(command)

        async def tell() -> None:
            async for item in client.watch(**keywords):
                self.lines.write(protocol.item_json(name, item))

        self.watches[name] = task = asyncio.create_task(tell())
        stopped = asyncio.wait([task])
        try:
            await stopped
        finally:
            task.cancel()
        if not task.cancelled():
            await task
        return {}

    async def on_stop_watch(self, command: Json) -> Json:
        named(self.watches, command, "watch").cancel()
        return {}

    async def on_worker(self, command: Json) -> Json:
        return await self.workers.run(self.client(command), command)

    async def on_stop_worker(self, command: Json) -> Json:
        return self.workers.stop(command)

    async def on_release(self, command: Json) -> Json:
        return self.workers.release(command)

    async def on_bench_submit(self, command: Json) -> Json:
        start, items = time.monotonic(), 0
        async for submitted in self.client(command).submit_many(protocol.timed(command)):
            submitted.unwrap()
            items += 1
        return {"items": items, "elapsed": round((time.monotonic() - start) * 1000)}

    async def on_bench_echo(self, command: Json) -> Json:
        return await bare.echo_async(command["endpoint"], command["duration"] / 1000, command["per_message"])
