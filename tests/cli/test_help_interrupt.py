"""Ctrl-C: code 130, and not a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mcutool.emulator.interrupt import deferred

ROOT = Path(__file__).resolve().parents[2]
SPINNING = '(module (func (export "f") (loop $l (br $l))))'
TALKING = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\\10\\00\\00\\00\\05\\00\\00\\00hello")
  (func (export "_start") (loop $l
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))) (br $l))))"""

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C reaches a process otherwise on Windows")


def interrupted(words: list[str], folder: Path, wait_for: bytes) -> tuple[int, bytes]:
    """Exit code and standard error of a command interrupted as from its terminal, after it has said something."""
    command = [sys.executable, "-m", "mcutool", *words]
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout
    seen = b""
    while wait_for not in seen:
        data = os.read(child.stdout.fileno(), 1000)
        assert data, child.communicate()
        seen += data
    os.killpg(child.pid, signal.SIGINT)
    return child.wait(30), child.communicate()[1]


def test_a_program_that_prints_for_ever(tmp_path: Path) -> None:
    (tmp_path / "app.wat").write_text(TALKING, encoding="utf-8")
    for amount in (b"hello", b"hello" * 400):
        assert interrupted(["run", "app.wat"], tmp_path, amount) == (130, b"")


def test_scripts_in_several_processes(tmp_path: Path) -> None:
    (tmp_path / "first.wast").write_text("", encoding="utf-8")
    (tmp_path / "endless.wast").write_text(f'{SPINNING}\n(invoke "f")\n', encoding="utf-8")
    words = ["wast", "first.wast", "endless.wast", "endless.wast", "--workers", "2"]
    assert interrupted(words, tmp_path, b"first.wast") == (130, b"")


def test_it_is_put_off_in_the_main_thread_alone() -> None:
    happened: list[str] = []
    with pytest.raises(KeyboardInterrupt), deferred(lambda: happened.append("stop")):
        os.kill(os.getpid(), signal.SIGINT)
        happened.append("on")
    assert happened == ["stop", "on"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def elsewhere() -> None:
        with deferred(lambda: None):
            happened.append("elsewhere")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert happened[-1] == "elsewhere"


def test_an_emulated_board_ends_well(tmp_path: Path) -> None:
    words = ["emulate", "stm32f405", "--boot", "rom", "--link", "board", "--json"]
    assert interrupted(words, tmp_path, b'{"board": "stm32f405", "url": "board"}\n') == (0, b"")
    assert not os.path.lexists(tmp_path / "board")
