"""A client that is not ours: PyPI's stm32loader enters the ROM by the control lines, writes, verifies and starts.

It opens ports by name alone; a line of Python lets it open URLs too, so that parity, DTR and RTS reach the board.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from clients import python_with
from test_serve import IMAGE, Running

LAUNCHER = (
    "import serial; serial.Serial = lambda port, **how: serial.serial_for_url(port, **how)\n"
    "from stm32loader.__main__ import main; main()"
)


def test_stm32loader_installs_verifies_and_starts(tmp_path: Path) -> None:
    running = Running("rfc2217", tmp_path)
    running.board.boot0 = False
    running.board.reset()  # its program runs, if there were one
    (tmp_path / "image.bin").write_bytes(IMAGE)
    words = ["--port", running.port.url, "--family", "F4", "--erase", "--write", "--verify", "--no-progress"]
    try:
        done = subprocess.run(
            [python_with("stm32loader"), "-c", LAUNCHER, *words, "--go-address", "0x08000000", tmp_path / "image.bin"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        running.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "STM32F405xx" in done.stdout + done.stderr and "Verification OK" in done.stdout + done.stderr
    assert running.machine.flash[: len(IMAGE)] == IMAGE and not running.machine.flash.violations
    assert not running.board.in_rom
