"""Whether a refused call is sent again. Pure: what happened comes in, a decision goes out. It is the table of
client/README.md."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from grpc import StatusCode as Code

from semel._core.options import RetryOptions
from semel._core.refusal import Origin, Refusal

FAULTS_MAX = 3
"""How many attempts may end with `Class.FAULT` before the call is given up."""

CREDENTIALS = frozenset(f"CREDENTIALS_{each}" for each in ("MISSING", "MALFORMED", "INVALID", "EXPIRED", "REVOKED"))
IDS = frozenset({"REQUEST_ID_IN_FUTURE", "REQUEST_ID_EXPIRED"})
PASSING = frozenset({"AUTH_UNAVAILABLE", "DRAINING", "NO_OWNER", "OUTCOME_UNKNOWN", "OVERLOADED"})
PASSING_CODES = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED})
# An answer that no Semel server gave (OK) counts as a fault as well: the next attempt may reach one.
FAULT_CODES = frozenset({Code.INTERNAL, Code.UNKNOWN, Code.OK})


class Class(enum.Enum):
    """What kind of failure a refusal is, for the caller that got it."""

    PASSING = "it may pass: send again under the same id"
    FAULT = "somebody's fault, which may pass: send again under the same id, but not for long"
    CREDENTIALS = "fetch fresh ones, then send again under the same id"
    ID = "the id lies in the future or is older than the window"
    FINAL = "sending it again is of no use, or wrong"

    @property
    def is_hopeful(self) -> bool:
        """Whether the request may be sent again as it stands."""
        return self in (Class.PASSING, Class.FAULT)


def classify(refusal: Refusal) -> Class:
    if refusal.pushback is not None and refusal.pushback < 0:
        return Class.FINAL
    reason = refusal.reason
    if reason in CREDENTIALS:
        return Class.CREDENTIALS
    if reason in IDS:
        return Class.ID
    if reason in PASSING or refusal.origin in (Origin.NOT_SENT, Origin.NO_ANSWER):
        return Class.PASSING
    if refusal.code in PASSING_CODES:
        return Class.PASSING
    if refusal.code is Code.RESOURCE_EXHAUSTED and asked_delay(refusal) is not None:
        return Class.PASSING
    return Class.FAULT if refusal.code in FAULT_CODES else Class.FINAL


def asked_delay(refusal: Refusal) -> float | None:
    """After how many seconds at the earliest the server, or gRPC's push-back, wishes to be asked again."""
    asked = [each for each in (refusal.retry_delay, refusal.pushback) if each is not None and each >= 0]
    return max(asked, default=None)


@dataclass
class Progress:
    """What is known of a logical call when one more attempt was refused."""

    attempts: int = 0
    """How often it was sent, under whatever id."""
    faults: int = 0
    can_renew: bool = False
    """Whether this client can fetch fresh credentials by itself."""
    renewed: bool = False
    """Whether it has done so for this call."""
    id_given: bool = False
    """Whether the caller gave the id, who then is the only one to replace it."""
    minted_anew: bool = False
    outcome_open: bool = False
    """Whether some earlier attempt under the present id may have taken effect."""


class Next(enum.Enum):
    """What to do about a refused attempt."""

    AGAIN = "send it again under the same id, after the asked delay and jitter"
    RENEW = "fetch fresh credentials, then send it again under the same id"
    MINT_ANEW = "mint one fresh id by the clock that was just learnt, and send it again"
    GIVE_UP = "hand the refusal to the caller"


def decide(refusal: Refusal, progress: Progress, options: RetryOptions) -> Next:
    """Decides. `progress` counts the refused attempt already, but not yet whether it left the outcome open."""
    if progress.attempts >= options.attempts_max:
        return Next.GIVE_UP
    kind = classify(refusal)
    if kind is Class.PASSING or (kind is Class.FAULT and progress.faults < FAULTS_MAX):
        return Next.AGAIN
    if kind is Class.CREDENTIALS and progress.can_renew and not progress.renewed:
        return Next.RENEW
    if kind is Class.ID and may_mint_anew(refusal, progress):
        return Next.MINT_ANEW
    return Next.GIVE_UP


def may_mint_anew(refusal: Refusal, progress: Progress) -> bool:
    """A fresh id makes a new call, so it may be minted only where the present one surely took no effect: this client made
    it, no earlier attempt's outcome is open, and the server said by its clock why it refused. An id that was sent before,
    got no answer, and now is refused as expired may well have been executed."""
    clock_known = refusal.header is not None and refusal.header.HasField("server_time")
    return clock_known and not (progress.id_given or progress.minted_anew or progress.outcome_open)
