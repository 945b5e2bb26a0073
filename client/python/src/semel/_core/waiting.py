"""Waiting for the end of a run, over as many `WaitRun` as it takes."""

from __future__ import annotations

import time
from typing import Any

from google.protobuf.duration_pb2 import Duration

from semel import v1
from semel._core.call import Logical, call
from semel._core.core import Core
from semel._core.flow import Flow
from semel._core.options import TIMEOUT_MAX
from semel.errors import WaitTimeout

STEP = 20.0
"""How long one call asks the server to wait at most, in seconds: short enough for what stands in between."""


def wait(core: Core, run_id: str, app: str, timeout: float | None) -> Flow[v1.Run]:
    """Waits until the run has ended, and gives it."""
    until = time.monotonic() + (TIMEOUT_MAX if timeout is None else timeout)
    while True:
        left = max(until - time.monotonic(), 0.0)
        request = v1.WaitRunRequest(app=app, run_id=run_id, timeout=_duration(min(left, STEP)))
        answer: Any = yield from call(Logical(core, request, {}))
        response: v1.WaitRunResponse = answer.response
        if response.finished:
            return response.run
        if time.monotonic() >= until:
            message = f"the run {run_id} has not ended within {timeout} s"
            raise WaitTimeout(message, response.run, request_id=answer.request_id, attempts=answer.attempts)


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
