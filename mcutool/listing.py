"""An image as text: its functions, instruction by instruction, with the place in the source module beside each.

This file decides what a listing shows. It refuses to know how bits are decoded (`encoding.py`) and where they lie.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from mcutool.encoding import disassemble
from mcutool.image.format import NONE, Image


@dataclass(frozen=True)
class Line:
    """One instruction. `position` counts halfwords from the start of the code; `wasm_offset` is None without a map."""

    position: int
    halfwords: tuple[int, ...]
    text: str
    wasm_offset: int | None


@dataclass(frozen=True)
class Listing:
    """One function of the bundle; `frame_slots` is the size of its frame."""

    index: int
    name: str
    frame_slots: int
    lines: tuple[Line, ...]


def listings(image: Image, symbols: dict) -> Iterator[Listing]:
    """Every function that has code, in the order of the code; `symbols` is the image's map, empty when it is lost."""
    names = {row[0]: row[1] for row in symbols.get("functions", [])}
    starts = sorted((row["code"], index) for index, row in enumerate(image.functions) if row["module"] != NONE)
    ends = [start for start, _ in starts[1:]] + [len(image.code)]
    for (start, index), end in zip(starts, ends, strict=True):
        lines = tuple(_lines(image.code[:end], start + 1, symbols.get("positions", [])))
        yield Listing(index, names.get(index, f"function[{index}]"), image.code[start], lines)


def _lines(code: list[int], start: int, positions: list[list[int]]) -> Iterator[Line]:
    for position, decoded, text in disassemble(code, start):
        length = decoded.length if decoded else 1
        halfwords = tuple(code[position : position + length])
        yield Line(position, halfwords, text, source_offset(positions, start, position))


def source_offset(positions: list[list[int]], start: int, position: int) -> int | None:
    """The byte of the .wasm that the instruction at `position` of the function from `start` was made from."""
    index = bisect_right(positions, position, key=lambda pair: pair[0]) - 1
    return positions[index][1] if index >= 0 and positions[index][0] >= start else None


def render(listing: Listing) -> str:
    """A function as the listing shows it."""
    head = f"{listing.name}: ; function {listing.index}, frame of {listing.frame_slots} slots"
    return "\n".join([head, *map(_render_line, listing.lines)])


def _render_line(line: Line) -> str:
    halfwords = " ".join(f"{halfword:04x}" for halfword in line.halfwords[:4])
    more = " ..." if len(line.halfwords) > 4 else ""
    source = "" if line.wasm_offset is None else f"; {line.wasm_offset:#x}"
    return f"  {line.position:6}  {halfwords + more:<24}{line.text:<36}{source}".rstrip()
