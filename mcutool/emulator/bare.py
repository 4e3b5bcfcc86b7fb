"""A chip without its core: flash and RAM, as a model of its bootloader needs them.

Decides what is left of a board whose processor nobody emulates. Refuses to know bootloaders: one is a model that works
on the memories. A program in flash says nothing and hears nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mcutool.devices import Board
from mcutool.emulator.flash import FlashArray
from mcutool.emulator.flash_files import load_flash_file, save_flash_file


class _Line:
    """The console of a program that does not run."""

    on_output: Callable[[bytes], None]

    def feed(self, data: bytes) -> None:
        """Nobody listens."""


class _Bytes:
    """A memory, by address."""

    def __init__(self, base: int, contents: bytes) -> None:
        self._base, self._contents = base, bytearray(contents)

    def read(self, address: int, size: int) -> bytes:
        start = address - self._base
        return bytes(self._contents[start : start + size])

    def write(self, address: int, data: bytes) -> None:
        start = address - self._base
        self._contents[start : start + len(data)] = data


class BareChip:
    """The part of an emulated `Machine` that a bootloader's model and `mcutool emulate` use: `engine` is its RAM."""

    lockup = ""

    def __init__(self, board: Board) -> None:
        self.board, self.chip = board, board.chip
        memory, ram = board.chip.flash, board.chip.main_ram
        cells = _Bytes(0, bytes((memory.erased,)) * memory.size)
        self.flash = FlashArray(cells.read, cells.write, memory.size, memory.erased)
        self.engine = _Bytes(ram.base, bytes(ram.size))
        self.uart = _Line()

    def reset(self) -> None:
        """A program has nothing that could be reset."""

    def load_flash_file(self, path: Path) -> None:
        """Take over the flash contents that an earlier run or another tool left, if the file exists."""
        if path.exists():
            load_flash_file(self.flash, self.board, path)

    def save_flash_file(self, path: Path) -> None:
        """Save the flash contents."""
        save_flash_file(self.flash, self.board, path)
