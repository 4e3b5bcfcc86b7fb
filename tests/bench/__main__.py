"""Prints the figures: `python -m tests.bench`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile
from rich.console import Console
from rich.table import Table

from mcutool.devices import boards
from tests.bench.measure import PROGRAMS, Comparison, compare

HEADINGS = ("program", "native cycles", "bytecode cycles", "ratio", "native text", "wasm code", "bytecode", "to wasm")


def geometric_mean(numbers: list[float]) -> float:
    """The mean that fits ratios."""
    product = 1.0
    for number in numbers:
        product *= number
    return product ** (1 / len(numbers))


def speed_table(comparisons: list[Comparison]) -> Table:
    """A row a program, and the means."""
    table = Table(title="call of run() on mps2-an386, emulated; cycles are modelled")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for c in comparisons:
        table.add_row(
            c.name, f"{c.native.cycles:,}", f"{c.bytecode.cycles:,}", f"{c.slowdown:.2f}",
            f"{c.native.code:,}", f"{c.wasm_code:,}", f"{c.bytecode.code:,}", f"{c.expansion:.2f}",
        )  # fmt: skip
    slowdown = geometric_mean([c.slowdown for c in comparisons])
    expansion = geometric_mean([c.expansion for c in comparisons])
    table.add_section()
    table.add_row("geometric mean", "", "", f"{slowdown:.2f}", "", "", "", f"{expansion:.2f}")
    return table


def firmware_table() -> Table:
    """Flash and RAM of each runtime that has been built."""
    table = Table(title="runtime of each board, bytes")
    for heading in ("board", "core", "flash", "static RAM"):
        table.add_column(heading, justify="left" if heading in ("board", "core") else "right")
    for board in boards():
        if board.firmware.exists():
            flash, ram = sizes(board.firmware)
            table.add_row(board.name, board.chip.core.name, f"{flash:,}", f"{ram:,}")
    return table


def sizes(elf: Path) -> tuple[int, int]:
    """Bytes in flash (code, constants, initial data) and in RAM (data, bss) of a linked firmware, stacks and arena
    not counted."""
    flash = ram = 0
    with elf.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if section["sh_flags"] & 2:  # SHF_ALLOC
                flash += section["sh_size"] if section["sh_type"] != "SHT_NOBITS" else 0
                ram += section["sh_size"] if section["sh_flags"] & 1 and section.name in (".data", ".bss") else 0
    return flash, ram


def main() -> int:
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as directory:
        comparisons = [compare(name, Path(directory)) for name in PROGRAMS]
    console.print(speed_table(comparisons))
    console.print(firmware_table())
    wrong = [c.name for c in comparisons if c.native.checksum != c.bytecode.checksum]
    if wrong:
        console.print(f"checksums differ from the native program's: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
