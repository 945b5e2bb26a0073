"""Opening the stream of a worker."""

from __future__ import annotations

import time

import grpc

from semel import v1
from semel._core import refusal, retry
from semel._core.auth import Signature
from semel._core.core import Core
from semel._core.flow import Flow, Open, Read
from semel._core.methods import WORK
from semel._core.options import RetryOptions
from semel._core.refusal import Origin, Refusal
from semel._core.worker.events import Dialled

OPEN_TIMEOUT = 10.0
"""How long opening a stream may take, a fresh token included, in seconds."""
RECONNECT = RetryOptions(backoff_first=0.2, backoff_max=10.0)
"""How a worker comes back: more slowly than a single call, for there may be thousands of them."""


def dial(core: Core, hello: v1.Hello) -> Flow[Dialled]:
    """Opens the stream and waits for the server's first word. Credentials that are refused are renewed once. Raises
    `semel.Error`."""
    deadline = time.monotonic() + OPEN_TIMEOUT
    signature = yield from core.sign(deadline)
    dialled = yield from _dial(core, hello, signature, deadline)
    if not isinstance(dialled, Refusal):
        return dialled
    attempts = 1
    if retry.classify(dialled) is retry.Class.CREDENTIALS and core.can_renew:
        signature = yield from core.renew(signature.generation, deadline)
        dialled = yield from _dial(core, hello, signature, deadline)
        attempts = 2
        if not isinstance(dialled, Refusal):
            return dialled
    raise dialled.to_error("", attempts, may_retry=retry.classify(dialled).is_hopeful)


def _dial(core: Core, hello: v1.Hello, signature: Signature, deadline: float) -> Flow[Dialled | Refusal]:
    hello_at, sent_at = time.monotonic(), core.clock.local()
    stream = yield Open(WORK, None, signature.bearer)
    is_kept = False
    try:
        stream.send(v1.WorkRequest(header=v1.RequestHeader(client=core.client_info), hello=hello))
        first = yield Read(stream, max(deadline - time.monotonic(), 0.0))
        if first is None:
            return refusal.local(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream did not open in time", Origin.NO_ANSWER)
        if isinstance(first, Refusal):
            if first.header is not None:
                core.clock.learn(first.header, sent_at)
            return first
        if first.WhichOneof("kind") != "opened" or not refusal.spoke(first.header):
            message = "the stream does not begin as that of a Semel server; check the address"
            return refusal.local(grpc.StatusCode.UNAVAILABLE, message, Origin.OTHER)
        core.clock.learn(first.header, sent_at)
        is_kept = True
        return Dialled(stream, first.opened, hello_at, signature)
    finally:
        if not is_kept:
            stream.cancel()
