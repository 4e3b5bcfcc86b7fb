"""Emulated boards that are broken, to prove that a test of boards finds it.

This file decides how each fault of a real board looks from inside and outside an emulated one. It refuses to know who
looks for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from mcutool.devices import Board
from mcutool.emulator.engine import WFI
from mcutool.emulator.machine import Machine

PAGE = 0x1000
BACK_TO_IT = 0xE7FD  # a branch to the instruction before
LARGEST_DEVIATION = 0.04  # of the rate, for a byte of ten bits to be understood


def sabotaged(name: str, board: Board) -> Machine:
    """An emulated board with one of `SABOTAGES`."""
    machine = Machine(board, board.firmware)
    SABOTAGES[name](machine)
    return machine


def silent_uart(machine: Machine) -> None:
    """A broken wire: what the board sends reaches nobody."""
    machine.uart.outwards = lambda data: b""


def wrong_chip(machine: Machine) -> None:
    """Another chip than the description says: its ROM and the runtime that was built for it give another name."""
    chip = machine.chip
    if chip.bootrom:
        machine.chip = replace(chip, bootrom=replace(chip.bootrom, product_id=chip.bootrom.product_id ^ 0x30))
    name = chip.name.encode()
    runtime = machine.flash[: chip.map.runtime.size]
    machine.flash.load(0, runtime.replace(name + b"\0", name[:-1] + b"?\0"))


def stuck_flash_bit(machine: Machine, offset: int = 0x1235, bit: int = 3) -> None:
    """A bit of the module slot, `offset` bytes behind its start, that is 1 whatever is programmed."""
    place = machine.chip.map.slot.offset + offset
    if machine.controller is None:  # memory that is written like RAM
        return _stick(machine, machine.chip.flash.base + place, bit)

    def stick(kind: str, start: int, data: bytes) -> bytes:
        if not start <= place < start + len(data):
            return data
        changed = bytearray(data)
        changed[place - start] |= 1 << bit
        return bytes(changed)

    machine.flash.before_change = stick


def bad_ram_cell(machine: Machine, share: float = 0.5, bit: int = 5) -> None:
    """A bit of the module arena, that far into it (of its first megabyte), that is 1 whatever is stored."""
    chip = machine.chip
    offset = chip.arena_offset + int(min(chip.arena_size, 1 << 20) * share)
    _stick(machine, chip.main_ram.base + offset, bit)


def _stick(machine: Machine, address: int, bit: int) -> None:
    """Make a bit of writable memory always 1.

    The page becomes a peripheral: hooks on plain memory disturb conditional instructions (engine.py).
    """
    uc, first, mask = machine.engine.uc, address & -PAGE, 1 << bit
    cells = bytearray(machine.engine.read(first, PAGE))
    cells[address - first] |= mask

    def read(uc: object, offset: int, size: int, data: object) -> int:
        return int.from_bytes(cells[offset : offset + size], "little")

    def write(uc: object, offset: int, size: int, value: int, data: object) -> None:
        cells[offset : offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        cells[address - first] |= mask

    uc.mem_unmap(first, PAGE)
    uc.mmio_map(first, PAGE, read, None, write, None)


def wrong_clock(machine: Machine, ratio: float = 1.5) -> None:
    """A crystal that is `ratio` times as fast as the firmware believes, and so is everything that is derived from it.

    A UART understands a few per cent; beyond that both sides read bits at wrong places.
    """
    machine.clock.frequency = machine.uart.input_clock = round(machine.clock.frequency * ratio)
    if abs(ratio - 1) > LARGEST_DEVIATION:
        machine.uart.outwards = lambda data: bytes(misread(byte, ratio) for byte in data)
        machine.uart.inwards = lambda data: bytes(misread(byte, 1 / ratio) for byte in data)


def misread(byte: int, ratio: float) -> int:
    """What a receiver makes of a byte whose bits are `ratio` times as fast as its own, with pauses between bytes."""
    levels = [0, *(byte >> bit & 1 for bit in range(8))]
    seen = [int((bit + 1.5) * ratio) for bit in range(8)]  # the receiver looks at the middle of its bits
    return sum((levels[place] if place < len(levels) else 1) << bit for bit, place in enumerate(seen))


def no_runtime(machine: Machine) -> None:
    """Somebody else's program in the flash, which says nothing: it sleeps for ever."""
    base, ram = machine.chip.flash.base, machine.chip.main_ram
    sleeping = struct.pack("<IIHH", ram.base + ram.size, base + 8 | 1, WFI, BACK_TO_IT)
    machine.flash.load(0, sleeping.ljust(machine.chip.map.runtime.size, b"\xff"))


SABOTAGES: dict[str, Callable[[Machine], None]] = {
    "silent UART": silent_uart,
    "wrong chip": wrong_chip,
    "stuck flash bit": stuck_flash_bit,
    "bad RAM cell": bad_ram_cell,
    "wrong baud": wrong_clock,
    "no runtime": no_runtime,
}
