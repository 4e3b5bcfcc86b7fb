"""What an instruction of the bytecode costs on a core, from the machine code of its handler in the built firmware.

This file decides which ways through a handler count: those that lead to the next instruction without a call. So a slow
access, a trap and a handler that is a veneer of a C function are not in it. It refuses to know what the row means and
what a machine instruction costs (`costs.py`).

The cycles are those of the model in `costs.py`, with everything but the handler left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from elftools.common.exceptions import ELFError

from mcutool.devices import Board, Core
from mcutool.emulator.costs import Cost, pair, table_of
from mcutool.emulator.firmware import read_firmware, read_object
from mcutool.errors import UsageError
from mcutool.isa import Row

TABLE = "primary_table"
"""The firmware's table of handlers, by opcode (firmware_runtime/driver_*.h)."""
MOST_WAYS = 64
PC, LR, SP = 15, 14, 13
START = Cost(branch=0)


class Unknown(Exception):
    """The handler has a loop, a jump table, or too many ways."""


@dataclass(frozen=True)
class Flow:
    """Where an instruction may go on: behind itself if `falls`, at `target`, with the next instruction of the bytecode
    (`dispatches`), or nowhere that is known. One that `calls` comes back unless it only goes far."""

    falls: bool = True
    target: int | None = None
    dispatches: bool = False
    calls: bool = False


@dataclass(frozen=True)
class Way:
    """A way to the next instruction: the cycles at least and at the most, since slots of IT blocks may be skipped, and
    whether it steps over as many bytes as the row is long."""

    least: int
    most: int
    advances: bool


def estimates(board: Board) -> Estimates:
    """Those of the board's firmware. Raises UsageError when it is not built or has no handlers that we can read."""
    try:
        return _estimates(board.firmware, board.chip.core)
    except (OSError, KeyError, ValueError, ELFError, struct.error) as error:
        raise UsageError(f"{board.firmware.name} shows no handlers: {error}", next_action="build it again") from error


class Estimates:
    """The handlers of a firmware."""

    def __init__(self, firmware: Path, core: Core) -> None:
        table = read_object(firmware, TABLE)
        self._handlers = [address & ~1 for (address,) in struct.iter_unpack("<I", table)]
        self._firmware = read_firmware(firmware)
        self._cost = table_of(core)
        self._known: dict[Row, tuple[int, ...]] = {}

    def cycles(self, row: Row) -> tuple[int, ...]:
        """What the row costs: one number; of a branch two, taken and not, at the most; else the least and the most when
        it depends on the values; nothing when its handler calls C functions or is not known."""
        if row not in self._known:
            try:
                self._known[row] = () if row.escaped else _summary(row, list(self._ways(row)))
            except Unknown:
                self._known[row] = ()
        return self._known[row]

    def _ways(self, row: Row) -> Iterator[Way]:
        if row.opcode >= len(self._handlers):  # of a newer table than the firmware's
            raise Unknown
        begin = self._handlers[row.opcode]
        name = self._firmware.function_at(begin)
        if not name:
            raise Unknown
        function = self._firmware.symbols[name]
        inside = range(function.address, function.address + function.size)
        walk = _Walk(self, inside, 2 * row.halfwords)
        yield from walk.ways(begin)
        if row.calls and walk.calls:  # for what the core has no instruction, so the call is the usual way
            raise Unknown

    def instruction(self, address: int) -> tuple[int, int]:
        """The halfwords at an address, the second 0 where it has one only."""
        for start, data in self._firmware.code:
            if start <= address < start + len(data):
                first = int.from_bytes(data[address - start :][:2], "little")
                wide = first >> 11 >= 0x1D
                return first, int.from_bytes(data[address - start + 2 :][:2], "little") if wide else 0
        raise Unknown

    def cost(self, first: int, second: int) -> Cost:
        return self._cost(first, second)


@lru_cache(4)
def _estimates(firmware: Path, core: Core) -> Estimates:
    return Estimates(firmware, core)


def _summary(row: Row, ways: list[Way]) -> tuple[int, ...]:
    if "j" in row.bits and len(ways) > 1:
        taken, behind = ([way.most for way in ways if way.advances is advances] for advances in (False, True))
        return (max(taken), max(behind)) if taken and behind else ()
    bounds = {bound for way in ways for bound in (way.least, way.most)}
    return tuple(sorted({min(bounds), max(bounds)})) if bounds else ()


class _Walk:
    """All ways through one handler, which begins in the function at `inside` and moves on by `length` bytes; handlers
    may share their ends."""

    def __init__(self, handlers: Estimates, inside: range, length: int) -> None:
        self._handlers, self._inside, self._length = handlers, inside, length
        self._found = 0
        self.calls = False

    def ways(self, address: int) -> Iterator[Way]:
        yield from self._from(address, START, 0, Way(0, 0, False), frozenset())

    def _from(self, address: int, before: Cost, slots: int, way: Way, seen: frozenset[int]) -> Iterator[Way]:
        """`slots`: how many instructions of an IT block are left; `seen`: where this way has been."""
        while True:
            if address in seen:
                raise Unknown
            seen |= {address}
            first, second = self._handlers.instruction(address)
            here = self._handlers.cost(first, second)
            flow = flow_of(address, first, second)
            if flow.calls and flow.target not in self._inside:
                self.calls = True
                return
            cycles = here.cycles - pair(before, here)
            advances = way.advances or advance(first, second) == self._length
            branched = Way(way.least + cycles + here.branch, way.most + cycles + here.branch, advances)
            if flow.dispatches:
                self._count()
                yield branched
            if flow.target is not None:
                yield from self._from(flow.target, START, 0, branched, seen)
            if not flow.falls and not slots:
                return
            way = Way(way.least + (1 if slots else cycles), way.most + cycles, advances)
            slots = it_slots(first, second) or max(slots - 1, 0)
            before, address = here, address + (4 if first >> 11 >= 0x1D else 2)

    def _count(self) -> None:
        self._found += 1
        if self._found > MOST_WAYS:
            raise Unknown


# --- What machine instructions do with the program counter ------------------------------------------------------------


def it_slots(first: int, second: int) -> int:
    """How many instructions an IT makes conditional; 0 for any other instruction."""
    mask = first & 0xF
    return 4 - ((mask & -mask).bit_length() - 1) if first & 0xFF00 == 0xBF00 and mask else 0


def advance(first: int, second: int) -> int:
    """The constant that an instruction adds to a register: ADDS, ADD.W, and what a load with write-back does first."""
    if first >> 11 == 0b00110:
        return first & 0xFF
    if first >> 9 == 0b0001110:
        return first >> 6 & 7
    if first & 0xFB60 == 0xF100 and first & 0xF != PC and not second & 0x7000:
        return second & 0xFF
    write_back = first & 0xFF10 == 0xF810 and second & 0x0F00 == 0x0F00
    return second & 0xFF if write_back else 0


def flow_of(address: int, first: int, second: int) -> Flow:
    """Where the instruction may go on."""
    return _wide_flow(address, first, second) if first >> 11 >= 0x1D else _narrow_flow(address, first)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _narrow_flow(address: int, code: int) -> Flow:
    if code >> 12 == 0xD and code >> 8 & 0xF < 0xE:
        return Flow(target=address + 4 + 2 * _signed(code & 0xFF, 8))
    if code >> 11 == 0b11100:
        return Flow(False, address + 4 + 2 * _signed(code & 0x7FF, 11))
    if code & 0xF500 == 0xB100:  # CBZ, CBNZ
        return Flow(target=address + 4 + (code >> 3 & 0x1F | code >> 4 & 0x20) * 2)
    if code & 0xFF00 == 0x4700:  # BX; BLX is a call
        return Flow(False, dispatches=not code & 0x80 and code >> 3 & 0xF != LR, calls=bool(code & 0x80))
    if code & 0xFC00 == 0x4400 and code & 0x0300 != 0x0100 and code & 7 | code >> 4 & 8 == PC:
        if code & 0x0300:
            return Flow(False, dispatches=True)  # MOV
        raise Unknown  # ADD: a jump table
    return Flow(code & 0xFF00 != 0xBD00)  # POP with PC returns


def _wide_flow(address: int, first: int, second: int) -> Flow:
    if first >> 11 == 0b11110 and second & 0x8000:
        return _wide_branch(address, first, second)
    if first & 0xFFE0 == 0xE8C0 and second & 0xFFE0 == 0xF000 or first & 0xFFF0 == 0xE8D0 and second & 0xFFE0 == 0xF000:
        raise Unknown  # TBB, TBH
    if first & 0xFF70 == 0xF850 and second >> 12 == PC:  # LDR
        return Flow(False, dispatches=first & 0xF != SP)
    return Flow(not (first & 0xFE50 == 0xE810 and second & 0x8000))  # LDM with PC returns


def _wide_branch(address: int, first: int, second: int) -> Flow:
    sign, condition = first >> 10 & 1, first >> 6 & 0xF
    if second & 0x1000:  # B and BL; what BL reaches in the same function is a branch that B was too short for
        high = [1 ^ (second >> 13 & 1) ^ sign, 1 ^ (second >> 11 & 1) ^ sign]
        value = sign << 23 | high[0] << 22 | high[1] << 21 | (first & 0x3FF) << 11 | second & 0x7FF
        return Flow(False, address + 4 + 2 * _signed(value, 24), calls=bool(second & 0x4000))
    if condition >= 0xE:  # MSR, MRS, barriers
        return Flow()
    high = [second >> 11 & 1, second >> 13 & 1]
    value = sign << 19 | high[0] << 18 | high[1] << 17 | (first & 0x3F) << 11 | second & 0x7FF
    return Flow(target=address + 4 + 2 * _signed(value, 20))
