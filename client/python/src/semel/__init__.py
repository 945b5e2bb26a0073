"""The Python client of Semel, a job scheduler in which a call made once takes effect once, however often it arrives, and in
which every answer says what became of the caller's credentials.

`semel.Client` blocks, `semel.aio.Client` is for asyncio; `semel.Worker` and `semel.aio.Worker` take runs. The messages of
the protocol stand in `semel.v1`.
"""

from semel import aio
from semel._core.call import Answer
from semel._core.channel import service_config
from semel._core.options import Credentials, RetryOptions, Secret, Tls, Token
from semel._core.requests import run
from semel._core.submit import Submitted
from semel._core.version import VERSION
from semel._core.watch.items import Item, Told
from semel._core.worker.events import WorkerEvent, WorkerTold
from semel._core.worker.outcome import AttemptCancelled, ProcessError, Result, Summary
from semel._sync.cancel import Cancel
from semel._sync.client import Client
from semel._sync.context import Context
from semel._sync.worker import Worker
from semel.errors import (
    Cancelled,
    Error,
    Kind,
    NotSemel,
    Refused,
    TransportError,
    UsageError,
    Violation,
    WaitTimeout,
)

__version__ = VERSION

__all__ = [
    "Answer",
    "AttemptCancelled",
    "Cancel",
    "Cancelled",
    "Client",
    "Context",
    "Credentials",
    "Error",
    "Item",
    "Kind",
    "NotSemel",
    "ProcessError",
    "Refused",
    "Result",
    "RetryOptions",
    "Secret",
    "Submitted",
    "Summary",
    "Tls",
    "Token",
    "Told",
    "TransportError",
    "UsageError",
    "Violation",
    "WaitTimeout",
    "Worker",
    "WorkerEvent",
    "WorkerTold",
    "__version__",
    "aio",
    "run",
    "service_config",
]
