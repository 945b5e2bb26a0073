"""What everything of one client shares: its settings, what it knows of the server's clock, and its credentials."""

from __future__ import annotations

from typing import Any

from semel import v1
from semel._core import ids
from semel._core.auth import UNSIGNED, Signature, Tokens
from semel._core.clock import ServerClock
from semel._core.flow import Flow, Gate
from semel._core.methods import ISSUE_TOKEN, Method
from semel._core.options import Secret, Settings, Token
from semel._core.version import VERSION


class Core:
    """See the module."""

    unsigned = UNSIGNED

    def __init__(self, settings: Settings, gate: Gate) -> None:
        self.settings = settings
        self.clock = ServerClock(settings.now)
        self.client_info = v1.ClientInfo(name=settings.client_name, version=VERSION, language="python")
        credentials = settings.credentials
        self.tokens: Tokens | None = None
        self._fixed = UNSIGNED
        if isinstance(credentials, Secret):
            self.tokens = Tokens(self, credentials, gate)
        elif isinstance(credentials, Token):
            self._fixed = Signature(credentials.token)

    @property
    def can_renew(self) -> bool:
        """Whether this client can fetch fresh credentials by itself."""
        return self.tokens is not None

    def mint(self) -> str:
        """A fresh request id, by the server's clock."""
        return ids.mint(self.clock.now())

    def sign(self, deadline: float) -> Flow[Signature]:
        """The signature for something that is about to be sent."""
        if self.tokens is None:
            return self._fixed
        return (yield from self.tokens.current(deadline))

    def renew(self, generation: int, deadline: float) -> Flow[Signature]:
        """Gets a fresh token in place of that of `generation`, unless somebody has done so already."""
        if self.tokens is None:
            return self._fixed
        return (yield from self.tokens.renew(generation, deadline))

    def fill_secret(self, method: Method, request: Any) -> None:
        """Puts the app and the secret of this client into a request which asks for a token and names none."""
        if method is not ISSUE_TOKEN or self.tokens is None or request.secret:
            return
        credentials = self.tokens.credentials
        if request.app in ("", credentials.app):
            request.app, request.secret = credentials.app, credentials.secret
