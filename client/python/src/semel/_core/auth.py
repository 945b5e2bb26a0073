"""The credentials of a client while it runs: it owns the present token and renews it. It never judges a refusal; that a
token must be renewed is told to it, or read off the token's own end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semel import v1
from semel._core.flow import Flow, Gate, TakeGate
from semel._core.options import Secret
from semel.errors import Error

if TYPE_CHECKING:
    from semel._core.core import Core

log = logging.getLogger("semel.auth")

RENEW_AT = 0.75
"""A token is renewed when this part of its life has passed, so that its end is never met in ordinary use."""
RENEW_AGAIN_MAX = 10.0
"""The longest wait, in seconds, before renewing is tried again while the present token still holds."""
LIFETIME_UNSTATED = 300.0
"""What is assumed of a token whose answer does not say when it ends, in seconds."""


@dataclass(frozen=True)
class Signature:
    """What a call is signed with, and the generation by which to say that it was refused."""

    bearer: str | None
    generation: int = 0
    renew_at: float | None = None
    """When it should be renewed, on the steady clock; None if it stays as it is."""

    def __repr__(self) -> str:
        return f"Signature(generation={self.generation})"


UNSIGNED = Signature(None)


class Tokens:
    """The tokens of one app's secret. `gate` is held while a token is fetched, across the call, for that is its purpose:
    who comes meanwhile waits there and then finds the new token."""

    def __init__(self, core: Core, credentials: Secret, gate: Gate) -> None:
        self.core = core
        self.credentials = credentials
        self._gate = gate
        self._present: Signature | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0

    def current(self, deadline: float) -> Flow[Signature]:
        """A token that holds."""
        present, now = self._present, time.monotonic()
        if present is None or now >= self._ends_at:
            return (yield from self.renew(present.generation if present else 0, deadline))
        # The token still holds: one caller renews it, the others go on with it, and so does this one if it fails.
        if now < self._renew_at or self._gate.locked():
            return present
        before = min(deadline, now + self.core.settings.request_timeout, self._ends_at)
        try:
            return (yield from self.renew(present.generation, before))
        except Error as error:
            log.warning("cannot renew the token yet, going on with the present one: %s", error)
            now = time.monotonic()
            self._renew_at = now + min((self._ends_at - now) / 4, RENEW_AGAIN_MAX)
            return present

    def renew(self, generation: int, deadline: float) -> Flow[Signature]:
        """Gets a token, unless there is one of a later generation by now."""
        yield TakeGate(self._gate)
        try:
            present = self._present
            if present is not None and present.generation > generation:
                return present
            asked_at = time.monotonic()
            answer = yield from self._issue(deadline)
            lifetime = lifetime_of(answer)
            self._renew_at = asked_at + lifetime * RENEW_AT
            self._ends_at = asked_at + lifetime
            self._present = Signature(answer.token, generation + 1, self._renew_at)
            log.debug("got a token: app=%s lifetime_s=%d", self.credentials.app, lifetime)
            return self._present
        finally:
            self._gate.release()

    def _issue(self, deadline: float) -> Flow[v1.IssueTokenResponse]:
        """A logical call of its own, unsigned, with its own id and its own retries."""
        from semel._core.call import Logical, call

        request = v1.IssueTokenRequest(app=self.credentials.app, secret=self.credentials.secret)
        left = max(deadline - time.monotonic(), 0.001)
        answer = yield from call(Logical(self.core, request, {"timeout": left}))
        response: v1.IssueTokenResponse = answer.response
        return response


def lifetime_of(answer: v1.IssueTokenResponse) -> float:
    """How long a token holds in seconds, by the server's clock alone: from the time of the answer to the end that it
    states."""
    if not answer.HasField("expire_time") or not answer.header.HasField("server_time"):
        return LIFETIME_UNSTATED
    ends, now = answer.expire_time, answer.header.server_time
    return max(ends.seconds - now.seconds + (ends.nanos - now.nanos) / 1e9, 0.0)
