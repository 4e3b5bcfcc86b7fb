"""Prints the figures: `python -m tests.bench`."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from elftools.elf.elffile import ELFFile
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mcutool.devices import boards
from tests.bench.measure import BOARDS, DOUBLES, PROGRAMS, Comparison, compare, compile_wasm

HEADINGS = ("program", "native cycles", "M4F", "M3", "M0", "native text", "wasm code", "bytecode", "to wasm")
WORKERS = 2
Measured = dict[str, dict[str, Comparison]]
"""Program, board -> what was counted."""


def geometric_mean(numbers: list[float]) -> float:
    """The mean that fits ratios."""
    product = 1.0
    for number in numbers:
        product *= number
    return product ** (1 / len(numbers))


def speed_table(measured: Measured) -> Table:
    """A row a program, and the means; cycles relative to native code, on ARMv6-M instructions."""
    table = Table(title="run() on emulated boards relative to gcc -O2: modelled cycles; on the M0, instructions")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "program" else "right")
    for name, on in measured.items():
        first = on[BOARDS[0]]
        sizes = (first.native.code, first.wasm_code, first.bytecode.code)
        table.add_row(
            name, f"{first.native.cycles:,}", *(f"{ratio(on, board):.2f}" for board in BOARDS),
            *(f"{size:,}" for size in sizes), f"{first.expansion:.2f}",
        )  # fmt: skip
    table.add_section()
    groups = {"integer, f32": [n for n in measured if n not in DOUBLES], "f64": [n for n in measured if n in DOUBLES]}
    for title, names in groups.items():
        means = [geometric_mean([ratio(measured[name], board) for name in names]) for board in BOARDS]
        expansion = geometric_mean([measured[name][BOARDS[0]].expansion for name in names])
        table.add_row(f"mean, {title}", "", *(f"{mean:.2f}" for mean in means), "", "", "", f"{expansion:.2f}")
    return table


def ratio(on: dict[str, Comparison], board: str) -> float:
    """What the bytecode costs relative to native code."""
    return on[board].dilution if board == "mps2-m0" else on[board].slowdown


def measure_all(directory: Path) -> Measured:
    """Every program on every board, two at a time."""
    tasks = [(name, directory, board) for name in PROGRAMS for board in BOARDS]
    with ThreadPoolExecutor(WORKERS) as workers:
        counted = track(workers.map(lambda task: compare(*task), tasks), total=len(tasks), description="counting")
        measured: Measured = {name: {} for name in PROGRAMS}
        for (name, _, board), comparison in zip(tasks, counted, strict=True):
            measured[name][board] = comparison
    return measured


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
        for name in PROGRAMS:
            compile_wasm(name, Path(directory))
        measured = measure_all(Path(directory))
    console.print(speed_table(measured))
    console.print(firmware_table())
    counted = [c for on in measured.values() for c in on.values()]
    wrong = sorted({c.name for c in counted if c.native.checksum != c.bytecode.checksum})
    if wrong:
        console.print(f"checksums differ from the native program's: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
