"""The client that blocks. It owns the public surface; what happens is decided in `_core`, and done by `runner`."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import Message
from typing_extensions import Self, Unpack

from semel import v1
from semel._core import requests
from semel._core.call import Answer, Logical, call
from semel._core.options import Credentials, RetryOptions, Settings, SyncCallOptions, Tls
from semel._core.submit import Submitted, submit
from semel._core.waiting import wait
from semel._core.watch.course import Filter
from semel._core.watch.items import Item
from semel._core.watch.reader import watch
from semel._methods import Methods
from semel._sync.cancel import Cancel
from semel._sync.runner import Runner

R = TypeVar("R", bound=Message)


class Client(Methods):
    """A client of a Semel server, for threads; `semel.aio.Client` is the same for asyncio.

        with semel.Client("http://127.0.0.1:7400", app="pay", credentials=semel.Secret.from_env("pay")) as client:
            answer = client.run_job("settle", b"...", unique_key="invoice-7")
            run = client.wait(answer.run_id)

    There is one method for each unary call of the protocol, with the fields of its request as keywords. All go the same
    way: an id is minted once; the call is sent until it has an answer, always under that id, within `timeout`; expiring
    tokens are renewed; and only a Semel server's word counts. Every method takes, besides, `request_id`, `timeout`,
    `request_timeout` and `cancel`, and raises `semel.Error`.

    It may be used by many threads at a time, and connects at its first call. Do not fork while it is in use: make it in
    the child, or before the fork without a call.
    """

    def __init__(
        self,
        endpoint: str = "http://127.0.0.1:7400",
        *,
        app: str = "",
        credentials: Credentials = None,
        request_timeout: float = 10.0,
        timeout: float = 60.0,
        retry: RetryOptions = RetryOptions(),  # noqa: B008
        client_name: str = "semel-client",
        now: Callable[[], float] = time.time,
        tls: Tls = Tls(),  # noqa: B008
        allow_plaintext: bool = False,
    ) -> None:
        """`app` is put into requests that name none; without one the server takes that of the credentials.
        `request_timeout` bounds one attempt, `timeout` a whole call, in seconds. `now` is this machine's clock, in
        seconds since 1970. `tls` is for `https://` endpoints. Credentials go over `http://` to other machines only if
        `allow_plaintext` says that the network is trusted, as behind a mesh that encrypts. Raises `UsageError`."""
        self._runner = Runner(
            Settings(
                endpoint, app, credentials, request_timeout, timeout, retry, client_name, now, tls, allow_plaintext
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        settings = self._runner.core.settings
        return f"semel.Client({settings.endpoint!r}, app={settings.app!r})"

    def close(self) -> None:
        """Ends what is under way with `semel.Cancelled`, and lets go of the connection."""
        self._runner.close()

    def mint_request_id(self) -> str:
        """A fresh request id by the server's clock, to be stored beside what the program is about to do, and given as
        `request_id` then. After a crash the same call is made again under the same id."""
        return self._runner.core.mint()

    def call(self, request: Message, **options: Unpack[SyncCallOptions]) -> Answer[Any]:
        """Makes any unary call by its request message, and says what it took."""
        cancel = options.get("cancel")
        return self._runner.run(call(Logical(self._runner.core, request, options)), cancel)

    def _make(self, request: Message, answer: type[R], options: SyncCallOptions) -> R:
        response: R = self.call(request, **options).response
        assert isinstance(response, answer)  # noqa: S101
        return response

    def run_job(
        self,
        job: str,
        payload: requests.Data | None = None,
        *,
        app: str = "",
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        start_time: datetime.datetime | None = None,
        deadline: datetime.datetime | None = None,
        unique_key: str | v1.UniqueKey | None = None,
        **options: Unpack[SyncCallOptions],
    ) -> v1.RunJobResponse:
        """Makes one run of a job. However often it is sent, it makes one run, and the answer is the same. The payload
        is bytes, text or a `v1.Payload`; without one the run has that of its job. Times need a zone. Refuses with
        NOT_FOUND, INVALID and QUOTA_EXCEEDED."""
        request = requests.run(
            job, payload, app=app, labels=labels, priority=priority,
            start_time=start_time, deadline=deadline, unique_key=unique_key,
        )  # fmt: skip
        return self._make(request, v1.RunJobResponse, options)

    def submit_many(self, runs: Iterable[v1.RunJobRequest], *, cancel: Cancel | None = None) -> Iterator[Submitted]:
        """Makes many runs over one stream, and gives what became of each, in their order. A refused one does not end
        the others. `semel.run(...)` makes the requests; `runs` is taken from as there is room: at most 4096 are ahead
        of what was given back. It runs in the caller's thread: nothing is sent before the
        first result is asked for, and results wait while `runs` does."""
        return self._runner.iterate(submit(self._runner.core), iter(runs), cancel)

    def watch(
        self,
        *,
        app: str = "",
        apps: Iterable[str] = (),
        jobs: Iterable[str] = (),
        run_ids: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        kinds: Iterable[v1.EventKind] = (),
        terminal_only: bool = False,
        from_revision: int | None = None,
        resume_token: str | None = None,
        snapshot: v1.SnapshotScope | None = None,
        progress_interval: float | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[Item]:
        """Tells what happens, as it happens, over as many streams as it takes: it reconnects, renews credentials and
        goes on from where it was; no event comes twice and none is left out. Store `Item.resume_token` beside what was
        made of an item, and give it as `resume_token` to go on behind it. What is given is the filter and the start of
        `v1.WatchRequest`; `progress_interval` is in seconds. It raises only what binds: RESUME_COMPACTED, FORBIDDEN,
        INVALID, credentials that cannot be renewed, or that no stream could be opened within `timeout`."""
        asked = Filter.of(
            app=app, apps=apps, jobs=jobs, run_ids=run_ids, labels=labels, kinds=kinds, terminal_only=terminal_only,
            from_revision=from_revision, resume_token=resume_token, snapshot=snapshot, progress_interval=progress_interval,
        )  # fmt: skip
        return self._runner.iterate(watch(self._runner.core, asked), None, cancel)

    def wait(self, run_id: str, *, app: str = "", timeout: float | None = None, cancel: Cancel | None = None) -> v1.Run:
        """Waits until a run has ended, and gives it with its result. Without a timeout (in seconds) it waits as long as
        it takes. Raises `WaitTimeout`, which is a `TimeoutError` and has the run as it is."""
        return self._runner.run(wait(self._runner.core, run_id, app, timeout), cancel)
