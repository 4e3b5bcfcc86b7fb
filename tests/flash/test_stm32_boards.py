"""Every emulated STM32 board, from the ROM of its chip to a running module, by `mcutool flash` and by stm32flash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcutool
from mcutool import devices
from mcutool.cli import main
from mcutool.devices import Board
from mcutool.image.containers import read_segments

ROOT = Path(__file__).resolve().parents[2]
BOARDS = [board.name for board in devices.runtime_boards() if board.chip.port.startswith("stm32")]
LITTLE = ["stm32vldiscovery", "bluepill"]  # less RAM, less flash than hello takes

# What stm32flash, which knows the chips from elsewhere, says of those that it meets: one for each set of commands.
KNOWN = {
    "bluepill": ["0x0410 (STM32F10xxx Medium-density)", "20KiB  (512b reserved", "Version      : 0x22", "4x1024)"],
    "nucleo-f446re": ["0x0421 (STM32F446xx)", "128KiB  (12288b reserved", "Version      : 0x31", "1x16384)"],
}


@pytest.fixture
def waiting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Board, str]]:
    """A board and the port of an emulated one of another process, in its ROM bootloader."""
    link = tmp_path / "board"
    command = [sys.executable, "-m", "mcutool", "emulate", request.param, "--boot", "rom", "--link", str(link)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {link}\n".encode()
        yield devices.board(request.param), str(link)
        emulator.terminate()


def check_that_an_example_runs(name: str, port: str) -> None:
    example, says = ("sha256", b"ba7816bf") if name in LITTLE else ("hello", b"Hello from 32-bit WebAssembly!")
    with mcutool.open_board(name, port=port) as board:
        board.install(ROOT / "examples" / f"{example}.wasm")
        board.expect(says)


@pytest.mark.parametrize("waiting", BOARDS, indirect=True)
def test_our_engine_fills_an_empty_board(waiting: tuple[Board, str]) -> None:
    board, port = waiting
    assert main(["flash", "--runtime", "--protocol", "an3155", "--board", board.name, "--port", port]) == 0
    check_that_an_example_runs(board.name, port)


@pytest.mark.parametrize("waiting", KNOWN, indirect=True)
def test_so_does_stm32flash(waiting: tuple[Board, str], tmp_path: Path) -> None:
    board, port = waiting
    ((start, runtime),) = read_segments(f"{board.name}.elf", board.firmware.read_bytes())
    (tmp_path / "runtime.bin").write_bytes(runtime)
    command = ["stm32flash", "-m", "8n1", "-w", str(tmp_path / "runtime.bin"), "-v", "-g", hex(start), port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(said in done.stdout for said in KNOWN[board.name]), done.stdout
    check_that_an_example_runs(board.name, port)
