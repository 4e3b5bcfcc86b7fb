"""An image as text: its functions, instruction by instruction, with the place in the source module beside each.

This file decides what a listing shows. It refuses to know how bits are decoded (`encoding.py`), where they lie, and how
cycles are estimated (`emulator/estimate.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcutool.encoding import disassemble
from mcutool.image.format import NONE, Image
from mcutool.places import Places

if TYPE_CHECKING:
    from mcutool.emulator.estimate import Estimates

LEGEND = """\
; [modelled cycles, zero wait states, {core}; of a branch taken/not taken, else least/most; C: done in C, not modelled]
"""


@dataclass(frozen=True)
class Line:
    """One instruction. `position` counts halfwords from the start of the code; `wasm_offset` is None without a map,
    `source` (FILE:LINE) without debug information, `cycles` (see `Estimates.cycles`) without an estimate."""

    position: int
    halfwords: tuple[int, ...]
    text: str
    wasm_offset: int | None
    source: str | None
    cycles: tuple[int, ...] | None


@dataclass(frozen=True)
class Listing:
    """One function of the bundle; `frame_slots` is the size of its frame."""

    index: int
    name: str
    frame_slots: int
    lines: tuple[Line, ...]


def listings(image: Image, symbols: dict, estimates: Estimates | None = None) -> Iterator[Listing]:
    """Every function that has code, in the order of the code; `symbols` is the image's map, empty when it is lost."""
    places = Places(symbols)
    starts = sorted((row["code"], index) for index, row in enumerate(image.functions) if row["module"] != NONE)
    ends = [start for start, _ in starts[1:]] + [len(image.code)]
    for (start, index), end in zip(starts, ends, strict=True):
        lines = tuple(_lines(image.code[:end], start + 1, places, index, estimates))
        yield Listing(index, places.name(index), image.code[start], lines)


def instructions(image: Image) -> Iterator[int]:
    """Where each instruction begins, in halfwords from the start of the code."""
    for listing in listings(image, {}):
        yield from (line.position for line in listing.lines)


def _lines(code: list[int], start: int, places: Places, function: int, estimates: Estimates | None) -> Iterator[Line]:
    for position, decoded, text in disassemble(code, start):
        length = decoded.length if decoded else 1
        halfwords = tuple(code[position : position + length])
        offset = places.wasm_offset(function, position)
        cycles = estimates.cycles(decoded.row) if estimates and decoded else None
        yield Line(position, halfwords, text, offset, places.source(offset), cycles)


def render_all(listings: list[Listing], core: str | None) -> str:
    """The functions as a listing shows them; `core` is the one that the cycles are for, None without any."""
    legend = [LEGEND.format(core=core)] if core else []
    return "\n".join([*legend, "\n\n".join(map(render, listings))])


def render(listing: Listing) -> str:
    """A function as the listing shows it."""
    head = f"{listing.name}: ; function {listing.index}, frame of {listing.frame_slots} slots"
    return "\n".join([head, *map(_render_line, listing.lines)])


def _render_line(line: Line) -> str:
    halfwords = " ".join(f"{halfword:04x}" for halfword in line.halfwords[:4])
    more = " ..." if len(line.halfwords) > 4 else ""
    cycles = "" if line.cycles is None else f"[{'/'.join(map(str, line.cycles)) or 'C'}]"
    place = "" if line.wasm_offset is None else f"; {line.wasm_offset:#x} {line.source or ''}"
    return f"  {line.position:6}  {halfwords + more:<24}{line.text:<36}{cycles:>7}  {place}".rstrip()
