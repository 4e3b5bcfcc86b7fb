"""A board's console on the screen: what it prints, and lines typed into it.

This file decides when watching ends. It refuses to know what a program says and which port it says it on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mcutool.errors import NoAnswer
from mcutool.feeding import Feeder, Source
from mcutool.flash.engine import SmpClient

WAIT = 0.05  # seconds between looks at the keyboard
KEPT = 4096  # bytes of output in which a pattern may lie


class Screen:
    """Shows a console's output and remembers its last bytes."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._recent = b""

    def show(self, data: bytes) -> None:
        self._recent = (self._recent + data)[-KEPT:]
        self._write(data)

    def has(self, pattern: re.Pattern[bytes]) -> bool:
        return pattern.search(self._recent) is not None


def watch(
    client: SmpClient, screen: Screen, source: Source, *, until: str | None = None, timeout: float | None = None
) -> None:
    """Show the console until its output matches the regular expression `until`, or for ever.

    `screen.show` must be the client's `on_text`. Raises NoAnswer when the match does not come in `timeout` seconds,
    Disconnected when the board is unplugged.
    """
    pattern = re.compile(until.encode()) if until is not None else None
    feeder = Feeder(client, source)
    begin = client.link.now()
    while pattern is None or not screen.has(pattern):
        if timeout is not None and client.link.now() - begin >= timeout:
            if pattern is None:
                return
            raise NoAnswer(f"{until!r} did not come in {timeout:g} seconds", next_action="look at the output above")
        feeder.step()
        client.receive(WAIT)
