"""The same client for asyncio: `Client`, `Worker` and its `Context`. Errors, options and messages are those of `semel`."""

from semel.aio.client import Client

__all__ = ["Client"]
