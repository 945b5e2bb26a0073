"""The worker for asyncio: a task for the stream, one for each attempt, and one for the course that decides."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from semel._core import flow as fx
from semel._core.refusal import Refusal
from semel._core.worker import events
from semel._core.worker.context import BaseContext, WorkerSetup
from semel._core.worker.course import Course
from semel._core.worker.held import Key
from semel._core.worker.link import OPEN_TIMEOUT, dial
from semel._core.worker.outcome import Result, Summary
from semel._sync.context import Context as ThreadContext
from semel.aio.client import Client
from semel.aio.context import Context
from semel.aio.stream import AsyncStream
from semel.errors import Cancelled, Error

log = logging.getLogger("semel.worker")

READ_TIMEOUT = 3600.0
CLOSE_TIMEOUT = 2.0
"""How long a worker that has ended waits for the server to end the stream, in seconds."""
Handler = Callable[[Context], Awaitable[Result]] | Callable[[ThreadContext], Result]


class Worker(WorkerSetup[Handler]):
    """Takes runs over one stream, gives them to handlers, and reports how they ended.

        worker = semel.aio.Worker(client, name="host-1", slots=8)

        @worker.processor("count")
        async def count(cx: semel.aio.Context) -> str:
            return str(len(cx.payload.data.split()))

        await worker.run()

    A handler that is a coroutine function runs as a task; a plain function gets a `semel.Context` and runs in a thread of
    its own. What it returns (bytes, text, a `v1.Payload` or None) is the result of the run; an exception fails the
    attempt with its text, `semel.ProcessError` says more.
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
        """See `semel.Worker`, whose arguments are the same."""
        super().__init__(
            client._runner.core, name=name, app=app, slots=slots, drain_timeout=drain_timeout,
            cancel_timeout=cancel_timeout, on_event=on_event,
        )  # fmt: skip
        self._runner = client._runner
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._contexts: dict[Key, Context | ThreadContext] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Begins the shutdown: no new work is taken, what runs may end within the drain timeout, the rest is told to stop
        and given back. A second call cuts the drain short."""
        self._inbox.put_nowait(events.Shutdown())

    async def run(self, *, handle_signals: bool = False) -> Summary:
        """Works until `stop` is called, then drains. With `handle_signals` SIGINT and SIGTERM call it. It reconnects by
        itself, for ever; it raises only when a server refuses the worker for good, for instance because the credentials
        do not allow it to work. When the task itself is cancelled nothing is drained: handlers are cancelled, and the
        leases run out."""
        course = Course(self._core, self._settings(), time.monotonic())
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM) if handle_signals else ()
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            await self._live(course)
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
            await self._let_go(course)
        return course.finish()

    async def _live(self, course: Course) -> None:
        while True:
            now = time.monotonic()
            course.advance(now)
            for action in course.take_actions():
                self._perform(action)
            if course.is_done(now):
                return
            await self._take_in(course, max(course.next_wake(now) - now, 0.0))

    async def _take_in(self, course: Course, timeout: float) -> None:
        """Waits for something to happen, and takes in all that has."""
        try:
            event = await asyncio.wait_for(self._inbox.get(), timeout)
            while True:
                course.handle(event.take_progress() if isinstance(event, BaseContext) else event, time.monotonic())
                event = self._inbox.get_nowait()
        except (asyncio.TimeoutError, TimeoutError, asyncio.QueueEmpty):
            return

    def _perform(self, action: Any) -> None:
        match action:
            case events.Send():
                action.stream.send(action.message)
            case events.Drop():
                action.stream.cancel()
            case events.Dial():
                self._in_background(self._dial(action))
            case events.Renew():
                self._in_background(self._renew(action))
            case events.Start():
                self._start(action)
            case events.Observe():
                self._observe(action.event)
            case events.Interrupt() | events.ReleaseLog() | events.CloseLog():
                self._tell_context(action)

    def _start(self, action: events.Start) -> None:
        handler: Any = self._handlers[action.held.assignment.processor]
        context: Context | ThreadContext
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None)):  # noqa: B004
            context = Context(self._core, action.held.assignment, self._inbox.put_nowait)
            context.run_as_task(handler)
        else:
            loop, inbox = asyncio.get_running_loop(), self._inbox

            def post(event: Any) -> None:
                loop.call_soon_threadsafe(inbox.put_nowait, event)

            context = ThreadContext(self._core, action.held.assignment, post)
            context.run_in_thread(handler)
        self._contexts[action.held.key] = context

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

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, action: events.Dial) -> None:
        try:
            dialled: events.Dialled = await self._runner.run(dial(self._core, action.hello))
        except (Error, fx.GaveUp) as error:
            self._inbox.put_nowait(events.DialEnded(_as_error(error)))
            return
        self._inbox.put_nowait(events.DialEnded(dialled))
        stream: Any = dialled.stream
        await self._pump(stream)

    async def _pump(self, stream: AsyncStream) -> None:
        """Hands on what a stream says, until it ends."""
        while True:
            message = await stream.recv(READ_TIMEOUT)
            if message is not None:
                self._inbox.put_nowait(events.Came(stream, message))
            if isinstance(message, Refusal):
                return

    async def _renew(self, action: events.Renew) -> None:
        deadline = time.monotonic() + 2 * OPEN_TIMEOUT
        try:
            self._inbox.put_nowait(
                events.Renewed(await self._runner.run(self._core.renew(action.generation, deadline)))
            )
        except (Error, fx.GaveUp) as error:
            self._inbox.put_nowait(events.Renewed(_as_error(error)))

    async def _let_go(self, course: Course) -> None:
        """Leaves no stream open, and no handler that was not told to stop."""
        for context in self._contexts.values():
            context.interrupt()
            context.close_log()
        stream: Any = course.books.stream
        try:
            if stream is not None:
                stream.half_close()
                await self._close()
        finally:
            if stream is not None:
                stream.cancel()
            for task in list(self._tasks):
                task.cancel()

    async def _close(self) -> None:
        """Waits a moment for the server to end the stream, so that it does not take the worker for lost."""
        until = time.monotonic() + CLOSE_TIMEOUT
        while (left := until - time.monotonic()) > 0:
            try:
                event = await asyncio.wait_for(self._inbox.get(), left)
            except (asyncio.TimeoutError, TimeoutError):
                return
            if isinstance(event, events.Came) and isinstance(event.message, Refusal):
                return


def _as_error(error: Exception) -> Error:
    return error if isinstance(error, Error) else Cancelled("the client is closed")
