"""An emulated chip in the hands of a test: what a debug probe and a logic analyser on a real one would give, and more.

This file decides what of a machine a test may see and put back. It refuses to know what runs on it and what is said to
it.
"""

from __future__ import annotations

from typing import Any

from mcutool.devices import Board
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.emulator.profile import Counts, Profile

MEASURED = "vm_call"


class Gpio:
    """Pins by their number, which counts through all ports.

    `gpio[5]` is the level that the program drives, `gpio[5] = 1` holds a pin at a level from outside. `changes` are
    (seconds of the board's clock, pin, level), in order, of what the program drives.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.changes: list[tuple[float, int, int]] = []
        machine.pins.on_change = self._note

    def _note(self, pin: int, level: int) -> None:
        self.changes.append((self._machine.clock.seconds, pin, level))

    def __getitem__(self, pin: int) -> int:
        return self._machine.pins.outputs.get(pin, 0)

    def __setitem__(self, pin: int, level: int) -> None:
        self._machine.pins.apply(pin, level)

    @property
    def led(self) -> bool:
        """Whether the board's own light is on. Raises LookupError when the board has none."""
        light = self._machine.board.led
        if light is None:
            raise LookupError(f"{self._machine.board.name} has no light")
        return self[light.pin] == (light.active == "high")


class Probe:
    """The machine behind an emulated board, with its firmware; `link` is its console."""

    def __init__(self, board: Board) -> None:
        self.machine = Machine(board, board.firmware)
        self._profile = Profile(self.machine, MEASURED)
        self.link = EmulatedLink(self.machine)
        self.gpio = Gpio(self.machine)

    def load(self, image: bytes) -> None:
        """Put a module into flash as the one that is installed, and reset."""
        self.machine.install(image)
        self.machine.reset()
        self.machine.run(instructions=1)  # what is sent before the reset happens is lost

    def has_begun(self) -> bool:
        """Whether the firmware has done what it does at its start, which for a large program takes a while."""
        return self.machine.sleeping or self._profile.running

    def snapshot(self) -> Any:
        """Everything, the counts too."""
        return self.machine.snapshot(), self._profile.state(), self.link.state(), list(self.gpio.changes)

    def restore(self, snapshot: Any) -> None:
        machine, measurement, received, changes = snapshot
        self.machine.restore(machine)
        self._profile.restore(measurement)
        self.link.restore(received)
        self.gpio.changes[:] = changes

    def moment(self) -> Any:
        """Equal at two times when nothing has happened between: no time has passed, nothing was sent or applied."""
        return self.machine.clock.state(), dict(self.machine.pins.inputs)

    def counts(self) -> Counts:
        """What modules have executed so far: instructions, and cycles of a model. The firmware's own are not in it."""
        return self._profile.counts()

    def last_branches(self) -> list[str]:
        """The last branches of the interpreter, oldest first, as FUNCTION+OFFSET -> FUNCTION+OFFSET."""
        return [f"{self._place(source)} -> {self._place(target)}" for source, target in self._profile.branches()]

    def _place(self, address: int) -> str:
        firmware = self.machine.firmware
        name = firmware.function_at(address)
        return f"{name}+{address - firmware.symbols[name].address:#x}" if name else f"{address:#010x}"
