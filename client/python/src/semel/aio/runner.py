"""Runs flows by awaiting: it performs one effect after another and sends the results back in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

import grpc

from semel._core import attempt
from semel._core import channel as channels
from semel._core import flow as fx
from semel._core.core import Core
from semel._core.options import Settings
from semel.aio.stream import AsyncStream
from semel.errors import Cancelled, Error

T = TypeVar("T")

CALLS_AT_A_TIME = 64
"""Calls of one `CallAll`."""


class Feeder:
    """Takes things from the program, at most `fx.PULLED_MAX` ahead of what was pulled."""

    def __init__(self, source: AsyncIterator[Any] | Iterable[Any]) -> None:
        self._source = source
        self._items: deque[Any] = deque()
        self._came = asyncio.Event()
        self._taken = asyncio.Event()
        self._is_end = False
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._feed())

    def close(self) -> None:
        self._task.cancel()

    @property
    def has_some(self) -> bool:
        return bool(self._items) or self._is_end

    async def ready(self) -> None:
        while not self.has_some:
            self._came.clear()
            await self._came.wait()

    def take(self) -> fx.Pulled:
        """What is there. What the program raised goes on to whoever takes."""
        items = list(self._items)
        self._items.clear()
        self._taken.set()
        if self._error is not None and not items:
            raise self._error
        return fx.Pulled(items, is_end=self._is_end and self._error is None)

    async def _feed(self) -> None:
        try:
            if isinstance(self._source, AsyncIterator):
                async for item in self._source:
                    await self._put(item)
            else:
                for item in self._source:
                    await self._put(item)
        except Exception as error:  # noqa: BLE001
            self._error = error
        self._is_end = True
        self._came.set()

    async def _put(self, item: Any) -> None:
        while len(self._items) >= fx.PULLED_MAX:
            self._taken.clear()
            await self._taken.wait()
        self._items.append(item)
        self._came.set()


class Runner:
    """See the module. It owns the channel, and belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.core = Core(settings, asyncio.Lock())
        self._options = channels.options(settings)
        self._route = channels.route(settings)
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            await channel.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """Made at the first use, in the event loop that uses it."""
        if self.is_closed:
            raise Cancelled("the client is closed")
        if self._channel is None:
            target, credentials = self._route.target, self._route.credentials
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(target, options=self._options)
            else:
                self._channel = grpc.aio.secure_channel(target, credentials, options=self._options)
        return self._channel

    async def run(self, flow: fx.Flow[T]) -> T:
        """Runs a flow to its end. It tells nothing on the way."""
        sent: Any = None
        fail: BaseException | None = None
        while True:
            try:
                effect = flow.send(sent) if fail is None else flow.throw(fail)
            except StopIteration as end:
                result: T = end.value
                return result
            sent = fail = None
            try:
                sent = await self._perform(effect)
            except BaseException as error:  # noqa: BLE001
                fail = error

    async def iterate(
        self, flow: fx.Flow[None], source: AsyncIterator[Any] | Iterable[Any] | None = None
    ) -> AsyncIterator[Any]:
        """Runs a flow and gives what it tells, as it does so. `source` is what it may pull from."""
        feeder = Feeder(source) if source is not None else None
        sent: Any = None
        fail: BaseException | None = None
        try:
            while True:
                try:
                    effect = flow.send(sent) if fail is None else flow.throw(fail)
                except StopIteration:
                    return
                sent = fail = None
                if isinstance(effect, fx.Tell):
                    for item in effect.items:
                        yield item
                    continue
                try:
                    sent = await self._perform(effect, feeder)
                except BaseException as error:  # noqa: BLE001
                    fail = error
        finally:
            flow.close()
            if feeder is not None:
                feeder.close()

    async def _perform(self, effect: Any, feeder: Feeder | None = None) -> Any:
        if self.is_closed:
            raise fx.GaveUp
        match effect:
            case fx.Attempt():
                return await self._attempt(effect)
            case fx.Pause():
                await asyncio.sleep(effect.seconds)
            case fx.TakeGate():
                gate: Any = effect.gate
                await gate.acquire()
            case fx.Open():
                return AsyncStream(self.channel, effect.method, effect.request, attempt.metadata_of(effect.bearer))
            case fx.Read():
                stream: Any = effect.stream
                message = await stream.recv(effect.timeout)
                if self.is_closed:
                    raise fx.GaveUp
                return message
            case fx.ReadOrPull():
                return await _read_or_pull(effect, feeder)
            case fx.CallAll():
                return await self._call_all(effect)
        return None

    async def _attempt(self, effect: fx.Attempt) -> Any:
        core = self.core
        sent_at = attempt.sent_at(core, effect)
        call = self._callable(effect.method)(
            effect.request, timeout=effect.timeout, metadata=attempt.metadata_of(effect.bearer)
        )
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            return attempt.refused(core, error, sent_at)
        except asyncio.CancelledError:
            if self.is_closed:
                raise fx.GaveUp from None
            raise
        return attempt.answered(core, effect, response, sent_at)

    def _callable(self, method: Any) -> Any:
        made = self._callables.get(method.path)
        if made is None:
            serializer, deserializer = method.request.SerializeToString, method.response.FromString
            made = self.channel.unary_unary(
                method.path, request_serializer=serializer, response_deserializer=deserializer
            )
            self._callables[method.path] = made
        return made

    async def _call_all(self, effect: fx.CallAll) -> list[Any]:
        room = asyncio.Semaphore(CALLS_AT_A_TIME)

        async def one(flow: fx.Flow[Any]) -> Any:
            async with room:
                try:
                    return await self.run(flow)
                except Error as error:
                    return error

        return list(await asyncio.gather(*(one(flow) for flow in effect.flows)))


async def _read_or_pull(effect: fx.ReadOrPull, feeder: Feeder | None) -> Any:
    """What comes first; where both are there, what the server says."""
    stream: Any = effect.stream
    waits = [each for each in (stream, feeder) if each is not None]
    if not any(each.has_some for each in waits):
        tasks = [asyncio.create_task(each.ready()) for each in waits]
        try:
            await asyncio.wait(tasks, timeout=effect.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
    return next((each.take() for each in waits if each.has_some), None)
