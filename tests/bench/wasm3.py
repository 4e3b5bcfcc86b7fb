"""Prints how wasm3 does on the benchmarks beside the bytecode: `python -m tests.bench.wasm3 [PROGRAM...]`, else all.

This file decides how wasm3 is had and built: its C sources come with pip out of the source distribution whose version
and hash wasm3-requirements.txt pins, and are compiled for speed, with the small code pages and without the messages
that wasm3 itself leaves out on microcontrollers. It refuses to know how instructions and cycles are counted.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mcutool.devices import board
from tests.bench.__main__ import geometric_mean, sizes
from tests.bench.measure import BOARDS, DOUBLES, HERE, PROGRAMS, Comparison, compare, run_bare, word

ON = BOARDS[0]
PIP = (sys.executable, "-m", "pip", "download", "-qq", "--no-binary", ":all:", "--no-deps", "--no-build-isolation",
       "--require-hashes", "--requirement", HERE / "wasm3-requirements.txt")  # fmt: skip
# What wasm3's own builds take for speed, but contraction: without it all roads round alike.
GCC = ("arm-none-eabi-gcc", "-O3", "-fomit-frame-pointer", "-fno-stack-protector", "-ffp-contract=off",
       "-ffunction-sections", "-fdata-sections", "-w", "-DNDEBUG", "-DNASSERTS", "-Dd_m3VerboseErrorMessages=0",
       "-Dd_m3CodePageAlignSize=1024", *board(ON).chip.core.gcc_flags)  # fmt: skip
LINK = (f"-T{HERE / 'native.ld'}", "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-Wl,--gc-sections",
        "-Wl,--no-warnings")  # fmt: skip
HEADINGS = ("program", "native cycles", "wasm3", "mcutool", "wasm3 to it", "wasm code", "wasm3 code", "wasm3 RAM",
            "bytecode")  # fmt: skip


@dataclass(frozen=True)
class Interpreted:
    """A program in wasm3: checksum and modelled cycles of `run`, bytes of its code and of all that it holds in RAM
    beside linear memory and the stack, and bytes of wasm3 itself in flash."""

    checksum: int
    cycles: int
    code: int
    ram: int
    flash: int


class Wasm3:
    """wasm3's sources, fetched into a folder and compiled there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        subprocess.run([*PIP, "--dest", directory], check=True)
        with tarfile.open(next(directory.glob("*.tar.gz"))) as archive:
            archive.extractall(directory, filter="data")
        self._sources = next(directory.glob("*/wasm3"))
        subprocess.run([*GCC, "-c", *self._sources.glob("*.c")], cwd=directory, check=True)

    @property
    def version(self) -> str:
        """As the header says it."""
        found = re.search(r'M3_VERSION +"(.+)"', (self._sources / "wasm3.h").read_text(encoding="utf-8"))
        return found[1] if found else "of unknown version"

    def count(self, wasm: Path, argument: int) -> Interpreted:
        """Call `run` of a module once."""
        elf = self._link(wasm, argument)
        machine, counts = run_bare(elf, ON)
        if failure := word(machine, elf, "failure"):
            raise RuntimeError(f"{wasm.name}: {machine.engine.read(failure, 60).partition(bytes(1))[0].decode()}")
        checksum, code, ram = (word(machine, elf, name) for name in ("result", "code_ram", "module_ram"))
        return Interpreted(checksum, counts.cycles, code, ram, sizes(elf)[0] - wasm.stat().st_size)

    def _link(self, wasm: Path, argument: int) -> Path:
        """wasm3 with one module as a bare ELF."""
        elf = wasm.with_suffix(".wasm3.elf")
        own = (f"-I{self._sources}", f"-DN={argument}", f'-DMODULE="{wasm}"', HERE / "wasm3.c")
        subprocess.run([*GCC, *own, *self._directory.glob("*.o"), *LINK, "-lm", "-o", elf], check=True)
        return elf


Measured = dict[str, tuple[Comparison, Interpreted]]


def speed_table(measured: Measured, version: str) -> Table:
    """A row a program, and the geometric means."""
    table = Table(title=f"run() on an emulated {ON}: modelled cycles relative to gcc -O2; wasm3 {version}; bytes")
    for heading in HEADINGS:
        first = heading == "program"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for name, (ours, theirs) in measured.items():
        bytes_of = (ours.wasm_code, theirs.code, theirs.ram, ours.bytecode.code)
        table.add_row(name, f"{ours.native.cycles:,}", *ratios([measured[name]]), *(f"{size:,}" for size in bytes_of))
    table.add_section()
    groups = {"integer, f32": measured.keys() - DOUBLES, "f64": measured.keys() & DOUBLES}
    for title, names in groups.items():
        if names:
            table.add_row(f"mean, {title}", "", *ratios([measured[name] for name in sorted(names)]))
    return table


def ratios(pairs: list[tuple[Comparison, Interpreted]]) -> list[str]:
    """Geometric means: wasm3 to native, the bytecode to native, wasm3 to the bytecode."""
    theirs = geometric_mean([theirs.cycles / ours.native.cycles for ours, theirs in pairs])
    mine = geometric_mean([ours.slowdown for ours, _ in pairs])
    return [f"{theirs:.2f}", f"{mine:.2f}", f"{theirs / mine:.2f}"]


def measure(name: str, wasm3: Wasm3, directory: Path) -> tuple[Comparison, Interpreted]:
    """One program on all three roads."""
    ours = compare(name, directory, ON)
    return ours, wasm3.count(directory / f"{name}.wasm", PROGRAMS[name])


def main(names: list[str]) -> int:
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        wasm3 = Wasm3(directory)
        measured = {name: measure(name, wasm3, directory) for name in track(names, description="counting")}
        version = wasm3.version
    console.print(speed_table(measured, version))
    flash = max(theirs.flash for _, theirs in measured.values())
    console.print(
        f"The board is emulated and the cycles are modelled; wasm3's compiling is not counted. wasm3 takes {flash:,} "
        "bytes of flash with what it needs of newlib and libgcc. Its code stands in RAM; `wasm3 RAM` is all that the "
        "module takes there beside linear memory and the stack. The bytecode stays in flash."
    )
    wrong = [n for n, (ours, theirs) in measured.items() if ours.bytecode.checksum != theirs.checksum]
    if wrong:
        console.print(f"checksums differ: {', '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PROGRAMS)))
