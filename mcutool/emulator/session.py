"""A run on an emulated board: its firmware booted, the image put straight into flash, the call counted.

This file decides how a run's limits and counts are taken from the machine. It refuses to know what is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mcutool.devices import Board
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient

if TYPE_CHECKING:
    from mcutool.emulator.profile import Profile

MEASURED = "vm_call"
START_UP = 0.1
"""Seconds of the board's clock in which the firmware has printed its first lines."""


class EmulatedSession:
    """See `mcutool.run.Session`. `measure` asks for counts, which cost speed, `accesses` for those of memory too."""

    def __init__(
        self, board: Board, on_text: Callable[[bytes], None], measure: bool = False, accesses: bool = False
    ) -> None:
        self._machine = Machine(board, board.firmware)
        self.profile = _profile(self._machine, accesses) if measure else None
        self._line = EmulatedLink(self._machine)
        self._on_text = on_text
        self._started = False
        self.client = SmpClient(self._line, on_text=self._text)
        self.client.read(smp.RUNTIME, smp.RUNTIME_INFO)  # it is starting when it answers ...
        while self._line.now() < START_UP:  # ... and has looked for a program when it has printed what it found
            self.client.receive(START_UP - self._line.now())
        self._started = True

    def _text(self, data: bytes) -> None:
        """The program's output; what the firmware says before is not part of it."""
        if self._started:
            self._on_text(data)

    def install(self, image: bytes) -> None:
        self._machine.install(image)

    def limit(self, fuel: int | None) -> None:
        self._line.last_instruction = None if fuel is None else self._machine.instructions + fuel

    def begin_measuring(self) -> None:
        if self.profile:
            self.profile.clear()

    def counts(self) -> tuple[int | None, int | None]:
        if self.profile is None:
            return None, None
        counts = self.profile.counts()
        return counts.instructions, counts.cycles


def _profile(machine: Machine, accesses: bool) -> Profile:
    from mcutool.emulator.profile import Profile  # only a run with counts waits for the counter

    return Profile(machine, MEASURED, accesses)
