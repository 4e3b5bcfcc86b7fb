"""Compiles a benchmark for both roads and counts what each costs on emulated boards.

This file decides the compilers' flags and what is counted: the one call of `run`. Cycles are modelled
(mcutool/emulator/profile.py), never measured on silicon. It refuses to know which figures are made of the counts and
how they are shown.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mcutool import run
from mcutool.devices import board
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.profile import Counts, Profile
from mcutool.emulator.session import EmulatedSession
from mcutool.image.format import parse
from mcutool.listing import listings
from mcutool.pipeline import Built, build_image
from tests.bench import dispatches

HERE = Path(__file__).resolve().parent
BOARDS = {"mps2-an386": "M4F", "mps2-an385": "M3", "mps2-m0": "M0"}
LEVELS = ("O2", "Os")
WAIT_STATES = range(6)

CLANG = ("clang", "--target=wasm32", "-nostdlib", "-ffreestanding", "-Wl,--no-entry", "-Wl,--export=run",
         "-Wl,--strip-all", "-Wl,--stack-first")  # fmt: skip
# Without contraction both roads round every operation alike, so the checksums agree.
GCC = ("arm-none-eabi-gcc", "-ffp-contract=off", "-nostdlib", "-ffreestanding", f"-T{HERE / 'native.ld'}")
AROUND = ("reset", "main")
"""Functions of a bare ELF that are not the program's."""
_MAP_LINE = re.compile(r"^ \.text\S*\s+0x\w+\s+0x(\w+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A benchmark in C; `argument` is that of its `run`, `flags` are for both compilers."""

    name: str
    argument: int
    sources: tuple[Path, ...]
    flags: tuple[str, ...] = ()
    stack: int = 1024  # bytes of linear memory
    kind: str = "integer"
    """What its time goes into: integer, f32 or f64, for which no core here has instructions."""


# name -> the argument of `run`, so that the native program takes some 15,000 to 500,000 instructions.
ARGUMENTS = {
    "crc32": 20, "matrix": 3, "fir": 4, "sort": 4, "list": 4, "fib": 18, "mix64": 4000, "scan": 50,
    "json": 20, "mqtt": 30, "search": 20, "fft": 4, "pid": 40, "kalman": 60, "matrix64": 2, "nbody": 3, "sha2": 20,
    "aes": 20, "lz": 4, "machine": 60, "vm": 10, "format": 60, "graph": 6, "queens": 7, "indirect": 60, "modular": 20,
    "fixed": 80, "hash": 6, "distance": 6, "sieve": 6, "base64": 20, "huffman": 8, "mandelbrot": 6, "switch": 200,
}  # fmt: skip
KINDS = {"f32": {"fir", "fft", "pid", "kalman", "mandelbrot"}, "f64": {"matrix64", "nbody"}}
PROGRAMS = {
    name: Program(
        name, argument, (HERE / "programs" / f"{name}.c",),
        kind=next((kind for kind, names in KINDS.items() if name in names), "integer"),
    )
    for name, argument in ARGUMENTS.items()
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What `run` gave and took: checksum, instructions, and modelled cycles at 0, 1, ... wait states of the flash."""

    checksum: int
    instructions: int
    cycles: tuple[int, ...]


@dataclass(frozen=True)
class Native:
    """A program as gcc compiled it: bytes of its own code, and of what it calls of gcc's library."""

    text: int
    library: int
    cost: Cost


@dataclass(frozen=True)
class Translated:
    """A program as bytecode, in bytes but for the last three. `functions` is the code of the module's functions,
    `code` that with the function that instantiates the module and the stubs. `linear_memory` is without a heap."""

    wasm_code: int
    functions: int
    code: int
    linear_memory: int
    other_memory: int
    seconds: float  # of translation
    dispatches: int  # executed bytecode instructions
    checksum: int  # as the interpreter on this PC computes it


@dataclass(frozen=True)
class Bytecode:
    """The bytecode on a board; `stack` is the most bytes of frames in use at a time."""

    stack: int
    cost: Cost


@dataclass(frozen=True)
class Measured:
    """A program at one level of optimisation of both compilers; what runs on boards by the board's name."""

    program: str
    level: str
    translated: Translated
    native: dict[str, Native]
    bytecode: dict[str, Bytecode]

    @property
    def agrees(self) -> bool:
        """Whether every road computed the same."""
        costs = [road[on].cost for road in (self.native, self.bytecode) for on in road]
        return {cost.checksum for cost in costs} == {self.translated.checksum}


def measure(program: Program, level: str, directory: Path, boards: Iterable[str] = tuple(BOARDS)) -> Measured:
    """Compile, translate and count a program; `directory` takes what is built."""
    wasm = compile_wasm(program, level, directory)
    built, translated = translate(wasm, program.argument)
    native = {on: count_native(compile_native(program, level, on, directory), on) for on in boards}
    bytecode = {on: count_bytecode(built, program.argument, on) for on in boards}
    return Measured(program.name, level, translated, native, bytecode)


# --- Compiling --------------------------------------------------------------------------------------------------------


def compile_wasm(program: Program, level: str, directory: Path) -> Path:
    """The program as a module that exports `run`."""
    wasm = directory / level / f"{program.name}.wasm"
    if not wasm.exists():
        wasm.parent.mkdir(exist_ok=True)
        flags = [f"-{level}", f"-Wl,-z,stack-size={program.stack}", *program.flags]
        subprocess.run([*CLANG, *flags, *program.sources, "-o", wasm], check=True)
    return wasm


def compile_native(program: Program, level: str, on: str, directory: Path) -> Path:
    """The program as a bare ELF that calls run(argument) once."""
    elf = directory / f"{program.name}-{level}-{on}.elf"
    flags = [f"-{level}", *board(on).chip.core.gcc_flags, *program.flags, f"-DN={program.argument}"]
    output: list[str | Path] = ["-lgcc", f"-Wl,-Map={elf}.map", "-o", elf]
    subprocess.run([*GCC, *flags, *program.sources, HERE / "native.c", *output], check=True)
    return elf


def translate(wasm: Path, argument: int) -> tuple[Built, Translated]:
    """The image of a module for the first board; the others have as much memory and take the same."""
    description = board(next(iter(BOARDS)))
    start = time.perf_counter()
    built = build_image(wasm, description)
    seconds = time.perf_counter() - start
    checksum, places = dispatches.count(built.image, argument)
    ram = build_image(wasm, description, heap=0).report["ram_bytes"]
    return built, Translated(
        wasm_code=built.report["wasm_code"],
        functions=sum(function_sizes(built.image)),
        code=built.report["flash_bytes"]["code"],
        linear_memory=ram["linear_memory"],
        other_memory=ram["other"],
        seconds=seconds,
        dispatches=sum(place.executed for place in places),
        checksum=checksum,
    )


def function_sizes(image: bytes) -> list[int]:
    """Bytes of each function but the instantiation: the size of its frame, and its instructions."""
    parsed = parse(image)
    instantiations = {module["instantiate"] for module in parsed.modules}
    functions = [listing for listing in listings(parsed, {}) if listing.index not in instantiations]
    return [2 + sum(2 * len(line.halfwords) for line in function.lines) for function in functions]


# --- Counting ---------------------------------------------------------------------------------------------------------


def count_native(elf: Path, on: str) -> Native:
    """Run a bare ELF to its end."""
    machine, counts = run_bare(elf, on, accesses=True)
    around = sum(machine.firmware.symbols[name].size for name in AROUND)
    text, library = code_sizes(Path(f"{elf}.map").read_text(encoding="utf-8"))
    return Native(text - around, library, _cost(word(machine, elf, "result"), counts))


def code_sizes(link_map: str) -> tuple[int, int]:
    """Bytes of code of a linked program, and of what it has of gcc's library, from the linker's map."""
    text = library = 0
    _, _, linked = link_map.partition("\nLinker script and memory map\n")
    for size, file in _MAP_LINE.findall(linked):
        if "libgcc.a" in file:
            library += int(size, 16)
        else:
            text += int(size, 16)
    return text, library


def run_bare(elf: Path, on: str, accesses: bool = False) -> tuple[Machine, Counts]:
    """The board when a bare ELF has ended, and what its call of `run` took; see Profile about `accesses`."""
    machine = Machine(board(on), elf)
    profile = Profile(machine, "run", accesses)
    reason = machine.run(instructions=100_000_000)
    if reason is not Reason.EXIT:
        raise RuntimeError(f"{elf.name} did not end: {reason.name}")
    return machine, profile.counts()


def word(machine: Machine, elf: Path, variable: str) -> int:
    """The 32 bits of a global variable of a bare ELF."""
    return int.from_bytes(machine.engine.read(_address_of(elf, variable), 4), "little")


def _address_of(elf: Path, variable: str) -> int:
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return next(s["st_value"] for s in table.iter_symbols() if s.name == variable)


def firmware_sizes(elf: Path) -> tuple[int, int]:
    """Bytes in flash (code, constants, initial data) and in RAM (data, bss) of a linked firmware, stacks and arena
    not counted."""
    flash = ram = 0
    with elf.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if section["sh_flags"] & 2:  # SHF_ALLOC
                flash += section["sh_size"] if section["sh_type"] != "SHT_NOBITS" else 0
                ram += section["sh_size"] if section["sh_flags"] & 1 and section.name in (".data", ".bss") else 0
    return flash, ram


@cache
def _session(on: str) -> EmulatedSession:
    """An emulated board that has started; one program after the other runs on it."""
    return EmulatedSession(board(on), lambda text: None, measure=True, accesses=True)


def count_bytecode(built: Built, argument: int, on: str) -> Bytecode:
    """Call `run` as `mcutool run` does."""
    session = _session(on)
    outcome = run.run(session, built, board(on), run.Task(invoke="run", arguments=(str(argument),)), None)
    if outcome.exit_code:
        raise RuntimeError(f"run({argument}) on {on}: {outcome.trap or outcome.error}")
    assert session.profile is not None
    ((checksum, _),) = outcome.results
    return Bytecode(outcome.stack, _cost(checksum, session.profile.counts()))


def _cost(checksum: int, counts: Counts) -> Cost:
    return Cost(checksum & 0xFFFFFFFF, counts.instructions, tuple(map(counts.cycles_at, WAIT_STATES)))
