"""Every row that loads or stores, on each core, at all edges of windows of all kinds, against a model of a memory."""

from __future__ import annotations

import itertools
import random

import pytest

from mcutool.encoding import encode, fields
from mcutool.isa import BY_NAME, ROWS, TRAP_NUMBERS, Row
from tests.isa.bare import GUARD, BareCore

BOARDS = ("mps2-m0", "mps2-an385", "mps2-an386")
ACCESSES = [row for row in ROWS if row.name[:8] in ("i32.load", "i64.load", "i32.stor", "i64.stor")]
WINDOWS = [
    *itertools.product((0, 1, 255, 256, 300, 0x10_0000), (0, 1, 3, 4, 5, 8, 11, 12)),
    *itertools.product((0, 1, 4), (252, 255, 256, 257, 259, 260, 261, 264, 265, 270, 0x1_0000)),
]
OFFSETS = {
    "e": {8: (0, 1, 255), 16: (256, 300, 0xFFFF), 32: (0x1_0000, 0x7FFF_FFFF, 0xFFFF_FFFF)},
    "i": {8: (-128, -1, 0, 127), 16: (-0x8000, -1, 0, 0x7FFF)},
}
HALT = encode(BY_NAME["halt"])
USE = encode(BY_NAME["memory.use"], m=0)
BEYOND = 5
"""Bytes of a memory that its window does not back."""
ROUNDS = 2
VALUE = 0x8182838485868788


def size_of(row: Row) -> int:
    access = row.name.split(".")[1]
    return 1 if "8" in access else 2 if "16" in access else 8 if row.name.startswith("i64") else 4


def offsets(row: Row) -> tuple[int, ...]:
    """Constants of the row; one without an address in a slot gets each address that is asked for."""
    letter = next((letter for letter in "ei" if letter in fields(row)), None)
    return OFFSETS[letter][fields(row)[letter].width] if letter and not is_absolute(row) else (0,)


def is_absolute(row: Row) -> bool:
    return row.name.endswith(".at")


def code_for(row: Row, constant: int) -> list[int]:
    """The access, with its operands in slots 0 and 1 and its value in slot 4."""
    value = list(row.slot_types)[-1] if ".store" in row.name else "d"
    slots = {"a": 0, "b": 1, "d": 4, value: 4}
    given = {k: v for k, v in slots.items() if k in row.slot_types}
    given |= {letter: constant for letter in fields(row) if letter in "ei"}
    return USE + encode(row, **given) + HALT


def targets(low: int, size: int) -> list[int]:
    """Addresses at which something changes, and some around them."""
    end = low + size
    places = {low + d for d in range(-8, 2)} | {end + d for d in range(-9, BEYOND + 2)}
    places |= {low + 253 + d for d in range(8)} | {255, 256, 0, 1, (1 << 32) - 1, (1 << 32) - 4, (1 << 32) - 8, 1 << 31}
    return sorted(place for place in places if 0 <= place < 1 << 32)


def expected(row: Row, address: int, low: int, content: bytes) -> tuple[int, int, bytes]:
    """Trap, what is loaded, the content afterwards; an address may be 2^32 and more."""
    size = size_of(row)
    place = address - low
    if address + size > low + len(content) + BEYOND:
        return TRAP_NUMBERS["memory_out_of_bounds"], 0, content
    if place < 0 or place + size > len(content):
        return TRAP_NUMBERS["not_backed"], 0, content
    if ".store" in row.name:
        return 0, 0, content[:place] + VALUE.to_bytes(8, "little")[:size] + content[place + size :]
    signed = "_s" in row.name.split(".")[1]
    width = 64 if row.name.startswith("i64") else 32
    return 0, int.from_bytes(content[place : place + size], "little", signed=signed) & ((1 << width) - 1), content


def operands_for(row: Row, address: int, offset: int, random_: random.Random) -> tuple[int, int, int]:
    """Slots a and b, and the address without offset that they stand for."""
    start = address - offset & 0xFFFFFFFF
    if not row.name.endswith((".sum", ".scaled")):
        return start, 0, start + offset if "e" in fields(row) else start + offset & 0xFFFFFFFF
    index = random_.choice((0, 1, 255, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF))
    scale = size_of(row) if row.name.endswith(".scaled") else 1
    return start - index * scale & 0xFFFFFFFF, index, start


@pytest.mark.parametrize("board", BOARDS)
def test_accesses_are_exact(board: str) -> None:
    core = BareCore(board)
    random_ = random.Random(7)
    accesses = [(row, offset) for row in ACCESSES for offset in offsets(row)]
    for low, size in WINDOWS:
        content = bytes(random_.randrange(128, 256) for _ in range(size))
        core.set_memory(low, content, low + size + BEYOND)
        places = targets(low, size)
        for row, offset in accesses:
            reached = [place for place in places if place in fields(row)["e"].limits] if is_absolute(row) else places
            for place in random_.sample(reached, min(len(reached), ROUNDS)):
                core.load(code_for(row, place if is_absolute(row) else offset))
                a, b, address = operands_for(row, place, offset, random_)
                outcome = core.run(0, (a, b, 0, 0, VALUE & 0xFFFFFFFF, VALUE >> 32))
                trap, value, after = expected(row, address, low, content)
                where = f"{row.name} at {address:#x}, offset {offset}, window {low} + {size}"
                assert (outcome.trap, core.memory(size)) == (trap, bytes(GUARD) + after + bytes(GUARD)), where
                assert outcome.position == len(USE) + (0 if trap else row.halfwords), where
                if not trap and "d" in row.slot_types:
                    got = outcome.slots[4] | outcome.slots[5] << 32 if row.types.startswith("i64") else outcome.slots[4]
                    assert got == value, where
                if after != content:
                    core.set_memory(low, content, low + size + BEYOND)


@pytest.mark.parametrize("board", BOARDS)
def test_what_a_memory_grows_by_is_reached_and_nothing_more(board: str) -> None:
    core = BareCore(board)
    grow = encode(BY_NAME["memory.grow"], d=2, a=3)
    for low, size, more in itertools.product((0, 256), (0, 1, 5, 257), (1, 4, 8, 300)):
        for name, width in (("i32.load8_u", 1), ("i32.store", 4), ("i64.load", 8)):
            row = BY_NAME[name]
            value = "b" if "store" in name else "d"
            core.load(USE + grow + encode(row, **{"a": 0, "e": 0, value: 4}) + HALT)
            end = low + size + more
            for place in range(max(end - width - 1, 0), end + 2):
                core.set_memory(low, bytes(size), low + size, capacity=size + more)
                outcome = core.run(0, (place, 0, 0, more))
                fits = low <= place and place + width <= end
                kind = "memory_out_of_bounds" if place + width > end else "not_backed"
                wanted = 0 if fits else TRAP_NUMBERS[kind]
                assert (outcome.slots[2], outcome.trap) == (low + size, wanted), (name, low, size, more, place)


@pytest.mark.parametrize("board", BOARDS)
def test_nothing_may_be_moved_anywhere_in_what_is_declared(board: str) -> None:
    """Core specification, memory.copy and memory.fill: only the end of a range must not pass the memory's."""
    core = BareCore(board)
    core.set_memory(1024, bytes(16), 2048)
    for name in ("memory.copy", "memory.fill"):
        core.load(USE + encode(BY_NAME[name], a=0, b=1, c=2) + HALT)
        for place in (0, 1, 1023, 1040, 2048):
            assert core.run(0, (place, place, 0)).trap == 0, (name, place)
        assert core.run(0, (2049, 0, 0)).trap == TRAP_NUMBERS["memory_out_of_bounds"], name
        assert core.run(0, (1, 1, 1)).trap == TRAP_NUMBERS["not_backed"], name
