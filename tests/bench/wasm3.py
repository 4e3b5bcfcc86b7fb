"""Prints how wasm3 does on the benchmarks beside the bytecode: `python -m tests.bench.wasm3 [PROGRAM...]`, else all.

This file decides how wasm3 is had and built: its C sources come with pip out of the source distribution whose version
and hash wasm3-requirements.txt pins, and are compiled by the gcc of the firmware for speed, with the small code pages
and without the messages that wasm3 itself leaves out on microcontrollers. It runs on the same emulated board. This file
refuses to know how instructions and cycles are counted.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware_runtime.fetch import fetch
from mcutool.devices import board
from tests.bench.figures import Figure, Levels, Suite, cycles, groups
from tests.bench.measure import BOARDS, HERE, PROGRAMS, Program, compile_wasm, firmware_sizes, measure, run_bare, word
from tests.bench.tables import WIDTH, new

ON = next(iter(BOARDS))
REQUIREMENTS = HERE / "wasm3-requirements.txt"
# What wasm3's own builds take for speed, but contraction: without it all roads round alike.
GCC = ("arm-none-eabi-gcc", "-O3", "-fomit-frame-pointer", "-fno-stack-protector", "-ffp-contract=off",
       "-ffunction-sections", "-fdata-sections", "-w", "-DNDEBUG", "-DNASSERTS", "-Dd_m3VerboseErrorMessages=0",
       "-Dd_m3CodePageAlignSize=1024", *board(ON).chip.core.gcc_flags)  # fmt: skip
LINK = (f"-T{HERE / 'native.ld'}", "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-Wl,--gc-sections",
        "-Wl,--no-warnings")  # fmt: skip


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
    """wasm3's sources, fetched, and compiled into a folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sources = next(fetch(REQUIREMENTS).glob("*/wasm3"))
        subprocess.run([*GCC, "-c", *self._sources.glob("*.c")], cwd=directory, check=True)

    @property
    def version(self) -> str:
        """As the header says it."""
        found = re.search(r'M3_VERSION +"(.+)"', (self._sources / "wasm3.h").read_text(encoding="utf-8"))
        return found[1] if found else "of unknown version"

    def count(self, program: Program, directory: Path) -> Interpreted:
        """Call `run` of a program once; `directory` has its module, or takes it."""
        wasm = compile_wasm(program, "O2", directory)
        elf = self._link(wasm, program.argument)
        machine, counts = run_bare(elf, ON)
        if failure := word(machine, elf, "failure"):
            raise RuntimeError(f"{wasm.name}: {machine.engine.read(failure, 60).partition(bytes(1))[0].decode()}")
        checksum, code, ram = (word(machine, elf, name) for name in ("result", "code_ram", "module_ram"))
        return Interpreted(checksum, counts.cycles, code, ram, firmware_sizes(elf)[0] - wasm.stat().st_size)

    def _link(self, wasm: Path, argument: int) -> Path:
        """wasm3 with one module as a bare ELF."""
        elf = wasm.with_suffix(".wasm3.elf")
        own = (f"-I{self._sources}", f"-DN={argument}", f'-DMODULE="{wasm}"', HERE / "wasm3.c")
        subprocess.run([*GCC, *own, *self._directory.glob("*.o"), *LINK, "-lm", "-o", elf], check=True)
        return elf


def table(suite: Suite, theirs: dict[str, Interpreted], version: str) -> Table:
    """A row a program: both interpreters relative to native code, the sizes of both kinds of code, and the means."""
    title = f"emulated {ON}: modelled cycles relative to gcc -O2; wasm3 {version}; bytes"
    shown = new(title, ["program", "native cycles", "wasm3", "mcutool", "wasm3 to it", "wasm code", "wasm3 code",
                        "wasm3 RAM", "code"])  # fmt: skip
    for name, levels in suite.items():
        ours, their = levels["O2"], theirs[name]
        bytes_of = (ours.translated.wasm_code, their.code, their.ram, ours.translated.code)
        native = f"{ours.native[ON].cost.cycles[0]:,}"
        shown.add_row(name, native, *means([levels], theirs), *(f"{size:,}" for size in bytes_of))
    shown.add_section()
    for title, programs in groups(suite).items():
        shown.add_row(f"mean, {title}", "", *means(programs, theirs))
    return shown


def figures(theirs: dict[str, Interpreted]) -> list[Figure]:
    """wasm3 to native, the bytecode to native, wasm3 to the bytecode."""

    def cycles_of(program: Levels) -> int:
        return theirs[program["O2"].program].cycles

    return [
        Figure("wasm3", lambda program: (cycles_of(program), program["O2"].native[ON].cost.cycles[0])),
        Figure("mcutool", partial(cycles, "O2", ON, 0)),
        Figure("wasm3 to it", lambda program: (cycles_of(program), program["O2"].bytecode[ON].cost.cycles[0])),
    ]


def means(programs: list[Levels], theirs: dict[str, Interpreted]) -> list[str]:
    """Each figure's mean as text."""
    return [f"{figure.mean(programs):.2f}" for figure in figures(theirs)]


def remark(theirs: dict[str, Interpreted]) -> str:
    """What has to be said below the table."""
    flash = max(their.flash for their in theirs.values())
    return (
        f"The board is emulated and the cycles are modelled; wasm3's compiling is not counted. wasm3 takes {flash:,} "
        "bytes of flash with what it needs of newlib and libgcc. Its code stands in RAM; `wasm3 RAM` is all that the "
        "module takes there beside linear memory and the stack. The bytecode stays in flash."
    )


def wrong(suite: Suite, theirs: dict[str, Interpreted]) -> list[str]:
    """The programs of which wasm3 computes something else than the bytecode."""
    return [name for name, their in theirs.items() if their.checksum != suite[name]["O2"].translated.checksum]


def main(names: list[str]) -> int:
    console = Console(width=WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        wasm3 = Wasm3(directory)
        suite: Suite = {}
        theirs = {}
        for name in track(names, description="counting", transient=True):
            suite[name] = {"O2": measure(PROGRAMS[name], "O2", directory)}
            theirs[name] = wasm3.count(PROGRAMS[name], directory)
    console.print(table(suite, theirs, wasm3.version))
    console.print(remark(theirs))
    if wrong(suite, theirs):
        console.print(f"checksums differ: {', '.join(wrong(suite, theirs))}")
    return 1 if wrong(suite, theirs) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PROGRAMS)))
