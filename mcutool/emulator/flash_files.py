"""The contents of an emulated flash in a file that outlives the emulator.

Decides which files are understood and that a file is never left half written. Refuses to know what the contents mean.
"""

from __future__ import annotations

from pathlib import Path

from mcutool.devices import Board
from mcutool.emulator.flash import FlashArray
from mcutool.errors import DoesNotFit
from mcutool.image.containers import WRITERS, read_segments, to_binary


def load_flash_file(cells: FlashArray, board: Board, path: Path) -> None:
    """Take over the flash contents that an earlier run or another tool left.

    ELF, Intel HEX and UF2 are told from a plain binary by what they begin with. Raises UsageError when the file is
    damaged, DoesNotFit when it is not for this flash.
    """
    base = board.chip.flash.base
    for address, data in read_segments(str(path), path.read_bytes(), base):
        if not base <= address <= address + len(data) <= base + cells.size:
            raise DoesNotFit(
                f"{path} has {len(data)} bytes for {address:#010x}; the flash of {board.name} has"
                f" {cells.size} at {base:#010x}",
                next_action="name a file for this board, or one that does not exist yet",
            )
        cells.load(address - base, data)


def save_flash_file(cells: FlashArray, board: Board, path: Path) -> None:
    """Save the flash contents, atomically, as the kind of file that the suffix says; a plain binary without one."""
    temporary = path.with_suffix(path.suffix + ".new")
    writer = WRITERS.get(path.suffix.lower(), to_binary)
    temporary.write_bytes(writer([(board.chip.flash.base, cells[:])]))
    temporary.replace(path)
