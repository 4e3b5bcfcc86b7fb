"""A board's console on the screen: what it prints, lines typed into it, and a program stopped by Ctrl-C.

This file decides when watching ends, and what is said of a trap. It refuses to know what a program says and which port
it says it on.
"""

from __future__ import annotations

import re
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mcutool.errors import NoAnswer
from mcutool.feeding import Feeder, Source
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.isa import TRAPS
from mcutool.places import Places, render_trap

WAIT = 0.05  # seconds between looks at the keyboard
KEPT = 4096  # bytes of output in which a pattern may lie
STOP_ATTEMPTS = 2
STEPS_TO_SETTLE = 3  # after a match: the rest of what it is in
KEYS = "Ctrl-C stops the program, Ctrl-C again leaves"


class Screen:
    """Shows a console's output and remembers its last bytes."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._recent = self._unread = b""
        self._still = True

    def show(self, data: bytes) -> None:
        self._recent = (self._recent + data)[-KEPT:]
        self._unread = (self._unread + data)[-KEPT:]
        self._still = False
        self._write(data)

    def settled(self) -> bytes:
        """What was shown since it was last asked for, once nothing more comes."""
        if not self._still:
            self._still = True
            return b""
        settled, self._unread = self._unread, b""
        return settled

    def has(self, pattern: re.Pattern[bytes]) -> bool:
        return pattern.search(self._recent) is not None


class Key:
    """Ctrl-C: `pressed` once, then it ends everything, as it usually does."""

    def __init__(self) -> None:
        self.pressed = False

    def _press(self, *_signal: object) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def watched(self) -> Iterator[Key]:
        """Inside, the first Ctrl-C only sets `pressed`."""
        before = signal.signal(signal.SIGINT, self._press)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)


def watch(
    client: SmpClient,
    screen: Screen,
    source: Source,
    places: Callable[[], Places],
    *,
    until: str | None = None,
    timeout: float | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Show the console until its output matches the regular expression `until`, or for ever.

    `screen.show` must be the client's `on_text`; `places` is called when a place is to be told; `tell` gets lines that
    the board did not print. The first Ctrl-C stops the program and tells where it was, the second raises
    KeyboardInterrupt. Raises NoAnswer when no match comes in `timeout` seconds, Disconnected when the board is
    unplugged.
    """
    pattern = re.compile(until.encode()) if until is not None else None
    feeder = Feeder(client, source)
    begin = client.link.now()
    with Key().watched() as key:
        tell(f"{client.link.name}: {KEYS}")
        while pattern is None or not screen.has(pattern):
            if timeout is not None and client.link.now() - begin >= timeout:
                if pattern is None:
                    return
                raise NoAnswer(f"{until!r} did not come in {timeout:g} seconds", next_action="look at the output above")
            if key.pressed:
                key.pressed = False
                tell(stop(client, places()))
            _tell_trap(screen, places, tell)
            feeder.step()
            client.receive(WAIT)
    for _ in range(STEPS_TO_SETTLE):
        _tell_trap(screen, places, tell)
        client.receive(WAIT)


def _tell_trap(screen: Screen, places: Callable[[], Places], tell: Callable[[str], None]) -> None:
    settled = screen.settled()
    trap = places().told(settled) if b"[trap " in settled else None
    if trap and trap["kind"] != "stopped":
        tell(render_trap(trap))


def stop(client: SmpClient, places: Places) -> str:
    """Stop the running program; where it was, for people. Raises NoAnswer."""
    if client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["state"] != "running":
        return "no program is running; Ctrl-C again leaves"
    status = client.request(smp.WRITE, smp.RUNTIME, smp.RUNTIME_STOP, {}, attempts=STOP_ATTEMPTS)
    trap = places.trap(TRAPS[status["trap"]].name, struct.iter_unpack("<II", status["bt"]))
    return f"{render_trap(trap)}\nCtrl-C again leaves"
