"""A run on an emulated board: its firmware booted, the image put straight into flash, the call counted.

This file decides how a run's limits and counts are taken from the machine. It refuses to know what is run.
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool.devices import Board
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.profile import Profile
from mcutool.errors import Error, FuelExhausted
from mcutool.flash.engine import SmpClient
from mcutool.flash.protocols import smp

MEASURED = "vm_call"
LONGEST_WAIT = 1.0  # seconds of the board's clock


class Line:
    """The serial line to a machine in this process. Its time is the board's and passes only while somebody reads."""

    def __init__(self, machine: Machine) -> None:
        self.name = f"the emulated {machine.board.name}"
        self.last_instruction: int | None = None
        self._machine = machine
        self._received = bytearray()
        machine.uart.on_output = self._collect

    def _collect(self, data: bytes) -> None:
        self._received += data
        self._machine.stop()

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

    def close(self) -> None:
        self._machine.uart.on_output = lambda data: None


class EmulatedSession:
    """See `mcutool.run.Session`. `measure` asks for counts, which cost speed."""

    def __init__(self, board: Board, on_text: Callable[[bytes], None], measure: bool = False) -> None:
        self._machine = Machine(board, board.firmware)
        self._profile = Profile(self._machine, MEASURED) if measure else None
        self._line = Line(self._machine)
        self._on_text = on_text
        self._started = False
        self.client = SmpClient(self._line, on_text=self._text)
        self.client.read(smp.RUNTIME, smp.RUNTIME_INFO)  # it has booted when it answers
        self._started = True

    def _text(self, data: bytes) -> None:
        """The program's output; what the firmware says before is not part of it."""
        if self._started:
            self._on_text(data)

    def install(self, image: bytes) -> None:
        self._machine.flash.load(self._machine.chip.map.slot.offset, image)

    def begin_call(self, fuel: int | None) -> None:
        if self._profile:
            self._profile.clear()
        if fuel is not None:
            self._line.last_instruction = self._machine.instructions + fuel

    def counts(self) -> tuple[int | None, int | None]:
        self._line.last_instruction = None
        if self._profile is None:
            return None, None
        counts = self._profile.counts()
        return counts.instructions, counts.cycles

    def interrupted_at(self) -> list[tuple[int, int]]:
        return []
