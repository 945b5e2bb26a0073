"""The driver of `semel.Client`: a thread for each command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import semel
from semel._core.ids import mint
from semel_driver import bare, protocol
from semel_driver.protocol import Json, Lines, Unsupported, named
from semel_driver.workers import Workers


class Driver:
    """See the module."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.clients: dict[str, semel.Client] = {}
        self.under_way: dict[Any, semel.Cancel] = {}
        self.watches: dict[str, semel.Cancel] = {}
        self.workers = Workers(self.lines)

    def run(self) -> None:
        for text in protocol.commands():
            command = protocol.read(text, self.lines)
            if command is None:
                continue
            cancel = self.under_way[command.get("id")] = semel.Cancel()
            threading.Thread(target=self.answer, args=(command, cancel), daemon=True).start()
        for client in self.clients.values():
            client.close()

    def answer(self, command: Json, cancel: semel.Cancel) -> None:
        number = command.get("id")
        try:
            handler: Callable[[Json, semel.Cancel], Json] | None = getattr(self, f"on_{command['op']}", None)
            if handler is None:
                raise Unsupported(f"no such command: {command['op']}")
            self.lines.write({"id": number, "ok": handler(command, cancel)})
        except BaseException as error:
            self.lines.fail(number, error)
        finally:
            self.under_way.pop(number, None)

    def client(self, command: Json) -> semel.Client:
        found: semel.Client = named(self.clients, command, "client")
        return found

    def on_hello(self, command: Json, cancel: semel.Cancel) -> Json:
        return protocol.hello()

    def on_connect(self, command: Json, cancel: semel.Cancel) -> Json:
        self.clients[command["client"]] = semel.Client(command["endpoint"], **protocol.connection(command))
        return {}

    def on_close(self, command: Json, cancel: semel.Cancel) -> Json:
        self.client(command).close()
        return {}

    def on_mint(self, command: Json, cancel: semel.Cancel) -> Json:
        return {"request_id": self.client(command).mint_request_id()}

    def on_uuid(self, command: Json, cancel: semel.Cancel) -> Json:
        # uuid-utils draws the random bits itself.
        return {"uuid": mint(command["unix_ms"] / 1000), "own_random": True}

    def on_call(self, command: Json, cancel: semel.Cancel) -> Json:
        request = protocol.request_of(command["method"], command.get("request"))
        answer = self.client(command).call(request, cancel=cancel, **protocol.call_options(command))
        return protocol.answer_json(answer)

    def on_cancel(self, command: Json, cancel: semel.Cancel) -> Json:
        target = self.under_way.get(command["target"])
        if target is not None:
            target.cancel()
        return {}

    def on_call_many(self, command: Json, cancel: semel.Cancel) -> Json:
        client, request = self.client(command), protocol.request_of("RunJob", command["request"])

        def one(_: int) -> Json:
            try:
                return protocol.made_json(client.call(request, cancel=cancel).response)
            except semel.Error as error:
                return protocol.refused_json(error)

        with ThreadPoolExecutor(command.get("concurrency") or 1) as pool:
            return protocol.many(pool.map(one, range(command["count"])))

    def on_submit_many(self, command: Json, cancel: semel.Cancel) -> Json:
        submitted = self.client(command).submit_many(protocol.numbered(command), cancel=cancel)
        return protocol.many(map(protocol.submitted_json, submitted))

    def on_wait(self, command: Json, cancel: semel.Cancel) -> Json:
        timeout = protocol.seconds(command.get("timeout"))
        try:
            run = self.client(command).wait(command["run_id"], timeout=timeout, cancel=cancel)
        except semel.WaitTimeout as error:
            return {"run": protocol.message_json(error.run), "finished": False}
        return {"run": protocol.message_json(run), "finished": True}

    def on_watch(self, command: Json, cancel: semel.Cancel) -> Json:
        name = command["watch"]
        self.watches[name] = stop = semel.Cancel()
        cancel._add(stop.cancel)
        try:
            for item in self.client(command).watch(cancel=stop, **protocol.watch_keywords(command)):
                self.lines.write(protocol.item_json(name, item))
        except semel.Cancelled:
            if cancel.is_cancelled or not stop.is_cancelled:
                raise
        return {}

    def on_stop_watch(self, command: Json, cancel: semel.Cancel) -> Json:
        named(self.watches, command, "watch").cancel()
        return {}

    def on_worker(self, command: Json, cancel: semel.Cancel) -> Json:
        return self.workers.run(self.client(command), command, cancel)

    def on_stop_worker(self, command: Json, cancel: semel.Cancel) -> Json:
        return self.workers.stop(command)

    def on_release(self, command: Json, cancel: semel.Cancel) -> Json:
        return self.workers.release(command)

    def on_bench_submit(self, command: Json, cancel: semel.Cancel) -> Json:
        start, items = time.monotonic(), 0
        for submitted in self.client(command).submit_many(protocol.timed(command), cancel=cancel):
            submitted.unwrap()
            items += 1
        return {"items": items, "elapsed": round((time.monotonic() - start) * 1000)}

    def on_bench_echo(self, command: Json, cancel: semel.Cancel) -> Json:
        return bare.echo(command["endpoint"], command["duration"] / 1000, command["per_message"])
