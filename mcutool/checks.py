"""What the verifier asks of each instruction: a short list of checks a row, derived from the row's picture and meaning.

This file decides which checks there are and which a row needs, for the verifier on the board (generated/verify.inc) and
for its twin on the PC (image/verify.py). It refuses to know how either of them works.

A check is a kind and a place: the byte of the instruction at which it looks (byte 1 is the upper half of the first
halfword). Its operand has the width that the kind says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from mcutool.encoding import Field, fields
from mcutool.isa import FEATURES, FORMATS, ROWS, SLOT_LETTERS, STUBS, Row

KINDS = {
    # of one byte
    "slot": "a slot of the frame",
    "low": "the lower half of the byte is a slot of the frame",
    "high": "the upper half of the byte is a slot of the frame",
    "pair": "it and the next are slots of the frame",
    "zero": "is zero",
    # of the distance of a branch: an instruction of the same function begins there
    "branch": "the byte, signed",
    "branch_half": "the upper half of the byte, signed",
    "branch_wide": "the halfword, signed",
    "branch_far": "the word, signed",
    "branches": "of the halfword and one more distances of a halfword behind it",
    # of one byte
    "trap": "a kind of trap, not 0",
    # of where a callee's frame begins, which the checks behind these look at: not above the frame's size
    "frame": "the byte",
    "call": "the byte, LINK_SLOTS at least",
    "cross": "the byte, CROSS_LINK_SLOTS at least",
    "frame_wide": "the halfword",
    "call_wide": "the halfword, LINK_SLOTS at least",
    "cross_wide": "the halfword, CROSS_LINK_SLOTS at least",
    "tail": "the halfword, CROSS_LINK_SLOTS at least; that it is not above the stack is compared when it is used",
    # of a halfword
    "callee": "a defined function of the same module",
    "foreign": "a defined function",
    "host": "an import; its parameters and results lie in the frame",
    "tag": "a tag; its values lie in the frame",
    "far": "a slot of the frame",
    "signature": "a function type",
    "global": "a slot of the globals",
    "global_pair": "it and the next are slots of the globals",
    "memory": "a linear memory",
    "table": "a table",
    "data": "a data segment",
    "element": "an element segment",
    # of the function alone
    "has_memory": "the function's module has a linear memory",
}
"""Kind -> what must hold of the operand."""
OF_A_BYTE = ("slot", "low", "high", "pair", "zero", "trap", "branch_half", "branch", "frame", "call", "cross")
NUMBERS = {name: number for number, name in enumerate(KINDS, start=1)}
"""Kind -> number in the table of the firmware."""
FREQUENT = {("slot", 1): 3, ("slot", 2): 4, ("slot", 3): 5, ("low", 1): 6, ("high", 1): 7}
"""(Kind, byte) of the most frequent checks -> its bit in the second byte of a shape in that table."""

_OF_LETTER = {
    "z": "far",
    "s": "signature",
    "t": "table",
    "y": "table",
    "h": "host",
    "m": "memory",
    "q": "memory",
    "v": "tag",
    "n": "branches",
}
_BRANCHES = {4: "branch_half", 8: "branch", 16: "branch_wide", 32: "branch_far"}
_UNCHECKED = "iue"
_MEMORY = ("vm_memory_size", "GROW")
"""Words in the meanings of rows that have nothing to work on without a linear memory; all others then trap."""


@dataclass(frozen=True)
class Check:
    """One question about an instruction."""

    kind: str
    byte: int


@dataclass(frozen=True)
class Shape:
    """All that the verifier knows of a row."""

    length: int
    ends: bool
    """Whether control never goes on behind it."""
    feature: str
    checks: tuple[Check, ...]

    @property
    def branches(self) -> bool:
        """Whether distances stand behind the row's own halfwords."""
        return any(check.kind == "branches" for check in self.checks)


@cache
def shape(row: Row) -> Shape | None:
    """None for a row that only return links lead to."""
    if row.name in STUBS:
        return None
    ends = re.search(r"(?:^|; )(BRANCH|LEAVE|TRAP|TAIL\w*|THROW\w*)\(", row.meaning) is not None
    checks = sorted(_checks(row), key=lambda check: (check.kind, check.byte) not in FREQUENT)
    return Shape(row.halfwords, ends, row.feature, tuple(checks))


def _checks(row: Row) -> Iterator[Check]:
    """In the order of the row's bytes, but where the callee's frame begins before what depends on it."""
    for byte in _reserved(row):
        yield Check("zero", byte)
    if "k" in row.bits and row.name != "throw_ref":
        yield Check(_frame(row), _byte(fields(row)["k"]))
    if any(word in row.meaning for word in _MEMORY):
        yield Check("has_memory", 0)
    for letter, field in fields(row).items():
        if kind := _kind(row, letter, field):
            yield Check(kind, _byte(field))


def _frame(row: Row) -> str:
    """The check of where the callee's frame begins."""
    if row.meaning.startswith("TAIL"):
        return "tail"
    crosses = re.match(r"ENTER_(CROSS|INDIRECT|REFERENCE)", row.meaning) is not None
    kind = "cross" if crosses else "call" if row.meaning.startswith("ENTER(") else "frame"
    return kind + "_wide" * (fields(row)["k"].width == 16)


def _reserved(row: Row) -> Iterator[int]:
    """Bytes of the picture that are drawn as zeros."""
    picture = FORMATS[row.format].split()
    for halfword in range(0, len(picture), 2):
        for upper in (0, 1):
            if picture[halfword + 1 - upper] == "00000000":
                yield halfword + upper


def _byte(field: Field) -> int:
    halfword, low, _ = field.parts[0]
    return 2 * halfword + low // 8


def _kind(row: Row, letter: str, field: Field) -> str:
    """The check of an operand; "" for none, or when it has been checked."""
    if letter in SLOT_LETTERS:
        if field.width == 4:
            return "low" if field.parts[0][1] == 8 else "high"
        return "pair" if row.slot_types[letter] in ("i64", "f64") else "slot"
    if letter == "j":
        return _BRANCHES[field.width]
    if letter == "g":
        return "global_pair" if "64" in row.name else "global"
    if letter == "f":
        return "foreign" if "CROSS" in row.meaning else "callee"
    if letter == "x":
        return "data" if row.name.startswith(("memory.", "data.")) else "element"
    if letter == "k":
        return "far" if row.name == "throw_ref" else ""
    if row.name == "trap":
        return "trap"
    return "" if letter in _UNCHECKED else _OF_LETTER[letter]


NO_ROW = 7 << 4
"""Instead of a row's first byte: no length, and no such feature, at which the firmware looks closer anyway."""


def packed(shape_: Shape) -> list[int]:
    """The bytes of a shape in the firmware's table: length, ends, feature, jump table; the bits of FREQUENT, and how
    many other checks there are; a byte for each of these, the last first."""
    feature = list(FEATURES).index(shape_.feature) + 1 if shape_.feature else 0
    head = shape_.length | shape_.ends << 3 | feature << 4 | shape_.branches << 7
    bits = [FREQUENT.get((check.kind, check.byte)) for check in shape_.checks]
    frequent = sum(1 << bit for bit in bits if bit is not None)
    others = [check for check, bit in zip(shape_.checks, bits, strict=True) if bit is None]
    assert len(others) < 8 and not (frequent & 0b00111000 and frequent & 0b11000000)  # whole bytes, or halves of one
    codes = [NUMBERS[check.kind] << 3 | _place(check) for check in others]
    return [head, frequent | len(others), *reversed(codes), *[0] * (len(codes) % 2)]


def _place(check: Check) -> int:
    """In three bits: a byte where a byte is looked at, else a halfword."""
    place = check.byte if check.kind in OF_A_BYTE else check.byte // 2
    assert place < 8 and (check.kind in OF_A_BYTE or check.byte % 2 == 0)
    return place


def table() -> tuple[list[int], dict[bool, list[int]]]:
    """The shapes of all rows, one behind the other, each once, the first of no row; and for each page by opcode where
    the row's begins, in halfwords."""
    shapes = [NO_ROW, 0]
    places: dict[tuple[int, ...], int] = {}
    pages = {False: [0] * 256, True: [0] * (1 + max(row.opcode for row in ROWS if row.escaped))}
    for row in ROWS:
        if (found := shape(row)) is None:
            continue
        key = tuple(packed(found))
        if key not in places:
            assert len(shapes) % 2 == 0 and len(shapes) < 512
            places[key] = len(shapes)
            shapes += key
        pages[row.escaped][row.opcode] = places[key] // 2
    return shapes, pages
