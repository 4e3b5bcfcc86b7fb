"""Rows of `isa.py` -> encode, decode, disassemble.

This file decides how a picture of bits becomes numbers, and with `check_table` which pictures make no sense together.
It refuses to know what any instruction does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from mcutool.isa import BY_NAME, FORMATS, RELOCATIONS, ROWS, SIGNED_LETTERS, SLOT_LETTERS, STUBS, Row

ESCAPE = 0xFF


class TableError(ValueError):
    """The instruction table contradicts itself."""


@dataclass(frozen=True)
class Field:
    """Where an operand lies: parts as (halfword, lowest bit, width), least significant part first."""

    letter: str
    parts: tuple[tuple[int, int, int], ...]

    @cached_property
    def signed(self) -> bool:
        return self.letter in SIGNED_LETTERS

    @cached_property
    def width(self) -> int:
        return sum(width for _, _, width in self.parts)

    @cached_property
    def limits(self) -> range:
        """The values that fit."""
        if self.signed:
            return range(-(1 << (self.width - 1)), 1 << (self.width - 1))
        return range(1 << self.width)

    def extract(self, halfwords: Sequence[int], position: int) -> int:
        value = shift = 0
        for halfword, low, width in self.parts:
            value |= (halfwords[position + halfword] >> low & ((1 << width) - 1)) << shift
            shift += width
        return value - (1 << self.width) if self.signed and value >> (self.width - 1) else value

    def insert(self, halfwords: list[int], value: int) -> None:
        for halfword, low, width in self.parts:
            halfwords[halfword] |= (value & ((1 << width) - 1)) << low
            value >>= width


@dataclass(frozen=True)
class Decoded:
    """One instruction in a code section: its row, operands by letter, length in halfwords and jump table."""

    row: Row
    operands: dict[str, int]
    length: int
    table: tuple[int, ...] = ()


@cache
def fields(row: Row) -> dict[str, Field]:
    """The operands of a row by letter."""
    return _fields(row.name, FORMATS[row.format])


def _fields(name: str, picture: str) -> dict[str, Field]:
    bits = picture.replace(" ", "")
    if len(bits) % 16 or not bits:
        raise TableError(f"{name}: the picture is {len(bits)} bits long, not whole halfwords")
    parts: dict[str, list[tuple[int, int, int]]] = {}
    for halfword in range(len(bits) // 16):
        for letter, low, width in _runs(name, bits[halfword * 16 : halfword * 16 + 16]):
            parts.setdefault(letter, []).append((halfword, low, width))
    return {letter: Field(letter, tuple(p)) for letter, p in parts.items() if letter not in "01o"}


def _runs(name: str, bits: str) -> Iterator[tuple[str, int, int]]:
    """Runs of one letter in a halfword as (letter, lowest bit, width)."""
    seen = set()
    start = 0
    for end in range(1, 17):
        if end < 16 and bits[end] == bits[start]:
            continue
        letter = bits[start]
        if letter.isalpha() and letter in seen:
            raise TableError(f"{name}: operand {letter} is torn apart")
        seen.add(letter)
        yield letter, 16 - end, end - start
        start = end


def _fixed_bits(row: Row) -> tuple[int, int]:
    """Mask and value of the digits in the first halfword."""
    first = row.bits[:16]
    mask = int("".join("1" if c in "01" else "0" for c in first), 2)
    return mask, int("".join(c if c == "1" else "0" for c in first), 2)


@cache
def _opcode_halfwords(row: Row) -> tuple[int, ...]:
    """An instruction whose operands are all zero."""
    digits = "".join(c if c == "1" else "0" for c in row.bits)
    return tuple(int(digits[i : i + 16], 2) for i in range(0, len(digits), 16))


def check_table(rows: Sequence[Row]) -> None:
    """Refuse a table with torn operands, equal names, wrong types or rows that share a first halfword."""
    names: set[str] = set()
    for row in rows:
        if row.name in names:
            raise TableError(f"{row.name}: the name stands twice")
        names.add(row.name)
        _fields(row.name, FORMATS[row.format])
        if FORMATS[row.format].count("o") != 8 or not 0 < row.opcode < ESCAPE:
            raise TableError(f"{row.name}: the opcode is eight bits and neither 0 nor the escape")
        if len(row.types.split()) != sum(letter in row.bits for letter in SLOT_LETTERS):
            raise TableError(f"{row.name}: each slot operand needs a type")
    fixed = [_fixed_bits(row) for row in rows]
    for index, (mask, value) in enumerate(fixed):
        for other, (other_mask, other_value) in enumerate(fixed[:index]):
            if (value ^ other_value) & mask & other_mask == 0:
                raise TableError(f"{rows[index].name} and {rows[other].name} overlap")


_FORMS = {
    page: {row.opcode: (row, row.halfwords, *_fixed_bits(row), fields(row)) for row in ROWS if row.escaped == page}
    for page in (False, True)
}
"""By page and opcode: the row, its length, mask and value of its fixed bits, its operands."""


def encode(row: Row, table: Sequence[int] = (), /, **operands: int) -> list[int]:
    """The halfwords of an instruction.

    `table` holds the n + 1 distances of a br_table. Raises ValueError when an operand does not fit its field.
    """
    wanted = fields(row)
    if wanted.keys() != operands.keys():
        raise ValueError(f"{row.name} takes {sorted(wanted)}, not {sorted(operands)}")
    halfwords = list(_opcode_halfwords(row))
    for letter, value in operands.items():
        if value not in wanted[letter].limits:
            raise ValueError(f"{row.name}: {letter} = {value} does not fit {wanted[letter].width} bits")
        wanted[letter].insert(halfwords, value)
    return halfwords + [distance & 0xFFFF for distance in table]


def decode(halfwords: Sequence[int], position: int = 0) -> Decoded | None:
    """The instruction at `position`; None when there is none or it is cut off."""
    if position >= len(halfwords):
        return None
    first = halfwords[position]
    escaped = first & 0xFF == ESCAPE
    form = _FORMS[escaped].get(first >> 8 if escaped else first & 0xFF)
    if form is None:
        return None
    row, length, mask, value, operands_of = form
    if position + length > len(halfwords) or first & mask != value:
        return None
    operands = {letter: field.extract(halfwords, position) for letter, field in operands_of.items()}
    tail = position + length
    length += operands["n"] + 1 if "n" in operands else 0
    if position + length > len(halfwords):
        return None
    table = [_signed16(h) for h in halfwords[tail : position + length]]
    return Decoded(row, operands, length, tuple(table))


def _signed16(halfword: int) -> int:
    return halfword - 0x10000 if halfword & 0x8000 else halfword


def walk(halfwords: Sequence[int], start: int = 0, end: int | None = None) -> Iterator[tuple[int, Decoded]]:
    """(position, instruction) for each instruction from `start`; an illegal halfword ends it."""
    position = start
    while position < (len(halfwords) if end is None else end) and (decoded := decode(halfwords, position)):
        yield position, decoded
        position += decoded.length


def disassemble(halfwords: Sequence[int], start: int = 0) -> Iterator[tuple[int, Decoded | None, str]]:
    """(position, instruction, text) for each instruction from `start`; an illegal halfword gives None and .half."""
    position = start
    while position < len(halfwords):
        decoded = decode(halfwords, position)
        if decoded is None:
            yield position, None, f".half {halfwords[position]:#06x}"
            position += 1
            continue
        yield position, decoded, _text(decoded, position)
        position += decoded.length


def _text(decoded: Decoded, position: int) -> str:
    words = [_operand(letter, value, position) for letter, value in decoded.operands.items()]
    words += [f"->{position + distance}" for distance in decoded.table]
    return f"{decoded.row.name} {', '.join(words)}".rstrip()


def _operand(letter: str, value: int, position: int) -> str:
    if letter in SLOT_LETTERS + "k":
        return f"s{value}"
    if letter == "j":
        return f"->{position + value}"
    if letter == "e":
        return f"offset={value}"
    if letter in RELOCATIONS:
        return f"{RELOCATIONS[letter]}[{value}]"
    return f"slot[{value}]" if letter == "z" else f"#{value}"


STUB_CODE = tuple(half for name in STUBS for half in encode(BY_NAME[name]))
"""What every code section begins with."""
