"""An emulated board seen as a serial port, and an emulated board run at the speed of the clock on the wall.

This file decides how virtual time advances while somebody waits for bytes. It refuses to know what the bytes mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mcutool.emulator.machine import Machine, Reason
from mcutool.errors import Error, FuelExhausted

LONGEST_WAIT = 1.0  # seconds of the board's clock
LATE = 0.25  # seconds of delay after which real time starts anew
GATHERING = 0.0005  # seconds of the board's clock


class EmulatedLink:
    """The serial line to a machine in this process. Its time is the board's and passes only while somebody reads.

    So half a second of waiting for a sleeping board costs next to nothing. `last_instruction` is the number of
    instructions at which the fuel is used up.
    """

    lossless = True
    baud_is_fixed = True

    def __init__(self, machine: Machine) -> None:
        self.name = f"the emulated {machine.board.name}"
        self.baud = machine.chip.uart.default_baud
        self.last_instruction: int | None = None
        self._machine = machine
        self._received = bytearray()
        machine.uart.on_output = self._collect

    def _collect(self, data: bytes) -> None:
        if not self._received:  # what follows at once comes along: stopping at each byte would be slow
            clock = self._machine.clock
            clock.after(clock.cycles(GATHERING), self._machine.stop)
        self._received += data

    def state(self) -> bytes:
        """What has come and nobody has read, for a snapshot."""
        return bytes(self._received)

    def restore(self, received: bytes) -> None:
        self._received[:] = received

    def now(self) -> float:
        return self._machine.clock.seconds

    def read(self, timeout: float) -> bytes:
        """What has come. Raises FuelExhausted at the last instruction, Error when the firmware itself breaks."""
        if not self._received and timeout > 0:
            self._advance(min(timeout, LONGEST_WAIT))
        data = bytes(self._received)
        self._received.clear()
        return data

    def _advance(self, seconds: float) -> None:
        machine = self._machine
        left = None if self.last_instruction is None else self.last_instruction - machine.instructions
        reason = machine.run(machine.clock.cycles(seconds), left)
        if reason is Reason.FUEL:
            raise FuelExhausted(
                "stopped: the fuel is used up", next_action="give it more with --fuel, or look at the backtrace"
            )
        if reason is Reason.LOCKUP:
            raise Error(
                f"the firmware of the emulated {machine.board.name} broke down: {machine.lockup}",
                next_action="this is a bug: please report it with the module",
            )

    def write(self, data: bytes) -> None:
        self._machine.uart.feed(data)

    def set_baud(self, baud: int) -> None:
        """The board's own rate counts."""

    def set_parity(self, even: bool) -> None:
        """Not modelled."""

    def set_dtr(self, state: bool) -> None:
        """Not connected."""

    def set_rts(self, state: bool) -> None:
        """Not connected."""

    def reopen(self, patience: float) -> None:
        """It is never lost."""

    def close(self) -> None:
        self._machine.uart.on_output = lambda data: None


def run_in_real_time(
    machine: Machine, wait: Callable[[float], None], stopped: Callable[[], bool], step: float = 0.005
) -> None:
    """Run until `stopped()`, not faster than the clock on the wall.

    `wait(seconds)` is where the caller hears from the outside: it returns after that time or as soon as it has fed the
    machine. It is called with 0 between steps when the host is too slow.
    """
    start_wall, start_virtual = time.monotonic(), machine.clock.seconds
    while not stopped():
        if machine.run_for(step) in (Reason.LOCKUP, Reason.EXIT):  # only a reset helps
            wait(step)
            continue
        ahead = machine.clock.seconds - start_virtual - (time.monotonic() - start_wall)
        if ahead < -LATE:  # the host can't keep up, or the board stood still: do not try to catch up
            start_wall, start_virtual = time.monotonic(), machine.clock.seconds
        wait(max(ahead, 0.0))
