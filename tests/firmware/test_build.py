"""The build: the same bytes everywhere, within the RAM map, without an allocator, without a push in a handler."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from mcutool import devices

ROOT = Path(__file__).resolve().parent.parent.parent
BOARDS = devices.runtime_boards()
ONE_OF_EACH_DRIVER = ["stm32f405", "microbit"]
NAMES = [board.name for board in BOARDS]
THREADED = [board.name for board in BOARDS if board.chip.core.dispatch == "threaded"]


def symbols(elf: Path) -> dict[str, int]:
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def run_build(tree: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, tree / "firmware_runtime" / "build.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment or None)


def test_two_checkouts_give_the_same_bytes(firmware: Path, tmp_path: Path) -> None:
    tree = tmp_path / "a rather long name of a folder"
    for folder in ("firmware_runtime", "mcutool", "targets", "boards"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "firmware"))
    done = run_build(tree, *ONE_OF_EACH_DRIVER, "--into", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name in ONE_OF_EACH_DRIVER:
        assert (tmp_path / "out" / f"{name}.elf").read_bytes() == (firmware / f"{name}.elf").read_bytes()


def test_the_build_prints_the_sizes(tmp_path: Path) -> None:
    line = run_build(ROOT, "microbit", "--into", tmp_path).stdout
    figures = r"microbit +cortex-m0 +flash +\d+ of +\d+ +static RAM +\d+ +C stack +\d+ +modules +(\d+)\n"
    found = re.fullmatch(figures, line)
    assert found and int(found[1]) >= 12 * 1024


def test_a_missing_compiler_is_named_with_its_package(tmp_path: Path) -> None:
    done = run_build(ROOT, "--into", tmp_path, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "arm-none-eabi-gcc" in done.stderr and "sudo apt-get install -y gcc-arm-none-eabi" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_nothing_allocates(firmware: Path, name: str) -> None:
    assert not {"malloc", "free", "_malloc_r", "_sbrk", "_impure_ptr"} & symbols(firmware / f"{name}.elf").keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_arena_is_what_the_chip_file_says(firmware: Path, name: str) -> None:
    found = symbols(firmware / f"{name}.elf")
    chip = devices.board(name).chip
    assert found["arena_end"] - found["arena_begin"] == chip.arena_size + chip.ram_map["program"]
    assert found["arena_begin"] % 8 == 0 and found["static_end"] <= found["arena_begin"]


def words(elf: Path, symbol: str, count: int) -> tuple[int, ...]:
    """`count` words of the image in flash, from a symbol on."""
    address = symbols(elf)[symbol]
    with elf.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            offset = address - segment["p_vaddr"]
            if segment["p_type"] == "PT_LOAD" and 0 <= offset < segment["p_filesz"]:
                return struct.unpack_from(f"<{count}I", segment.data(), offset)
    raise AssertionError(f"{symbol} is not in the image")


@pytest.mark.parametrize("name", THREADED)
def test_no_handler_pushes(firmware: Path, name: str) -> None:
    """The C stack stands still while bytecode runs: nothing in the handler table touches the stack pointer.

    A handler that calls a library function is a veneer of two instructions, which call and go on to the next.
    """
    elf = firmware / f"{name}.elf"
    command = ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", str(elf)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    functions = dict(re.findall(r"^([0-9a-f]{8}) <.*>:\n((?:.+\n)+)", listing, re.MULTILINE))
    table = words(elf, "primary_table", 256)
    handlers = [functions[f"{address & ~1:08x}"] for address in set(table)]
    assert len(handlers) > 100
    assert not [handler for handler in handlers if re.search(r"\b(push|pop|sp|stmdb|ldmia)\b", handler)]
