"""A cable that is pulled at any moment: what the command says, and what the board, emulated, runs afterwards.

When power comes back, the board runs what it ran before or can be flashed again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from situations import BOARD, FOR_EVER, NEW, OLD, ROOT, START_UP, Cable, board_in_rom, running_board, saying, wasm

from mcutool.cli import main
from mcutool.emulator.serve import ServedBoard
from mcutool.flash.link import SerialLink

PADDING = f'(data (i32.const 1024) "{"x" * 5000}"))'
FLASH = ("flash", "hello.wasm", "--board", BOARD.name, "--port", "cable")
RUN = ("run", "hello.wasm", "--board", BOARD.name, "--port", "cable")
RUNTIME = ("flash", "--runtime", "--board", BOARD.name, "--port", "cable")


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a program of some kilobytes, and nobody at the keyboard."""
    monkeypatch.chdir(tmp_path)
    Path("hello.wasm").write_bytes(wasm(saying(NEW).removesuffix(")") + PADDING))
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


def command(words: tuple[str, ...], board: ServedBoard, length: int | None = None, last: str = "") -> tuple[int, int]:
    """The exit code of a command over a cable to the board, and how many bytes went there."""
    cable = Cable(board, length, last=last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcutool.flash.link.SerialLink", lambda port, baud, **how: cable)
        patch.setattr("mcutool.run.SerialLink", lambda port, baud, **how: cable)
        return main(list(words)), cable.sent


def old_board() -> ServedBoard:
    return running_board(wasm(saying(OLD)))


def after_power_up(board: ServedBoard) -> str:
    """What the board prints."""
    board.output.clear()
    board.reset()
    board.machine.run_for(START_UP)
    return board.output.decode("ascii", "replace")


@cache
def length_of(words: tuple[str, ...], make: Callable[[], ServedBoard]) -> int:
    """Bytes that the command sends when nothing goes wrong."""
    code, sent = command(words, make())
    assert code == 0
    return sent


@pytest.mark.parametrize("words", [FLASH, RUN], ids=["flash", "run"])
@pytest.mark.parametrize("percent", [0, 1, 10, 40, 70, 99])
def test_a_cable_pulled_during_an_upload(
    words: tuple[str, ...], percent: int, capsys: pytest.CaptureFixture[str]
) -> None:
    length = length_of(words, old_board) * percent // 100
    board = old_board()
    capsys.readouterr()
    assert command(words, board, length)[0] == 12
    err = capsys.readouterr().err
    assert err == "mcutool: the connection to the cable was lost\n  next: plug it in and repeat\n"

    said = after_power_up(board)
    assert OLD in said
    assert command(FLASH, board)[0] == 0
    assert NEW in after_power_up(board)


@pytest.mark.parametrize("words", [("monitor", "--reset", "--port", "cable"), RUN], ids=["monitor", "run"])
def test_a_cable_pulled_while_a_program_runs(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    endless = wasm(saying(OLD, FOR_EVER))
    Path("hello.wasm").write_bytes(endless)
    board = running_board(endless)
    assert command(words, board, last=OLD)[0] == 12
    assert "was lost" in capsys.readouterr().err
    after_power_up(board)
    Path("hello.wasm").write_bytes(wasm(saying(NEW)))
    assert command(FLASH, board)[0] == 0  # whatever runs there now
    assert NEW in after_power_up(board)


@pytest.mark.parametrize("percent", [0, 2, 50, 99])
def test_a_cable_pulled_while_the_runtime_is_installed(percent: int, capsys: pytest.CaptureFixture[str]) -> None:
    length = length_of(RUNTIME, board_in_rom) * percent // 100
    board = board_in_rom()
    assert command(RUNTIME, board, length)[0] == 12
    assert "was lost" in capsys.readouterr().err
    board.reset()  # BOOT0 is still pulled
    assert command(RUNTIME, board)[0] == 0
    assert BOARD.name in after_power_up(board)


@contextmanager
def emulated(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A board in another process, at the port `board`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mcutool", "emulate", BOARD.name, "--link", "board", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"ready: board\n"
        yield process
        process.send_signal(signal.SIGTERM)


def test_a_board_of_another_process_loses_power(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words, left = ["flash", "hello.wasm", "--port", "board"], [3000]
    write = SerialLink.write

    def write_and_pull(link: SerialLink, data: bytes) -> Any:
        left[0] -= len(data)
        if left[0] < 0 and process.poll() is None:
            process.terminate()
            process.wait()
        return write(link, data)

    with emulated("--flash-file", "flash.bin") as process, monkeypatch.context() as patch:
        patch.setattr(SerialLink, "write", write_and_pull)
        assert main(words) == 12
    assert "the connection to board was lost" in capfd.readouterr().err
    with emulated("--flash-file", "flash.bin"):
        assert main(words) == 0
        assert main(["monitor", "--port", "board", "--reset", "--until", NEW, "--timeout", "20"]) == 0
