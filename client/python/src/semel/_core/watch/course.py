"""The course of a watch over all its streams: what was asked, where it is, what was told, and how the next stream is to be
asked for. Pure: messages come in, items go out; nothing here waits or sends."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from semel import v1
from semel._core.watch import token
from semel._core.watch.items import Item, Told
from semel._core.watch.marks import Marks
from semel.errors import Error, UsageError

STARTS = ("from_revision", "resume_token")


class Filter:
    """What a program asks for: which events, and from where."""

    def __init__(self, request: v1.WatchRequest) -> None:
        """Takes over what stands in a request, its start included."""
        self.request = v1.WatchRequest()
        self.request.CopyFrom(request)
        start = self.request.WhichOneof("start")
        self.from_revision: int | None = request.from_revision if start == "from_revision" else None
        self.token: str | None = request.resume_token if start == "resume_token" else None
        self.snapshot = request.snapshot
        if start and self.snapshot:
            raise UsageError(f"a watch begins with a snapshot or by {start}, not by both")
        self.request.ClearField("snapshot")
        for each in STARTS:
            self.request.ClearField(each)

    @classmethod
    def of(
        cls,
        *,
        app: str,
        apps: Iterable[str],
        jobs: Iterable[str],
        run_ids: Iterable[str],
        labels: Mapping[str, str] | None,
        kinds: Iterable[v1.EventKind],
        terminal_only: bool,
        from_revision: int | None,
        resume_token: str | None,
        snapshot: v1.SnapshotScope | None,
        progress_interval: float | None,
    ) -> Filter:
        """The same by keywords."""
        if from_revision is not None and resume_token is not None:
            raise UsageError("a watch begins at a revision or behind a token, not at both")
        interval = None if progress_interval is None else datetime.timedelta(seconds=progress_interval)
        request = v1.WatchRequest(
            app=app, apps=apps, jobs=jobs, run_ids=run_ids, labels=labels, kinds=kinds, terminal_only=terminal_only,
            snapshot=snapshot, progress_interval=interval,
        )  # fmt: skip
        if from_revision is not None:
            request.from_revision = from_revision
        if resume_token is not None:
            request.resume_token = resume_token
        return cls(request)


class Course:
    """See the module."""

    def __init__(self, asked: Filter) -> None:
        self._asked = asked
        self._marks = Marks()
        self._base: str | None = None
        self._since: token.Passed = {}
        self._in_snapshot = False
        self._is_lost = True
        if asked.token is not None:
            self._base, self._since = token.read(asked.token)
            self._marks.recall(self._since)

    def request(self) -> v1.WatchRequest:
        """What the next stream is to be asked for."""
        request = v1.WatchRequest()
        request.CopyFrom(self._asked.request)
        if self._base is not None:
            request.resume_token = self._base
        elif self._asked.snapshot:
            request.snapshot = self._asked.snapshot
        elif self._asked.from_revision is not None:
            request.from_revision = self._asked.from_revision
        return request

    @property
    def is_at_token(self) -> bool:
        """Whether a new stream could go on from here without telling anything again."""
        return self._base is not None and not self._since and not self._in_snapshot

    @property
    def needs_place(self) -> bool:
        """Whether the next stream has to open with a resume token: only a snapshot begins without one."""
        return self._base is not None or not self._asked.snapshot

    def lose(self, error: Error) -> list[Item]:
        """The stream is lost; what to tell of it, unless that was told or none was ever open."""
        if self._is_lost:
            return []
        self._is_lost = True
        return [self.behind_all(Told.LOST, error=error)]

    def open(self, opened: v1.WatchOpened, resume_token: str) -> list[Item]:
        """A stream has opened."""
        told = []
        with_snapshot = self._base is None and bool(self._asked.snapshot)
        if self._base is not None:
            self._marks.begin()
        else:
            self._marks.forget()
            self._since.clear()
        if self._base is None and not with_snapshot and resume_token:
            self._arrive(resume_token)
        if self._is_lost:
            self._is_lost = False
            told.append(self.behind_all(Told.OPENED, revision=opened.revision, oldest_revision=opened.oldest_revision))
        if with_snapshot:
            self._in_snapshot = True
            told.append(self.behind_all(Told.SNAPSHOT_BEGIN))
        return told

    def take(self, message: v1.WatchResponse) -> list[Item]:
        """What a message tells. Notices and farewells tell nothing here, but may bring a token; what a later server means
        by a kind of its own, and by its token, is not known."""
        kind = message.WhichOneof("kind")
        items: list[Item] = []
        if kind == "events":
            return self._take_events(message)
        if kind == "snapshot":
            items = self._rows(message.snapshot)
        elif kind == "snapshot_end":
            self._in_snapshot = False
        if message.resume_token and not self._in_snapshot and kind not in (None, "opened"):
            self._arrive(message.resume_token)
        if kind == "snapshot_end":
            items = [self.behind_all(Told.SNAPSHOT_END, revision=message.snapshot_end.revision)]
        elif kind == "progress":
            items = [self.behind_all(Told.PROGRESS, revision=message.progress.revision)]
        return items

    def _take_events(self, message: v1.WatchResponse) -> list[Item]:
        items = []
        events = [each for each in message.events.events if self._marks.admit(each.app, each.revision)]
        for index, event in enumerate(events):
            token.note(self._since, event.app, event.revision)
            if index + 1 == len(events) and message.resume_token:
                self._arrive(message.resume_token)
            items.append(self.behind_all(Told.EVENT, revision=event.revision, event=event))
        if not events and message.resume_token:
            self._arrive(message.resume_token)
        return items

    def _rows(self, rows: v1.WatchSnapshot) -> list[Item]:
        runs = [self.behind_all(Told.RUN, revision=each.revision, run=each) for each in rows.runs]
        jobs = [self.behind_all(Told.JOB, job=each) for each in rows.jobs]
        workers = [self.behind_all(Told.WORKER, revision=each.revision, worker=each) for each in rows.workers]
        return [*runs, *jobs, *workers]

    def _arrive(self, resume_token: str) -> None:
        """All that was told lies before this token."""
        self._base = resume_token
        self._marks.close(self._since)
        self._since.clear()

    def behind_all(self, told: Told, **fields: Any) -> Item:
        """An item that comes after all that was told."""
        place = None if self._in_snapshot else token.write(self._base, self._since)
        return Item(told, place, **fields)
