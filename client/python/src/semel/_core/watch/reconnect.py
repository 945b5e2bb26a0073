"""What follows when a stream of a watch could not be opened, or has ended. Pure: what happened comes in, a decision goes
out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from semel._core import retry
from semel._core.options import RetryOptions
from semel._core.refusal import Refusal


@dataclass
class Troubles:
    """What is known of a watch whose stream failed once more."""

    can_renew: bool
    """Whether the client can renew its credentials."""
    failures: int = 0
    """How many streams in a row told nothing, this one included."""
    faults: int = 0
    """How many of them were somebody's fault."""
    renewed: bool = False
    """Whether the credentials of the last stream had just been renewed because others were refused."""


class Next(enum.Enum):
    AGAIN = "another stream, after a wait"
    RENEW = "another stream with fresh credentials"
    END = "the watch ends with this refusal"


def pace(options: RetryOptions) -> RetryOptions:
    """How a watch comes back: more slowly than a single call, for there may be thousands of them."""
    return replace(options, backoff_first=options.backoff_first * 4, backoff_max=options.backoff_max * 2)


def decide(refusal: Refusal, troubles: Troubles, paced: RetryOptions, unit: float) -> tuple[Next, float]:
    """What follows, and after how many seconds. `unit` is a random number in [0, 1)."""
    if paced.attempts_max <= 1:
        return Next.END, 0.0
    backoff = paced.backoff(troubles.failures, unit)
    match retry.classify(refusal):
        case retry.Class.PASSING:
            return Next.AGAIN, (retry.asked_delay(refusal) or 0.0) + backoff
        case retry.Class.FAULT if troubles.faults < retry.FAULTS_MAX:
            return Next.AGAIN, backoff
        case retry.Class.CREDENTIALS if troubles.can_renew and not troubles.renewed:
            # What can be mended at once is; only who stands there again waits.
            return Next.RENEW, backoff if troubles.failures > 1 else 0.0
    return Next.END, 0.0
