"""A client that is not ours: PyPI's smpmgr installs a module on the emulated board, reads it back, resets, erases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from clients import program
from test_serve import BOARD, Running

from mcutool.board import Board
from mcutool.flash.link import SerialLink
from mcutool.pipeline import build_image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def smpmgr() -> str:
    return program("smpmgr")


def test_smpmgr_installs_a_module_and_removes_it(smpmgr: str, tmp_path: Path) -> None:
    image = build_image(ROOT / "examples" / "sha256.wasm", BOARD).image
    (tmp_path / "sha256.mcu").write_bytes(image)
    running = Running("pty", tmp_path, BOARD.firmware)

    def command(*words: str) -> str:
        call = [smpmgr, "--port", running.port.url, *words]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        assert "r='hello'" in command("os", "echo", "hello")
        assert "No images" in command("image", "state-read")
        command("image", "upload", str(tmp_path / "sha256.mcu"))
        hash_of_image = image[-32:].hex().upper()
        assert hash_of_image in command("image", "state-read").replace("\n", "").replace(" ", "")
        command("upgrade", "--confirm", str(tmp_path / "sha256.mcu"))
        board = Board(BOARD, SerialLink(running.port.url, 115200))
        board.reset()
        board.expect(b'SHA-256 of "abc": ba7816bf')
        board.close()
        command("image", "state-write", hash_of_image)
        command("image", "erase", "0")
        command("image", "erase", "1")
        command("os", "reset")
        assert "No images" in command("image", "state-read")
    finally:
        running.stop()
