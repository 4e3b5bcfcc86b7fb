"""bossac, as Arduino's users have it, against the emulated Arduino Zero: by XMODEM, or as on USB by the port's name."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from samd21 import BOARD, FLASH, START
from test_serve import Running

IMAGE = random.Random(0).randbytes(20_000)


@pytest.fixture(params=["board", "ttyACM0"], ids=["uart", "usb"])
def running(request, tmp_path: Path) -> Iterator[Running]:
    served = Running("pty", tmp_path, board=BOARD, link=request.param)
    yield served
    served.stop()


def bossac(running: Running, *words: object) -> str:
    command = ["bossac", "-p", running.port.url, "-o", hex(START), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_bossac_erases_writes_verifies_and_resets(running: Running, tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(IMAGE)
    running.machine.flash.load(START, bytes(FLASH.size - START))
    said = bossac(running, "-e", "-w", "-v", "-R", tmp_path / "image.bin")
    assert "Verify successful" in said
    flash = running.machine.flash
    assert flash[START : START + len(IMAGE)] == IMAGE
    assert set(flash[START + len(IMAGE) + FLASH.write_unit :]) == {0xFF}
    assert flash.violations == []
    deadline = time.monotonic() + 5
    while running.board.in_rom and time.monotonic() < deadline:  # bossac does not wait for it
        time.sleep(0.01)
    assert not running.board.in_rom
    assert set(flash.wear.values()) == {1} and min(flash.wear) == START


def test_bossac_reads_back(running: Running, tmp_path: Path) -> None:
    running.machine.flash.load(START, IMAGE)
    bossac(running, f"--read={1_000}", tmp_path / "read.bin")
    assert (tmp_path / "read.bin").read_bytes() == IMAGE[:1_000]


def test_bossac_knows_the_chip(running: Running) -> None:
    said = bossac(running, "-i")
    assert "ATSAMD21x18" in said and "Pages        : 4096" in said and "Locked       : none" in said
