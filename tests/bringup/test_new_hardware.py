"""New hardware: what a description names and nobody has written yet is said, with what to do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcutool import devices, install
from mcutool.emulator.machine import Machine
from mcutool.errors import Unsupported

ROOT = Path(__file__).resolve().parents[2]
BOARD = devices.board("stm32f405")


def with_chip(**changes: Any) -> devices.Board:
    return replace(BOARD, chip=replace(BOARD.chip, **changes))


@pytest.mark.parametrize(
    ("board", "what"),
    [
        (with_chip(uart=replace(BOARD.chip.uart, kind="nosuch")), "no UART of the kind 'nosuch'"),
        (with_chip(flash=replace(BOARD.chip.flash, controller="nosuch")), "no flash controller of the kind 'nosuch'"),
        (with_chip(gpio=devices.Gpio("nosuch", 0)), "no GPIO of the kind 'nosuch'"),
    ],
)
def test_a_model_that_is_not_written(board: devices.Board, what: str) -> None:
    with pytest.raises(Unsupported, match=what) as caught:
        Machine(board)
    assert "it has: " in caught.value.next_action


def test_a_bootloader_that_we_do_not_speak() -> None:
    assert BOARD.chip.bootrom
    with pytest.raises(Unsupported, match="there is no protocol 'nosuch'"):
        install.prepare(with_chip(bootrom=replace(BOARD.chip.bootrom, protocol="nosuch")), None, runtime=True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("port='nosuch'", "error: stm32f405: there is no firmware_runtime/port/nosuch/port.c"),
        ("tick=devices.Tick('nosuch', 1)", "error: stm32f405: there is no clock of the kind 'nosuch'"),
    ],
)
def test_a_port_that_is_not_written(change: str, complaint: str, tmp_path: Path) -> None:
    script = (
        "import build, sys; from dataclasses import replace; from mcutool import devices\n"
        f"board = devices.board('stm32f405'); board = replace(board, chip=replace(board.chip, {change}))\n"
        "devices.board = lambda name: board\n"
        "sys.exit(build.main(['stm32f405', '--into', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT / "firmware_runtime", capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(complaint)
    assert "\n  next: use one of: " in done.stderr
