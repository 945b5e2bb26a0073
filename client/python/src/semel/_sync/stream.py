"""An open stream, read by a thread of its own so that waiting for it can have a bound."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc

from semel._core import refusal
from semel._core.refusal import Refusal

INBOX_MAX = 4
"""Messages that lie ready; while they do, gRPC's flow control holds the server."""


class Outbox:
    """What is to be sent, as the iterator that gRPC takes it from in a thread of its own. Its users bound what lies in
    it by `backlog`."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def put(self, message: Any) -> None:
        self._queue.put(message)

    def end(self) -> None:
        self._queue.put(None)

    def __len__(self) -> int:
        return self._queue.qsize()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._queue.get, None)


class SyncStream:
    """See the module."""

    def __init__(self, channel: grpc.Channel, method: Any, request: Any | None, metadata: Any) -> None:
        self._outbox = Outbox()
        types: dict[str, Any] = {
            "request_serializer": method.request.SerializeToString,
            "response_deserializer": method.response.FromString,
        }
        if request is None:
            call = channel.stream_stream(method.path, **types)(iter(self._outbox), metadata=metadata)
        else:
            call = channel.unary_stream(method.path, **types)(request, metadata=metadata)
        self._call: Any = call
        self._inbox: deque[Any] = deque()
        self._changed = threading.Condition()
        self._is_over = False
        threading.Thread(target=self._read, name="semel-stream", daemon=True).start()

    def send(self, message: Any) -> None:
        self._outbox.put(message)

    def half_close(self) -> None:
        self._outbox.end()

    @property
    def backlog(self) -> int:
        return len(self._outbox)

    def cancel(self) -> None:
        """Lets go of it, whatever lies in it."""
        with self._changed:
            self._is_over = True
            self._inbox.clear()
            self._changed.notify_all()
        self._outbox.end()
        self._call.cancel()

    def recv(self, timeout: float) -> Any:
        """The next message, or a `Refusal` with which it has ended, or None if the time is over."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._inbox or self._is_over, timeout):
                return None
            if not self._inbox:
                return refusal.no_answer("the stream was let go of")
            if isinstance(self._inbox[0], Refusal):
                return self._inbox[0]
            message = self._inbox.popleft()
            self._changed.notify_all()
            return message

    @property
    def has_some(self) -> bool:
        with self._changed:
            return bool(self._inbox) or self._is_over

    def _read(self) -> None:
        try:
            for message in self._call:
                if not self._put(message):
                    return
            self._put(refusal.no_answer("the stream has ended without a word"))
        except grpc.RpcError as error:
            self._put(refusal.from_grpc(error))
        except Exception as error:  # noqa: BLE001
            self._put(refusal.no_answer(f"the stream could not be read: {error}"))
        finally:
            self._outbox.end()

    def _put(self, message: Any) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._inbox) < INBOX_MAX or self._is_over)
            if self._is_over:
                return False
            self._inbox.append(message)
            self._changed.notify_all()
        return True
