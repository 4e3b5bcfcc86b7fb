"""Power that is cut while an emulated board is updated by its real firmware, and what it starts afterwards.

Decides what an update is, from the upload to the confirmation, and that the old or the new program runs after each cut.
Refuses to know the store: what changes flash is the board's own firmware, told by SMP.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mcutool.devices import Board
from mcutool.image.mcuboot import read
from tests.firmware import programs
from tests.firmware.machines import Emulated
from tests.flash.power import torn

OLD, NEW = programs.writes(b"the old program\n", 0), programs.writes(b"the new program\n", 0)
ENDED = b"[exit 0]\r\n"


class PowerCut(Exception):
    """The board is off."""


class Updated(Emulated):
    """A board with the old program, whose power goes at one of its flash operations."""

    def __init__(self, board: Board, folder: Path) -> None:
        image = folder / "old.mcu"
        image.write_bytes(OLD)
        self._flash = b""
        super().__init__(board, board.firmware, image)
        self.expect(b"the old program\n\r\n" + ENDED)
        self._begin = self.machine.snapshot()
        self.operations, self._cut_at, self._kind = 0, -1, ""
        self.machine.flash.before_change = self._change

    def _change(self, kind: str, offset: int, data: bytes) -> bytes:
        """What comes after the cut happens to nobody: flash is put back to what it was at that moment."""
        self.operations += 1
        if self.operations - 1 == self._cut_at:
            flash = self.machine.flash
            whole = bytearray(flash[: flash.size])
            if self._kind == "torn":
                whole[offset : offset + len(data)] = torn(bytes(whole[offset : offset + len(data)]), data, self._cut_at)
            self._flash = bytes(whole)
            self.machine.stop()
        return data

    def read(self, timeout: float) -> bytes:
        if self._flash:
            raise PowerCut
        return super().read(timeout)

    def update(self) -> None:
        """Upload the new program, try it, and confirm it."""
        self.client.upload(NEW)
        self.client.activate(read("new", NEW).hash)
        self.client.reset()
        self.expect(b"the new program\n")
        self.client.confirm()

    def cut(self, operation: int, kind: str) -> str:
        """Which program runs when power is back, the "old" or the "new" one."""
        self.machine.restore(self._begin)
        self.output = b""
        self.operations, self._cut_at, self._kind = 0, operation, kind
        try:
            self.update()
        except PowerCut:
            pass
        else:
            raise AssertionError(f"nothing was cut at operation {operation}")
        self.machine.flash.load(0, self._flash)
        self._flash, self._cut_at = b"", -1
        self.machine.reset()
        self.output = b""
        said = bytes(self.expect(ENDED))
        assert b"[no program" not in said, said
        return "new" if b"the new program" in said else "old" if b"the old program" in said else said.decode()


def cuts(board: Board, folder: Path, every: int) -> Counter[str]:
    """Cut at every so-many-th operation of an update, in two ways: what ran after how many cuts."""
    updated = Updated(board, folder)
    updated.update()
    places = [(number, kind) for number in range(updated.operations) for kind in ("before", "torn")]
    return Counter(updated.cut(number, kind) for number, kind in places[::every])
