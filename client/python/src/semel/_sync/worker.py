"""The worker that blocks: a thread for the stream, one for each attempt, and the caller's for the course that decides."""

from __future__ import annotations

import inspect
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from semel._core import flow as fx
from semel._core.refusal import Refusal
from semel._core.worker import events
from semel._core.worker.context import BaseContext, WorkerSetup
from semel._core.worker.course import Course
from semel._core.worker.held import Key
from semel._core.worker.link import OPEN_TIMEOUT, dial
from semel._core.worker.outcome import Result, Summary
from semel._sync.client import Client
from semel._sync.context import Context
from semel._sync.stream import SyncStream
from semel.errors import Cancelled, Error, UsageError

log = logging.getLogger("semel.worker")

READ_TIMEOUT = 3600.0
Handler = Callable[[Context], Result]


class Worker(WorkerSetup[Handler]):
    """Takes runs over one stream, gives them to handlers, and reports how they ended.

        worker = semel.Worker(client, name="host-1", slots=8)

        @worker.processor("count")
        def count(cx: semel.Context) -> str:
            return str(len(cx.payload.data.split()))

        worker.run()

    A handler runs in a thread of its own. What it returns (bytes, text, a `v1.Payload` or None) is the result of the run;
    an exception fails the attempt with its text, `semel.ProcessError` says more. See `semel.Context` for what it sees.
    """

    def __init__(
        self,
        client: Client,
        *,
        name: str = "",
        app: str = "",
        slots: int = 1,
        drain_timeout: float = 30.0,
        cancel_timeout: float = 10.0,
        on_event: Callable[[events.WorkerEvent], object] | None = None,
    ) -> None:
        """`name` is for people. `app` is that whose runs it takes; without one, that of the client or of its credentials.
        `slots`: how many attempts it takes at a time, at most 10,000. `drain_timeout`: for how many seconds what runs may
        go on after the shutdown has begun. `cancel_timeout`: how many seconds a handler may take to stop after it was told
        to. `on_event` is told what happens, in the thread of `run`."""
        super().__init__(
            client._runner.core, name=name, app=app, slots=slots, drain_timeout=drain_timeout,
            cancel_timeout=cancel_timeout, on_event=on_event,
        )  # fmt: skip
        self._runner = client._runner
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._contexts: dict[Key, Context] = {}
        self._signals = 0

    def add_processor(self, name: str, handler: Handler) -> None:
        if inspect.iscoroutinefunction(handler):
            raise UsageError(f"the handler of {name!r} is a coroutine; semel.aio.Worker runs those")
        super().add_processor(name, handler)

    def stop(self) -> None:
        """Begins the shutdown, from any thread: no new work is taken, what runs may end within the drain timeout, the rest
        is told to stop and given back. A second call cuts the drain short."""
        self._inbox.put(events.Shutdown())

    def run(self, *, handle_signals: bool = True) -> Summary:
        """Works until `stop` is called or, in the main thread, SIGINT (Ctrl-C) or SIGTERM come; then it drains. It
        reconnects by itself, for ever; it raises only when a server refuses the worker for good, for instance because the
        credentials do not allow it to work. A third Ctrl-C raises KeyboardInterrupt."""
        course = Course(self._core, self._settings(), time.monotonic())
        former = self._take_signals() if handle_signals else {}
        try:
            self._live(course)
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
            self._let_go(course)
        return course.finish()

    def _live(self, course: Course) -> None:
        while True:
            now = time.monotonic()
            course.advance(now)
            for action in course.take_actions():
                self._perform(action)
            if course.is_done(now):
                return
            self._take_in(course, max(course.next_wake(now) - now, 0.0))

    def _take_in(self, course: Course, timeout: float) -> None:
        """Waits for something to happen, and takes in all that has."""
        try:
            event = self._inbox.get(timeout=timeout)
            while True:
                course.handle(event.take_progress() if isinstance(event, BaseContext) else event, time.monotonic())
                event = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _perform(self, action: Any) -> None:
        match action:
            case events.Send():
                action.stream.send(action.message)
            case events.Drop():
                action.stream.cancel()
            case events.Dial():
                self._in_background(lambda: self._dial(action))
            case events.Renew():
                self._in_background(lambda: self._renew(action))
            case events.Start():
                context = Context(self._core, action.held.assignment, self._inbox.put)
                self._contexts[action.held.key] = context
                context.run_in_thread(self._handlers[action.held.assignment.processor])
            case events.Observe():
                self._observe(action.event)
            case events.Interrupt() | events.ReleaseLog() | events.CloseLog():
                self._tell_context(action)

    def _tell_context(self, action: Any) -> None:
        context = self._contexts.get(action.key)
        if context is None:
            return
        match action:
            case events.Interrupt():
                context.interrupt()
            case events.ReleaseLog():
                context.release_log(action.cost)
            case events.CloseLog():
                context.close_log()

    def _observe(self, event: events.WorkerEvent) -> None:
        if event.told is events.WorkerTold.ENDED:
            self._contexts.pop(Key(event.run_id, event.attempt), None)
        self._tell(event)

    def _in_background(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="semel-worker", daemon=True).start()

    def _dial(self, action: events.Dial) -> None:
        try:
            dialled: events.Dialled = self._runner.run(dial(self._core, action.hello))
        except (Error, fx.GaveUp) as error:
            self._inbox.put(events.DialEnded(_as_error(error)))
            return
        self._inbox.put(events.DialEnded(dialled))
        stream: Any = dialled.stream
        self._pump(stream)

    def _pump(self, stream: SyncStream) -> None:
        """Hands on what a stream says, until it ends."""
        while True:
            message = stream.recv(READ_TIMEOUT)
            if message is not None:
                self._inbox.put(events.Came(stream, message))
            if isinstance(message, Refusal):
                return

    def _renew(self, action: events.Renew) -> None:
        deadline = time.monotonic() + 2 * OPEN_TIMEOUT
        try:
            self._inbox.put(events.Renewed(self._runner.run(self._core.renew(action.generation, deadline))))
        except (Error, fx.GaveUp) as error:
            self._inbox.put(events.Renewed(_as_error(error)))

    def _let_go(self, course: Course) -> None:
        """Leaves no stream open, and no handler that was not told to stop."""
        for context in self._contexts.values():
            context.interrupt()
            context.close_log()
        stream = course.books.stream
        if stream is not None:
            stream.half_close()
            self._close(stream)

    def _close(self, stream: Any) -> None:
        """Waits a moment for the server to end the stream, so that it does not take the worker for lost."""
        until = time.monotonic() + CLOSE_TIMEOUT
        while (left := until - time.monotonic()) > 0:
            try:
                event = self._inbox.get(timeout=left)
            except queue.Empty:
                break
            if isinstance(event, events.Came) and isinstance(event.message, Refusal):
                break
        stream.cancel()

    def _take_signals(self) -> dict[signal.Signals, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {each: signal.signal(each, self._on_signal) for each in (signal.SIGINT, signal.SIGTERM)}

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 2 and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop()


CLOSE_TIMEOUT = 2.0
"""How long a worker that has ended waits for the server to end the stream, in seconds."""


def _as_error(error: Exception) -> Error:
    return error if isinstance(error, Error) else Cancelled("the client is closed")
