"""Runs flows by blocking: it performs one effect after another and sends the results back in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from semel._core import attempt
from semel._core import channel as channels
from semel._core import flow as fx
from semel._core.core import Core
from semel._core.options import Settings
from semel._sync.cancel import Cancel
from semel._sync.stream import SyncStream
from semel.errors import Cancelled, Error

T = TypeVar("T")

CALLS_AT_A_TIME = 16
"""Threads of one `CallAll`."""
PULL_SECONDS = 0.002
"""After how long what was pulled is sent, though more would fit into the message."""


class Runner:
    """See the module. It owns the channel."""

    def __init__(self, settings: Settings) -> None:
        self.core = Core(settings, threading.Lock())
        self.closing = Cancel()
        self._options = channels.options(settings)
        self._route = channels.route(settings)
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._callables: dict[str, Any] = {}

    def close(self) -> None:
        self.closing.cancel()
        with self._lock:
            channel, self._channel = self._channel, None
            self._callables.clear()
        if channel is not None:
            channel.close()

    @property
    def channel(self) -> grpc.Channel:
        """Made at the first use, so that a client may be made before a fork and used after it."""
        with self._lock:
            if self.closing.is_cancelled:
                raise Cancelled("the client is closed")
            if self._channel is None:
                target, credentials = self._route.target, self._route.credentials
                if credentials is None:
                    self._channel = grpc.insecure_channel(target, options=self._options)
                else:
                    self._channel = grpc.secure_channel(target, credentials, options=self._options)
            return self._channel

    def run(self, flow: fx.Flow[T], cancel: Cancel | None = None) -> T:
        """Runs a flow to its end. It tells nothing on the way."""
        with self._ends(cancel) as end:
            return _drive(flow, lambda effect: self._perform(effect, end))

    @contextlib.contextmanager
    def _ends(self, cancel: Cancel | None) -> Iterator[Cancel]:
        """What ends a flow: the closing of the client, and the caller's own wish."""
        if cancel is None:
            yield self.closing
            return
        end = Cancel()
        hooks = [(each, each._add(end.cancel)) for each in (self.closing, cancel)]
        try:
            yield end
        finally:
            for each, number in hooks:
                each._remove(number)

    def iterate(
        self, flow: fx.Flow[None], pull: Iterator[Any] | None = None, cancel: Cancel | None = None
    ) -> Iterator[Any]:
        """Runs a flow and gives what it tells, as it does so. `pull` is what it may pull from."""
        sent: Any = None
        fail: BaseException | None = None
        with self._ends(cancel) as end, contextlib.closing(flow):
            while True:
                try:
                    effect = flow.send(sent) if fail is None else flow.throw(fail)
                except StopIteration:
                    return
                sent = fail = None
                if isinstance(effect, fx.Tell):
                    yield from effect.items
                    continue
                try:
                    sent = self._perform(effect, end, pull)
                except BaseException as error:  # noqa: BLE001
                    fail = error

    def _perform(self, effect: Any, cancel: Cancel, pull: Iterator[Any] | None = None) -> Any:
        if cancel.is_cancelled:
            raise fx.GaveUp
        try:
            return self._do(effect, cancel, pull)
        except ValueError as error:
            if self.closing.is_cancelled:
                # The channel was closed just now; gRPC says so by this.
                raise fx.GaveUp from error
            raise

    def _do(self, effect: Any, cancel: Cancel, pull: Iterator[Any] | None) -> Any:
        match effect:
            case fx.Attempt():
                return self._attempt(effect, cancel)
            case fx.Pause():
                self._pause(effect.seconds, cancel)
            case fx.TakeGate():
                _take(effect.gate, cancel)
            case fx.Open():
                return SyncStream(self.channel, effect.method, effect.request, attempt.metadata_of(effect.bearer))
            case fx.Read():
                return self._read(effect, cancel)
            case fx.ReadOrPull():
                return self._read_or_pull(effect, cancel, pull)
            case fx.CallAll():
                return self._call_all(effect, cancel)
        return None

    def _attempt(self, effect: fx.Attempt, cancel: Cancel) -> Any:
        core = self.core
        sent_at = attempt.sent_at(core, effect)
        made, metadata = self._callable(effect.method), attempt.metadata_of(effect.bearer)
        try:
            if cancel is self.closing:
                # Twice as fast as a future; closing the channel ends it as well.
                response = made(effect.request, timeout=effect.timeout, metadata=metadata)
            else:
                response = _result(made.future(effect.request, timeout=effect.timeout, metadata=metadata), cancel)
        except grpc.RpcError as error:
            if cancel.is_cancelled:
                raise fx.GaveUp from error
            return attempt.refused(core, error, sent_at)
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

    def _pause(self, seconds: float, cancel: Cancel) -> None:
        if cancel.wait(seconds):
            raise fx.GaveUp

    def _read(self, effect: fx.Read, cancel: Cancel) -> Any:
        stream: Any = effect.stream
        hook = cancel._add(stream.cancel)
        try:
            message = stream.recv(effect.timeout)
        finally:
            cancel._remove(hook)
        if cancel.is_cancelled:
            raise fx.GaveUp
        return message

    def _read_or_pull(self, effect: fx.ReadOrPull, cancel: Cancel, pull: Iterator[Any] | None) -> Any:
        stream: Any = effect.stream
        if pull is None or (stream is not None and stream.has_some):
            return self._read(fx.Read(stream, effect.timeout), cancel)
        items: list[Any] = []
        until = time.monotonic() + PULL_SECONDS
        for item in pull:
            items.append(item)
            if len(items) >= fx.PULLED_MAX or time.monotonic() >= until:
                return fx.Pulled(items)
        return fx.Pulled(items, is_end=True)

    def _call_all(self, effect: fx.CallAll, cancel: Cancel) -> list[Any]:
        def one(flow: fx.Flow[Any]) -> Any:
            try:
                return self.run(flow, cancel)
            except Error as error:
                return error

        with ThreadPoolExecutor(min(CALLS_AT_A_TIME, len(effect.flows)), "semel-call") as pool:
            return list(pool.map(one, effect.flows))


def _drive(flow: fx.Flow[T], perform: Callable[[Any], Any]) -> T:
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
            sent = perform(effect)
        except BaseException as error:  # noqa: BLE001
            fail = error


def _result(call: Any, cancel: Cancel) -> Any:
    hook = cancel._add(call.cancel)
    try:
        return call.result()
    except grpc.FutureCancelledError as error:
        raise fx.GaveUp from error
    except BaseException:
        call.cancel()
        raise
    finally:
        cancel._remove(hook)


def _take(gate: Any, cancel: Cancel) -> None:
    while not gate.acquire(timeout=0.1):
        if cancel.is_cancelled:
            raise fx.GaveUp
