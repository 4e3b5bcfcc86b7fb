"""One file for a chip's whole flash: the runtime, and with it a module that starts at power-on.

This file decides what such a file holds: what `flash` leaves in a board's flash, byte for byte. It refuses to know how
the formats look (image/containers.py) and how a module is built (program.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcutool import maps, program
from mcutool.devices import Board, Flash, Span
from mcutool.errors import UsageError
from mcutool.flash.drivers.drive import pages_of
from mcutool.flash.plan import plan
from mcutool.image.containers import Segment, add_to_elf, read_segments, to_binary, to_intel_hex, to_uf2
from mcutool.image.format import parse, starts
from mcutool.placement import placed
from mcutool.provenance import render_grants

SUFFIXES = (".hex", ".bin", ".uf2", ".elf")
ELF_SECTIONS = {"state": (".installed", ".installed2"), "slot": (".module",)}

Parts = dict[str, list[Segment]]
"""What lies where, by the name that the flash map has for the place."""


def write(output: Path, board: Board, app: str | None, **options: Any) -> dict[str, Any]:
    """Write the runtime, and the module `app` unless that is None, to `output`; returns what was written.

    `options` are those of `build_image`. Raises UsageError when the suffix is unknown or the file cannot be written,
    DoesNotFit when the module is too large for the board, and what building raises.
    """
    if output.suffix not in SUFFIXES:
        raise UsageError(f"{output} does not say which format", next_action=f"end it in {', '.join(SUFFIXES)}")
    image = granted = None
    if app is not None:
        built = program.load(app, board, **options)
        image, granted = built.image, built.report["granted"]
        program.check_size(image, board)
        maps.keep(image, built.map)
    parts = contents(board, image)
    data = encode(board, parts, output.suffix)
    program.write(output, data)
    return {
        "file": str(output),
        "board": board.name,
        "bytes": len(data),
        "segments": [
            {"part": name, "address": address, "bytes": len(data)}
            for name, segments in parts.items()
            for address, data in segments
        ],
        "starts": image is not None and any(map(starts, parse(image).modules)),
        "granted": granted,
    }


def render(made: dict[str, Any]) -> str:
    """What `write` returned, for people."""
    lines = [f"{made['file']} for {made['board']}: {made['bytes']} bytes"]
    lines += [f"  {row['part']:8} at {row['address']:#010x}, {row['bytes']} bytes" for row in made["segments"]]
    if made["granted"] is not None:
        lines.append(f"  {render_grants(made['granted'])}")
    if not made["starts"]:
        lines.append("  nothing starts by itself: the module exports no function _start")
    return "\n".join(lines)


def contents(board: Board, image: bytes | None) -> Parts:
    """What is in a board's flash when the runtime and the image are installed."""
    parts = {"runtime": read_segments(board.firmware.name, board.firmware.read_bytes())}
    for name, offset, data in placed(board.chip, image) if image is not None else ():
        parts.setdefault(name, []).append((board.chip.flash.base + offset, data))
    return parts


def pages(flash: Flash, segments: list[Segment]) -> list[Segment]:
    """The segments as the pages of a UF2 file that a drive takes."""
    return [page for sector in plan(flash, Span(0, flash.size), segments).sectors for page in pages_of(sector)]


def encode(board: Board, parts: Parts, suffix: str) -> bytes:
    """The parts as a file of the kind that one of SUFFIXES names."""
    segments, erased = [segment for part in parts.values() for segment in part], board.chip.flash.erased
    if suffix == ".elf":
        elf = board.firmware.read_bytes()
        for name in ("state", "slot"):
            for number, segment in enumerate(parts.get(name, [])):
                elf = add_to_elf(elf, ELF_SECTIONS[name][number], segment)
        return elf
    if suffix == ".uf2":
        return to_uf2(pages(board.chip.flash, segments), board.chip.uf2_family, erased)
    return to_intel_hex(segments) if suffix == ".hex" else to_binary(segments, erased)
