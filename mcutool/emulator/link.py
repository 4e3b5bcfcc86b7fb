"""An emulated board seen as a serial port, and an emulated board run at the speed of the clock on the wall.

This file decides how virtual time advances while somebody waits for bytes. It refuses to know what the bytes mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mcutool.emulator.machine import Machine, Reason


class EmulatedLink:
    """A serial port whose other end is `machine`, in this process; time passes only while it is read.

    A `timeout` is in virtual seconds: half a second of a sleeping board costs next to nothing.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.timeout: float | None = 1.0
        self._received = bytearray()
        self._wanted = 0
        machine.uart.on_output = self._collect

    def _collect(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= self._wanted:
            self.machine.stop()

    @property
    def in_waiting(self) -> int:
        """Bytes that a read gets without waiting."""
        return len(self._received)

    def write(self, data: bytes) -> int:
        """Put bytes on the line to the board; it takes them when it runs."""
        self.machine.uart.feed(data)
        return len(data)

    def read(self, size: int = 1, timeout: float | None = None) -> bytes:
        """Up to `size` bytes, fewer when `timeout` virtual seconds (by default `self.timeout`) are over."""
        limit = self.timeout if timeout is None else timeout
        self._wanted = size
        if len(self._received) < size:
            self.advance(limit)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def advance(self, seconds: float | None) -> Reason:
        """Let virtual time pass until the bytes wanted are there, or nothing can come any more."""
        return self.machine.run() if seconds is None else self.machine.run_for(seconds)

    def set_baud(self, baud: int) -> None:
        """An emulated line has no rate of its own: the board's decides."""

    def set_dtr(self, on: bool) -> None:
        """Not connected."""

    def set_rts(self, on: bool) -> None:
        """Not connected."""

    def reset_input_buffer(self) -> None:
        self._received.clear()

    def close(self) -> None:
        self.machine.uart.on_output = lambda data: None


def run_in_real_time(
    machine: Machine, wait: Callable[[float], None], stopped: Callable[[], bool], step: float = 0.005
) -> None:
    """Run until `stopped()`, not faster than the clock on the wall.

    `wait(seconds)` is where the caller hears from the outside: it returns after that time or as soon as it has fed the
    machine. It is called with 0 between steps when the host is too slow.
    """
    start_wall, start_virtual = time.monotonic(), machine.clock.seconds
    while not stopped():
        reason = machine.run_for(step)
        ahead = machine.clock.seconds - start_virtual - (time.monotonic() - start_wall)
        if ahead < -0.25:  # the host can't keep up: do not try to catch up later
            start_wall, start_virtual = time.monotonic(), machine.clock.seconds
        if reason in (Reason.LOCKUP, Reason.EXIT, Reason.IDLE):
            ahead = step
            start_virtual -= step  # no time passed inside, some outside
        wait(max(ahead, 0.0))
