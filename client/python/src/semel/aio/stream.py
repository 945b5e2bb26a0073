"""An open stream, with a task that reads it and one that writes it: waiting for it can have a bound, and sending never
waits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc

from semel._core import refusal
from semel._core.methods import Method
from semel._core.refusal import Refusal

INBOX_MAX = 4
"""Messages that lie ready; while they do, gRPC's flow control holds the server."""


class AsyncStream:
    """See the module."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: Method,
        request: Any | None,
        metadata: Any,
    ) -> None:
        types: dict[str, Any] = {
            "request_serializer": method.request.SerializeToString,
            "response_deserializer": method.response.FromString,
        }
        if request is None:
            self._call: Any = channel.stream_stream(method.path, **types)(metadata=metadata)
        else:
            self._call = channel.unary_stream(method.path, **types)(request, metadata=metadata)
        self._inbox: deque[Any] = deque()
        self._outbox: deque[Any] = deque()
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        self._to_send = asyncio.Event()
        self._is_over = False
        self._tasks = [asyncio.create_task(self._read())]
        if request is None:
            self._tasks.append(asyncio.create_task(self._write()))

    def send(self, message: Any) -> None:
        self._outbox.append(message)
        self._to_send.set()

    def half_close(self) -> None:
        self.send(None)

    @property
    def backlog(self) -> int:
        return len(self._outbox)

    @property
    def has_some(self) -> bool:
        return bool(self._inbox) or self._is_over

    def cancel(self) -> None:
        """Lets go of it, whatever lies in it."""
        self._is_over = True
        self._inbox.clear()
        self._came.set()
        for task in self._tasks:
            task.cancel()
        self._call.cancel()

    async def ready(self) -> None:
        """Waits until there is something to take."""
        while not self.has_some:
            self._came.clear()
            await self._came.wait()

    async def recv(self, timeout: float) -> Any:
        """The next message, or a `Refusal` with which it has ended, or None if the time is over."""
        if not self.has_some:
            try:
                await asyncio.wait_for(self.ready(), timeout)
            except (asyncio.TimeoutError, TimeoutError):
                return None
        return self.take()

    def take(self) -> Any:
        """What is there. To be called only where `has_some`."""
        if not self._inbox:
            return refusal.no_answer("the stream was let go of")
        if isinstance(self._inbox[0], Refusal):
            return self._inbox[0]
        message = self._inbox.popleft()
        self._taken.set()
        return message

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                while len(self._inbox) >= INBOX_MAX:
                    self._taken.clear()
                    await self._taken.wait()
                self._put(message)
            self._put(await self._end())
        except grpc.aio.AioRpcError as error:
            self._put(refusal.from_grpc(error))
        except asyncio.CancelledError:
            if not self._is_over:
                # The channel was closed, or the call ended by itself.
                self._put(refusal.no_answer("the stream was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001
            self._put(refusal.no_answer(f"the stream could not be read: {error}"))

    async def _end(self) -> Refusal:
        if await self._call.code() is grpc.StatusCode.OK:
            return refusal.no_answer("the stream has ended without a word")
        return refusal.no_answer(str(await self._call.details()))

    def _put(self, message: Any) -> None:
        self._inbox.append(message)
        self._came.set()

    async def _write(self) -> None:
        try:
            while True:
                while not self._outbox:
                    self._to_send.clear()
                    await self._to_send.wait()
                message = self._outbox[0]
                if message is None:
                    await self._call.done_writing()
                    return
                await self._call.write(message)
                self._outbox.popleft()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The reading half says why.
            return
