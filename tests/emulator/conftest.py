"""Tiny firmwares in C, compiled at test time, and the machines that run them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.devices import Board
from mcutool.emulator.flash import FLASH_CONTROLLERS
from mcutool.emulator.machine import Machine
from mcutool.image import boot2
from mcutool.image.containers import read_segments

HERE = Path(__file__).parent
SCRIPT = """
ENTRY(start)
SECTIONS {{
  . = {flash:#x};
  .text : {{ KEEP(*(.vectors)) *(.text*) *(.rodata*) }}
  . = {ram:#x};
  bss_start = .;
  .bss (NOLOAD) : {{ *(.data*) *(.bss*) *(COMMON) . = ALIGN(4); }}
  bss_end = .;
  stack_top = {top:#x};
}}
"""

Boot = Callable[..., Machine]


def first_stages(board: Board) -> bytes:
    """What stands in flash before the vectors: the runtime's second stage bootloader, if a boot ROM looks for one."""
    controller = FLASH_CONTROLLERS[board.chip.flash.controller]
    has_rom = controller is not None and controller.ROM
    return read_segments("runtime", board.firmware.read_bytes())[0][1][: boot2.SIZE] if has_rom else b""


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`build(board, source, flags=())` compiles C with the startup of `small.h` for a board and returns the ELF."""
    folder = tmp_path_factory.mktemp("firmware")

    def compile_one(board: str, source: str, flags: tuple[str, ...] = ()) -> Path:
        chip = devices.board(board).chip
        key = hashlib.sha256(repr((board, source, flags)).encode()).hexdigest()[:16]
        elf = folder / f"{key}.elf"
        if elf.exists():
            return elf
        code, script = folder / f"{key}.c", folder / f"{key}.ld"
        code.write_text('#include "small.h"\n' + source)
        ram = chip.ram[0]
        vectors = chip.flash.base + len(first_stages(devices.board(board)))
        script.write_text(SCRIPT.format(flash=vectors, ram=ram.base, top=ram.base + min(ram.size, 0x4000)))
        command = ["arm-none-eabi-gcc", *chip.core.gcc_flags, "-O2", "-g", "-ffreestanding", "-nostdlib", "-static"]
        command += ["-fno-tree-loop-distribute-patterns", "-Wall", "-Werror", "-Wno-unused-function"]
        command += [f"-I{HERE}", f"-T{script}", *flags, str(code), str(HERE / "small.c"), "-lgcc", "-o", str(elf)]
        subprocess.run(command, check=True)
        return elf

    return compile_one


@pytest.fixture
def boot(build: Callable[..., Path]) -> Boot:
    """`boot(board, source)` is a machine with that firmware, not yet run."""

    def start(board: str, source: str, flags: tuple[str, ...] = ()) -> Machine:
        machine = Machine(devices.board(board), build(board, source, flags))
        machine.flash.load(0, first_stages(machine.board))
        return machine

    return start
