"""Where a watch goes on. The server gives a token with each message; this file makes one of it for each *event*, so that a
program that stops in the middle of a message goes on with the next event and not with the next message.

The server's token names a place between two messages. Behind a `~`, this client adds how much of what comes after that
place was dealt with: for each app the revision, and how many of its events. An app's events come in one order, so that
says it all; it must be by app, for a watch over many apps is ordered for each of them only.
"""

from __future__ import annotations

from semel.errors import UsageError

MARK = "~"
"""Between the server's token and what this client adds; no token of a server has it."""

Passed = dict[str, tuple[int, int]]
"""For each app the last revision of which something was dealt with, and how many of its events were."""


def note(passed: Passed, app: str, revision: int) -> None:
    """Takes note of the next event."""
    last, events = passed.get(app, (revision, 0))
    passed[app] = (revision, events + 1 if last == revision else 1)


def write(base: str | None, passed: Passed) -> str | None:
    """The token of a place; None where there is none to go on from."""
    if base is None:
        return None
    places = ",".join(f"{app}:{revision}:{events}" for app, (revision, events) in sorted(passed.items()))
    return f"{base}{MARK}{places}" if places else base


def read(text: str) -> tuple[str, Passed]:
    """The server's token, and what was dealt with since. Raises `UsageError` where the text is no token."""
    base, mark, places = text.partition(MARK)
    passed: Passed = {}
    try:
        for place in places.split(",") if mark else ():
            app, revision, events = place.rsplit(":", 2)
            passed[app] = (int(revision), int(events))
    except ValueError:
        base = ""
    if not base:
        raise UsageError(f"{text!r} is no resume token; copy it whole")
    return base, passed
