"""What both shells do around one attempt: what goes with it, and what is made of its end."""

from __future__ import annotations

from typing import Any

from semel._core import refusal
from semel._core.core import Core
from semel._core.flow import Attempt
from semel._core.methods import server_wait
from semel._core.refusal import Refusal, Status


def metadata_of(bearer: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of a call or a stream."""
    return (("authorization", f"Bearer {bearer}"),) if bearer else ()


def sent_at(core: Core, effect: Attempt) -> float | None:
    """When it is sent, by this machine's clock. None where the server was asked to wait: then the half-way moment says
    nothing of the server's clock, and the arrival says more."""
    return None if server_wait(effect.method, effect.request) > 0 else core.clock.local()


def refused(core: Core, status: Status, sent: float | None) -> Refusal:
    """What a status says, learning from it what time it is."""
    read = refusal.from_grpc(status)
    if read.header is not None:
        core.clock.learn(read.header, sent)
    return read


def answered(core: Core, effect: Attempt, response: Any, sent: float | None) -> Any:
    """The response, if a Semel server gave it; else the refusal that it amounts to."""
    no_answer = refusal.judge_answer(response.header, effect.request.header.request_id)
    if no_answer is not None:
        return no_answer
    core.clock.learn(response.header, sent)
    return response
