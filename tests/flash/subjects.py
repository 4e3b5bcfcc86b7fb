"""What is tested for faults and timed: one row for each bootloader with access to flash by address.

Decides which board stands for a protocol, what is installed on it, and how often its sender cannot but wait. Refuses
to know lines and faults (line.py), and what is asked of the figures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mcutool import devices
from mcutool.devices import Board, Loader, Span
from mcutool.emulator.bare import BareChip
from mcutool.emulator.serve import MODELS
from mcutool.flash import engine
from mcutool.flash.drivers.an3155 import ERASED_AT_ONCE, An3155
from mcutool.flash.drivers.sam_ba import BUFFER, SamBa
from mcutool.flash.plan import Order, plan
from mcutool.flash.protocols import an3155, xmodem

IMAGE_SIZE = 20_000


@dataclass(frozen=True)
class Subject:
    """A board in one of its bootloaders.

    `locks` is the byte from which the device takes its rate. `write_turnarounds` and `verify_turnarounds` say how
    often somebody who knows the protocol has to wait while so many bytes (in so many sectors) are written, or looked
    at.
    """

    protocol: str
    board: Board
    driver: Callable[..., Any]
    locks: int
    write_turnarounds: Callable[[int, int], int]
    verify_turnarounds: Callable[[int, int], int]

    def __str__(self) -> str:
        return f"{self.protocol}, {self.board.name}"

    @property
    def loader(self) -> Loader:
        return next(loader for loader in self.board.loaders if loader.protocol == self.protocol)

    @property
    def start(self) -> int:
        """The offset in flash of what is installed; below lies the bootloader."""
        return self.loader.offset

    @property
    def room(self) -> int:
        """Bytes of flash that it writes."""
        return self.board.chip.flash.size - self.start

    def chip(self, before: bytes = b"") -> BareChip:
        """Its memories, with `before` in flash."""
        chip = BareChip(self.board)
        chip.flash.load(0, b"\xb0" * self.start + before)
        return chip

    def model(self, chip: Any) -> Any:
        """The bootloader's side of the line, on a chip's memories."""
        return MODELS[self.protocol](chip, self.loader)

    def contents(self, chip: Any, size: int) -> bytes:
        return chip.flash[self.start : self.start + size]

    def order(self, image: bytes) -> Order:
        flash = self.board.chip.flash
        segments = [(flash.base + self.start, image)]
        work = plan(flash, Span(self.start, self.room), segments)
        return Order(self.board, self.loader, "", image, tuple(segments), work)

    def install(self, link: Any, image: bytes, **options: Any) -> engine.Outcome:
        return engine.install(self.driver, link, self.order(image), **options)


def image(size: int = IMAGE_SIZE, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def _count(size: int, length: int) -> int:
    """How many pieces of `length` bytes there are."""
    return -(-size // length)


# AN3155: WRITE and READ of a block each wait for the command, the address and the data; ERASE for the command and for
# its list, of 64 KB of pages or of one larger sector.
_ROM = (
    An3155, an3155.SYNC,
    lambda size, sectors: 3 * _count(size, an3155.BLOCK) + 2 * _count(size, ERASED_AT_ONCE),
    lambda size, sectors: 3 * _count(size, an3155.BLOCK),
)  # fmt: skip
# SAM-BA: each block of XMODEM is waited for, and for each buffer of 4 KB the command that takes it, the end of the
# transfer and the command that copies it. One command erases, one asks for the CRC of a row.
_MONITOR = (
    partial(SamBa, raw=False), 0x80,
    lambda size, sectors: _count(size, xmodem.BLOCK) + 3 * _count(size, BUFFER) + 1,
    lambda size, sectors: sectors,
)  # fmt: skip

SUBJECTS = {
    subject.board.name: subject
    for subject in (
        Subject("an3155", devices.board("stm32f405"), *_ROM),
        Subject("an3155", devices.board("bluepill"), *_ROM),
        Subject("sam-ba", devices.board("arduino-zero"), *_MONITOR),
    )
}
