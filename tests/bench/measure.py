"""Compiles a benchmark for both roads and counts what each costs on an emulated board.

This file decides the compilers' flags and what is counted: the one call of `run`. Cycles are modelled
(mcutool/emulator/profile.py), never measured on silicon. It refuses to know how the figures are shown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mcutool.devices import board
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.profile import Counts, Profile
from mcutool.wasm.reader import read_module

HERE = Path(__file__).resolve().parent
BOARDS = ("mps2-an386", "mps2-an385", "mps2-m0")
DOUBLES = frozenset(("matrix64", "nbody"))
"""Programs whose time goes into f64, which no core here has instructions for."""
# name -> the argument of `run`, so that the native program takes some 100,000 to 500,000 instructions.
PROGRAMS = {
    "crc32": 20, "matrix": 3, "fir": 4, "sort": 4, "list": 4, "fib": 18, "mix64": 4000, "scan": 50,
    "json": 20, "mqtt": 30, "search": 20, "fft": 4, "pid": 40, "kalman": 60, "matrix64": 2, "nbody": 3, "sha2": 20,
    "aes": 20, "lz": 4, "machine": 60, "vm": 10, "format": 60, "graph": 6, "queens": 7, "indirect": 60, "modular": 20,
    "fixed": 80, "hash": 6, "distance": 6, "sieve": 6, "base64": 20, "huffman": 8, "mandelbrot": 6, "switch": 200,
}  # fmt: skip

CLANG = ("clang", "--target=wasm32", "-O2", "-nostdlib", "-ffreestanding", "-Wl,--no-entry", "-Wl,--export=run",
         "-Wl,--strip-all", "-Wl,--stack-first", "-Wl,-z,stack-size=1024")  # fmt: skip
# Without contraction both roads round every operation alike, so the checksums agree.
GCC = ("arm-none-eabi-gcc", "-O2", "-ffp-contract=off", "-nostdlib", "-ffreestanding", f"-T{HERE / 'native.ld'}")


@dataclass(frozen=True)
class Cost:
    """One road: checksum, instructions and modelled cycles of `run`, bytes of code."""

    checksum: int
    instructions: int
    cycles: int
    code: int


@dataclass(frozen=True)
class Comparison:
    """A program on both roads of a board; `wasm_code` is the size of the code section in bytes."""

    name: str
    native: Cost
    bytecode: Cost
    wasm_code: int

    @property
    def slowdown(self) -> float:
        """Modelled cycles relative to native."""
        return self.bytecode.cycles / self.native.cycles

    @property
    def dilution(self) -> float:
        """Machine instructions relative to native."""
        return self.bytecode.instructions / self.native.instructions

    @property
    def expansion(self) -> float:
        """Bytes of bytecode relative to the code section."""
        return self.bytecode.code / self.wasm_code


def compare(name: str, directory: Path, on: str = BOARDS[0]) -> Comparison:
    """Build and count one program on a board; `directory` takes what is built."""
    argument = PROGRAMS[name]
    wasm = compile_wasm(name, directory)
    native = count_native(compile_native(name, argument, directory, on), on)
    return Comparison(name, native, count_bytecode(wasm, argument, on), read_module(wasm.read_bytes()).code_size)


def compile_wasm(name: str, directory: Path) -> Path:
    """The program as a module that exports `run`."""
    wasm = directory / f"{name}.wasm"
    if not wasm.exists():
        subprocess.run([*CLANG, _source(name), "-o", wasm], check=True)
    return wasm


def compile_native(name: str, argument: int, directory: Path, on: str) -> Path:
    """The program as a bare ELF that calls run(argument) once."""
    elf = directory / f"{name}-{on}.elf"
    flags = [*board(on).chip.core.gcc_flags, f"-DN={argument}"]
    subprocess.run([*GCC, *flags, _source(name), HERE / "native.c", "-lgcc", "-o", elf], check=True)
    return elf


def _source(name: str) -> Path:
    return HERE / "programs" / f"{name}.c"


def count_native(elf: Path, on: str) -> Cost:
    """Run a bare ELF to its end."""
    machine, counts = run_bare(elf, on)
    code = sum(symbol.size for symbol in machine.firmware.symbols.values() if symbol.name != "reset")
    return Cost(word(machine, elf, "result"), counts.instructions, counts.cycles, code)


def run_bare(elf: Path, on: str) -> tuple[Machine, Counts]:
    """The board when a bare ELF has ended, and what its call of `run` took."""
    machine = Machine(board(on), elf)
    profile = Profile(machine, "run")
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


def count_bytecode(wasm: Path, argument: int, on: str) -> Cost:
    """Call `run` with `mcutool run`."""
    command = [sys.executable, "-m", "mcutool", "run", "--json", "--board", on, str(wasm)]
    done = subprocess.run([*command, "--invoke", "run", str(argument)], capture_output=True, text=True, check=True)
    record = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    checksum = record["results"][0] & 0xFFFFFFFF
    return Cost(checksum, record["instructions"], record["cycles"], record["flash_bytes"]["code"])
