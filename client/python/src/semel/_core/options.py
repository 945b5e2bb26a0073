"""What a user may set, as plain data with its defaults. Nothing here connects or decides."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from semel.errors import UsageError

if TYPE_CHECKING:
    from semel._sync.cancel import Cancel

# A call that may take for ever is given a year, so that moments can be added up without care.
TIMEOUT_MAX = 365 * 24 * 3600.0


@dataclass(frozen=True)
class RetryOptions:
    """How a call is sent again, always under the same id."""

    attempts_max: int = 64
    """How often a call is sent at most, the first time included. 1 switches retries off. The overall timeout is
    meant to be the bound."""
    backoff_first: float = 0.05
    """The longest wait before the second attempt, in seconds; it doubles with each attempt."""
    backoff_max: float = 5.0
    """The longest wait before any attempt, in seconds, unless the server asks for a longer one."""

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise UsageError("attempts_max must be 1 or more")
        if self.backoff_first < 0 or self.backoff_max < 0:
            raise UsageError("a back-off cannot be negative")

    @classmethod
    def none(cls) -> RetryOptions:
        """Every call is sent once, whatever becomes of it: nothing is retried, renewed or minted anew."""
        return cls(attempts_max=1)

    def backoff(self, retry: int, unit: float) -> float:
        """The wait before retry number `retry` (from 1 on), in seconds: anything up to the bound that doubles with each
        retry ("full jitter"), so that callers who failed together do not come back together. `unit` is a random number
        in [0, 1)."""
        doubled = self.backoff_first * 2.0 ** min(max(retry - 1, 0), 62)
        return min(doubled, self.backoff_max) * unit


@dataclass(frozen=True)
class Token:
    """A token, or anything else that goes behind `Bearer `; sent with every call as it is, and never renewed."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        check_bearer(self.token)


@dataclass(frozen=True)
class Secret:
    """The secret of an app. The client gets short-lived tokens for it and renews them by itself; the secret travels
    only in `IssueToken`."""

    app: str
    secret: str = field(repr=False)

    @classmethod
    def from_env(cls, app: str, variable: str = "SEMEL_SECRET") -> Secret:
        """Takes the secret from the environment. Raises `UsageError` where it is not there."""
        secret = os.environ.get(variable, "")
        if not secret:
            raise UsageError(f"the variable {variable} is not set, so there is no secret of {app!r}")
        return cls(app, secret)

    def __post_init__(self) -> None:
        if not self.app or not self.secret:
            raise UsageError("credentials need both the app and its secret")


Credentials = Token | Secret | None


@dataclass(frozen=True)
class Tls:
    """How an `https://` endpoint is spoken to. As it is, the server's certificate is held against the system's roots."""

    ca_certificates: bytes | None = None
    """The CA certificates to hold it against instead (PEM, one or more)."""
    client_certificate: bytes | None = None
    """What is shown to a server that asks for a certificate, with the chain to its CA (PEM)."""
    client_key: bytes | None = field(default=None, repr=False)
    """The key of that (PEM)."""
    server_name: str = ""
    """The name that the server's certificate must bear; that of the endpoint if empty."""

    def __post_init__(self) -> None:
        if (self.client_certificate is None) != (self.client_key is None):
            raise UsageError("a client certificate needs its key, and a key its certificate")


class CallOptions(TypedDict, total=False):
    """What may be said of a single call; the rest comes from the client."""

    request_id: str
    """The id to use instead of a fresh one. It is never replaced. See `mint_request_id`."""
    timeout: float
    """How long the call may take over all its attempts, in seconds."""
    request_timeout: float
    """How long one attempt may take, in seconds."""


class SyncCallOptions(CallOptions, total=False):
    """The same for calls that block."""

    cancel: Cancel
    """By which another thread can end the wait; see `semel.Cancel`."""


@dataclass(frozen=True)
class Settings:
    """What a client was set up with, checked."""

    endpoint: str
    app: str
    credentials: Credentials
    request_timeout: float
    timeout: float
    retry: RetryOptions
    client_name: str
    now: Callable[[], float]
    tls: Tls = field(default_factory=Tls)
    allow_plaintext: bool = False

    def __post_init__(self) -> None:
        for name in ("request_timeout", "timeout"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be more than 0 s")


def check_bearer(token: str) -> None:
    """Refuses what gRPC could not carry, without showing it."""
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError("the credentials are empty or hold characters that cannot be sent; check for line breaks")
