"""What was told already, by app and revision. It keeps an event from being told twice, whatever a server or a proxy sends
again after a break; it never keeps back what is new."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from semel._core.watch.token import Passed

APPS_MAX = 4096
"""More apps than these are not kept in mind: a token alone keeps the server from telling them again."""


@dataclass
class Seen:
    revision: int
    """The last revision of which something was told."""
    told: int
    """How many of its events were."""
    came: int
    """How many of its events came on the present stream."""


class Marks:
    """See the module."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def begin(self) -> None:
        """A new stream begins, behind what the token says."""
        for seen in self._seen.values():
            seen.came = 0

    def forget(self) -> None:
        """Nothing counts any more: the next stream begins with no token."""
        self._seen.clear()

    def recall(self, passed: Passed) -> None:
        """This much was told before."""
        for app, (revision, events) in passed.items():
            self._seen[app] = Seen(revision, events, 0)

    def admit(self, app: str, revision: int) -> bool:
        """Whether an event is new; if so, it counts as told."""
        seen = self._seen.get(app)
        if seen is None or revision > seen.revision:
            self._seen[app] = Seen(revision, 1, 1)
            return True
        if revision < seen.revision:
            return False
        seen.came += 1
        is_new = seen.came > seen.told
        seen.told = max(seen.told, seen.came)
        return is_new

    def close(self, since: Passed) -> None:
        """A token came: the revisions of which something was told since the last one are whole, and nothing new of them
        can come. Keeps within its bound."""
        for app in since:
            if app in self._seen:
                self._seen[app].told = sys.maxsize
        if len(self._seen) > APPS_MAX:
            self.forget()
