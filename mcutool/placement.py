"""Where a module lies in a chip's flash when it is the one that is installed, and the record that says so.

This file decides what a debug probe, a production file or a test has to put where, so that the firmware takes it as if
it had installed it itself. It refuses to know who writes flash, and how a record looks (image/state.py).
"""

from __future__ import annotations

from mcutool.devices import Chip
from mcutool.image import state

Placed = tuple[str, int, bytes]
"""A part of the flash map, an offset from the start of flash, and what is there."""


def placed(chip: Chip, image: bytes) -> list[Placed]:
    """The record in one area; an erased beginning in the other, so that nothing there counts; the module."""
    first, second = chip.state_areas
    nothing = bytes((chip.flash.erased,)) * max(chip.flash.smallest_write, state.ALIGNMENT)
    record = state.installed(len(image), chip.images)
    return [
        ("state", first.offset, _filled(chip, record)),
        ("state", second.offset, nothing),
        ("slot", chip.map.slot.offset, _filled(chip, image)),
    ]


def _filled(chip: Chip, data: bytes) -> bytes:
    """Up to a whole write unit, as the firmware does it."""
    return data + bytes((chip.flash.erased,)) * (-len(data) % chip.flash.smallest_write)
