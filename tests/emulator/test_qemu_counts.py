"""QEMU, asked through a plugin of ours, executes exactly as many instructions as the emulator counts."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
import unicorn
from test_profile import WORK
from unicorn import arm_const as arm

from mcutool import devices
from mcutool.emulator.machine import Machine
from mcutool.emulator.profile import Profile
from mcutool.pipeline import build_image
from tests.firmware.machines import qemu_loaders

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    library = tmp_path_factory.mktemp("plugin") / "count.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "qemu_count.c"], check=True)
    return library


def counted_here(machine, function):
    """Run, and give the instructions of the first call of `function`, its address, and where it returned to."""
    begin = machine.firmware.symbols[function].address
    profile, ends = Profile(machine, function), []
    machine.engine.uc.hook_add(
        unicorn.UC_HOOK_CODE, lambda uc, *_: ends.append(uc.reg_read(arm.UC_ARM_REG_LR) & ~1), None, begin, begin
    )
    for _ in range(1000):
        machine.run(cycles=100_000)
        if ends and not profile.running:
            break
    return profile.counts().instructions, begin, ends[0]


def counted_by_qemu(plugin, board, elf, begin, end, console, *more):
    """The same count; `console` is a file for what the firmware prints, which ends itself or prints `[exit`."""
    command = ["qemu-system-arm", "-M", board, "-display", "none", "-monitor", "none", "-semihosting", "-kernel", elf]
    command += ["-serial", f"file:{console}", "-plugin", f"{plugin},begin={begin},end={end}", "-d", "plugin", *more]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if console.exists() and b"[exit" in console.read_bytes():
            process.terminate()
        time.sleep(0.02)
    process.kill()
    return int(process.communicate()[1].split("executed ")[1].split()[0])


@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an385"])
def test_a_function(build, plugin, board, tmp_path):
    elf = build(board, WORK, ("-DREPEAT=1",))
    instructions, begin, end = counted_here(Machine(devices.board(board), elf), "work")
    assert counted_by_qemu(plugin, board, elf, begin, end, tmp_path / "console") == instructions


@pytest.mark.parametrize("example", ["hello", "sha256", "mandelbrot", "life"])
def test_a_program_on_the_runtime(plugin, example, tmp_path):
    board = devices.board("mps2-an386")
    image = tmp_path / "image.mcu"
    image.write_bytes(build_image(EXAMPLES / f"{example}.wasm", board).image)
    machine = Machine(board, board.firmware)
    machine.install(image.read_bytes())
    instructions, begin, end = counted_here(machine, "vm_call")
    console = tmp_path / "console"
    loaders = qemu_loaders(board, image)
    assert counted_by_qemu(plugin, board.qemu, board.firmware, begin, end, console, *loaders) == instructions
