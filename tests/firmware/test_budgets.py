"""The budgets of the small boards: flash and RAM of the interpreter, RAM of the whole firmware and of a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_runtime.build import BARE, CORE, OPTIONAL, absent, core_size, link, sizes
from mcutool import devices, program

CORE_FLASH = {"mps2-an386": 24 * 1024, "mps2-m0": 40 * 1024}
CORE_RAM = 512
VERIFIER_FLASH = 4096
VERIFYING = ("mps2-an386", "mps2-an385", "mps2-m0")
FIRMWARE_RAM = 2560
MODULE_RAM = 256
SMALL = [board.name for board in devices.runtime_boards() if board.chip.main_ram.size <= 16 * 1024]


@pytest.mark.parametrize("name", CORE_FLASH)
def test_the_interpreter_is_small(name: str) -> None:
    """WebAssembly 2.0 without SIMD, soft floats included; struct vm is part of the RAM."""
    core = core_size(devices.board(name), OPTIONAL)
    assert core.flash <= CORE_FLASH[name], core.parts
    assert core.ram <= CORE_RAM


@pytest.mark.parametrize("name", VERIFYING)
def test_the_verifier_is_small(name: str) -> None:
    board = devices.board(name)
    verifier = core_size(board).parts["verifier"]
    assert 0 < verifier <= VERIFIER_FLASH
    assert core_size(board, ["verifier"]).parts["verifier"] == 0


def test_every_byte_of_the_core_is_counted(tmp_path: Path) -> None:
    """The parts and their surroundings are the whole ELF, which holds nothing of the firmware around the core."""
    board = devices.board("mps2-an386")
    elf = tmp_path / "core.elf"
    link(board, elf, [*CORE, BARE], absent(OPTIONAL))
    whole = sum(sizes(elf).get(name, 0) for name in (".text", ".data"))
    surroundings = whole - core_size(board, OPTIONAL).flash
    assert 0 < surroundings < 350  # vectors, start, one host function and its strings


@pytest.mark.parametrize("name", SMALL)
def test_the_firmware_leaves_the_ram_to_modules(name: str) -> None:
    chip = devices.board(name).chip
    assert chip.main_ram.size - chip.arena_size <= FIRMWARE_RAM


def module(instructions: int) -> str:
    """A module with a memory, a table, globals and so much code."""
    code = "(global.set $g (i32.add (i32.mul (global.get $g) (i32.const 7)) (local.get 0)))" * instructions
    return f"""(module (memory (export "memory") 1 1) (table 3 funcref) (elem (i32.const 0) $f $f)
        (global $g (mut i32) (i32.const 1)) (data (i32.const 16) "text")
        (func $f (export "f") (param i32) {code}))"""


@pytest.mark.parametrize("name", SMALL)
def test_ram_does_not_grow_with_code(tmp_path: Path, name: str) -> None:
    found = {}
    for size, instructions in (("tiny", 1), ("large", 2400)):
        (tmp_path / f"{size}.wat").write_text(module(instructions))
        found[size] = program.load(str(tmp_path / f"{size}.wat"), devices.board(name), memory=1024).report
    assert found["tiny"]["flash_bytes"]["code"] < 200 and found["large"]["flash_bytes"]["code"] > 30_000
    assert found["tiny"]["ram"] == found["large"]["ram"]
    assert found["tiny"]["ram"]["records"] + found["tiny"]["ram"]["exceptions"] <= MODULE_RAM
