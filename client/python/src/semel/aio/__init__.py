"""The same client for asyncio: `Client`, `Worker` and its `Context`. Errors, options and messages are those of `semel`."""

from semel.aio.client import Client
from semel.aio.context import Context
from semel.aio.worker import Worker

__all__ = ["Client", "Context", "Worker"]
