"""Power that is cut while a runtime is renewed: at every flash operation, and what the board does afterwards.

Decides what a torn operation leaves behind, and what has to hold: the same command installs the runtime as if nothing
had happened, and it starts. Refuses to know protocols: the bootloaders are those that `mcutool emulate` has models of,
on a line or with a drive for UF2 files, and the core is the board's own, emulated.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutool import __version__, devices, install
from mcutool.devices import Board
from mcutool.emulator.drives import drive_of
from mcutool.emulator.machine import Machine
from mcutool.emulator.serve import MODELS, boot_loader, shows_drive_in_bootloader
from mcutool.errors import Disconnected, NoAnswer
from mcutool.flash.drivers.drive import uf2_pieces
from tests.flash.line import Line

STARTING = 3_200_000  # cycles in which a runtime has said who it is
OLDER = b"0" * len(__version__)
KINDS = ("before", "torn")  # nothing of the operation is done, or a part of it


def boards() -> list[Board]:
    """Those with a runtime and a bootloader that there is a model of."""
    ours = devices.runtime_boards()
    return [board for board in ours if boot_loader(board) or shows_drive_in_bootloader(board)]


class PowerCut(Exception):
    """The supply is gone in the middle of a flash operation."""


@dataclass
class Supply:
    """Cuts the power at one flash operation of a machine, counted from 0; `operations` counts them."""

    machine: Machine
    cut_at: int = -1
    kind: str = "before"
    operations: int = 0

    def __post_init__(self) -> None:
        self.machine.flash.before_change = self._change

    def _change(self, kind: str, offset: int, data: bytes) -> bytes:
        self.operations += 1
        if self.operations - 1 != self.cut_at:
            return data
        if self.kind == "torn":
            self.machine.flash.load(offset, torn(self.machine.flash[offset : offset + len(data)], data, self.cut_at))
        raise PowerCut


def torn(before: bytes, after: bytes, seed: int) -> bytes:
    """Flash in which an operation ended in the middle: bits up to there are new, some beyond are neither."""
    chance = random.Random(seed)
    place = chance.randrange(len(before))
    doubtful = bytes(a ^ (a ^ b) & chance.randrange(256) for a, b in zip(before[place:], after[place:], strict=True))
    return after[:place] + doubtful[:16] + before[place + 16 :]


class Powered:
    """A bootloader's model that falls silent when the power is cut."""

    def __init__(self, model: Any) -> None:
        self._model, self.is_on = model, True

    @property
    def busy(self) -> float:
        return self._model.busy

    def feed(self, data: bytes) -> bytes:
        try:
            return self._model.feed(data) if self.is_on else b""
        except PowerCut:
            self.is_on = False
            return b""


class Renewal:
    """A board whose runtime is renewed again and again, from the same state."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._machine = Machine(board, board.firmware)
        self._output = bytearray()
        self._machine.uart.on_output = self._output.extend
        self._loader = boot_loader(board) or board.loaders[0]
        self._job = install.prepare(board, None, runtime=True, protocol=self._loader.protocol)
        self._new = self._machine.flash[: self._machine.flash.size]
        self._old = self._new.replace(__version__.encode(), OLDER)

    def operations(self) -> int:
        """How many changes of flash one renewal takes."""
        supply = Supply(self._machine)
        self._machine.flash.load(0, self._old)
        self._install(full=True)
        return supply.operations

    def _install(self, full: bool) -> None:
        line = Line(Powered(MODELS[self._loader.protocol](self._machine, self._loader)))
        install.install(self._job, line, install.Manner(full=full))

    def starts(self) -> str:
        """Which runtime says who it is after power-on: the "new" or "old" one, "half" of one, or "none"."""
        self._output.clear()
        self._machine.reset()
        self._machine.run(STARTING)
        if b"mcutool" not in self._output:
            return "none"
        whole = {self._new: "new", self._old: "old"}
        return whole.get(self._machine.flash[: len(self._new)], "half")

    def cut(self, operation: int, kind: str) -> str:
        """What starts after a cut, before the same command is given again, which has to succeed."""
        self._machine.flash.load(0, self._old)
        Supply(self._machine, operation, kind)
        try:
            self._install(full=True)
        except (NoAnswer, Disconnected):
            pass
        else:
            raise AssertionError(f"nobody noticed a cut at operation {operation}")
        Supply(self._machine)
        found = self.starts()
        self._install(full=False)
        assert self._machine.flash[: len(self._new)] == self._new
        assert self.starts() == "new"
        return found


class DriveRenewal(Renewal):
    """The same through the drive of a UF2 bootloader, piece by piece as they are copied there."""

    def _install(self, full: bool) -> None:
        assert self._job.order
        with tempfile.TemporaryDirectory() as folder:
            drive = drive_of(self.board, self._machine.flash, Path(folder) / "drive")
            drive.show()
            try:
                for piece in uf2_pieces(self._job.order):
                    with (drive.folder / "FILE.UF2").open("ab") as file:
                        file.write(piece)
                    drive.poll()
            except PowerCut as cut:
                raise Disconnected("the drive is gone") from cut


def cuts(board: Board, every: int = 1) -> Counter[str]:
    """Cut at every operation, or at every so-many-th, in both ways: which runtime started after how many cuts."""
    renewal = Renewal(board) if boot_loader(board) else DriveRenewal(board)
    places = [(number, kind) for number in range(renewal.operations()) for kind in KINDS]
    return Counter(renewal.cut(number, kind) for number, kind in places[::every])
