"""Handlers: starting them, telling them to stop, and what is made of their end. Nothing here speaks to the server; what is
to be said is put into the attempt's queue."""

from __future__ import annotations

import logging

from semel import v1
from semel._core.worker.books import Books, Phase, Timer
from semel._core.worker.events import CloseLog, Ended, Interrupt, Logged, Progressed, Start, WorkerTold
from semel._core.worker.held import Held, Key, Outgoing
from semel._core.worker.outcome import ProcessError, Stop, failed, released, report_of

log = logging.getLogger("semel.worker")

LOG_AGE = 0.2
"""How old a piece of a log may become before it is sent, in seconds."""
PROGRESS_CHARACTERS_MAX = 255


class Lifecycle:
    """See the module."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def assign(self, assignment: v1.Assignment, now: float) -> None:
        """The server gives work."""
        books = self.books
        key = Key(assignment.run_id, assignment.attempt)
        if key in books.held:
            log.debug("already at work on it: attempt=%s", key)
            return
        self._supersede(key, now)
        held = books.held[key] = Held(key, assignment)
        refused = self._why_not(assignment)
        if refused is not None:
            self._queue_report(held, refused)
            return
        held.is_running = True
        books.running += 1
        books.summary.attempts += 1
        books.actions.append(Start(held))
        books.observe(WorkerTold.STARTED, key)

    def _why_not(self, assignment: v1.Assignment) -> v1.Report | None:
        books = self.books
        if books.phase is not Phase.SERVING:
            return released("the worker is shutting down")
        if assignment.processor not in books.settings.processors:
            return failed(ProcessError(f"this worker has no processor {assignment.processor!r}"))
        if books.running >= books.settings.slots:
            return released("no slot is free")
        return None

    def _supersede(self, key: Key, now: float) -> None:
        """An earlier attempt of the same run is over: the server would not hand out a later one otherwise. One whose last
        word is under way waits for the answer all the same: it may be the very report that ended it, whose
        acknowledgement the assignment has overtaken."""
        earlier = [
            each.key
            for each in self.books.held.values()
            if each.key.run_id == key.run_id
            and each.key.attempt < key.attempt
            and (each.is_running or not each.in_flight)
        ]
        for each in earlier:
            self.over(each, now)

    def on_ended(self, event: Ended) -> None:
        """A handler has ended."""
        books, held = self.books, self.books.held.get(event.key)
        if held is None or not held.is_running:
            return
        held.is_running = False
        books.running -= 1
        books.stopping -= held.stop is Stop.OVER
        report = report_of(held.stop, event.how, event.value)
        outcome = report.WhichOneof("outcome") if report is not None else None
        books.observe(WorkerTold.ENDED, event.key, str(outcome or ""))
        log.debug("a handler has ended: attempt=%s stop=%s outcome=%s", event.key, held.stop.name, outcome)
        if report is None:
            self._forget(event.key)
        else:
            self._queue_report(held, report)

    def _queue_report(self, held: Held, report: v1.Report) -> None:
        """Puts the rest of the log and then the report into the queue."""
        held.gather_log()
        held.queue.append(Outgoing(report=report))
        self.books.ready.append(held.key)

    def on_logged(self, event: Logged, now: float) -> None:
        held = self.books.held.get(event.key)
        if held is None or held.stop is Stop.OVER or not held.is_running:
            return
        is_first = not held.chunks
        if held.write(event.stream, event.data):
            self.flush_log(event.key)
        elif is_first:
            self.books.set_timer(now + LOG_AGE, Timer.FLUSH_LOG, event.key)

    def flush_log(self, key: Key) -> None:
        held = self.books.held.get(key)
        if held is not None and held.stop is not Stop.OVER and held.is_running:
            held.gather_log()
            self.books.ready.append(key)

    def on_progressed(self, event: Progressed) -> None:
        held = self.books.held.get(event.key)
        if held is not None and held.is_running and held.stop is not Stop.OVER:
            fraction = min(max(event.fraction, 0.0), 1.0)
            held.progress = (fraction, event.message[:PROGRESS_CHARACTERS_MAX])

    def stop(self, key: Key, stop: Stop, now: float) -> None:
        """Tells a handler to stop."""
        books, held = self.books, self.books.held.get(key)
        if held is None or not held.is_running or stop <= held.stop:
            return
        if held.stop is Stop.NO:
            books.set_timer(now + books.settings.cancel_timeout, Timer.OVERSTAYED, key)
            books.actions.append(Interrupt(key))
            books.observe(WorkerTold.CANCELLED, key)
        if stop is Stop.LEASE_LOST:
            # Nobody may ever acknowledge its log: a handler that waits for that would not stop.
            held.gather_log()
            books.actions.append(CloseLog(key))
        held.stop = stop
        books.stopping += stop is Stop.OVER

    def stop_all(self, stop: Stop, now: float) -> None:
        for key in [each.key for each in self.books.held.values() if each.is_running]:
            self.stop(key, stop, now)

    def overstayed(self, key: Key) -> None:
        """A handler did not stop in its time."""
        held = self.books.held.get(key)
        if held is not None and held.is_running:
            log.warning("a handler did not stop when told to: attempt=%s", key)
            self.books.actions.append(Interrupt(key))

    def over(self, key: Key, now: float) -> None:
        """An attempt is over for the server: its handler is to stop, and there is nothing more to be said about it."""
        books = self.books
        self.stop(key, Stop.OVER, now)
        held = books.held.get(key)
        if held is None:
            return
        log.info("no longer this worker's: attempt=%s running=%s", key, held.is_running)
        held.stop = Stop.OVER
        held.queue.clear()
        held.chunks.clear()
        held.in_flight = False
        books.actions.append(CloseLog(key))
        if not held.is_running:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        """Takes an attempt that is over for the server out of the books."""
        self.drop(key)
        self.books.summary.stale += 1

    def drop(self, key: Key) -> None:
        """Takes an attempt out of the books."""
        self.books.held.pop(key, None)

    def wanted_credit(self) -> int:
        """How many attempts the server may give this worker: fewer than there are slots while handlers still stop whose
        attempts the server does not count any more."""
        books = self.books
        return max(books.settings.slots - books.stopping, 0) if books.phase is Phase.SERVING else 0
