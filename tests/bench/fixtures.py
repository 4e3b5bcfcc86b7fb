"""How long 200 tests with the fixture `board` take on an emulated board: `python -m tests.bench.fixtures [WORKERS]`.

Each test gets a board as it is after booting, installs a module and calls it, or reads what it prints. Everything
counts: the start of pytest, of the emulator, and of the board.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TESTS = 200

SOURCE = f"""
import pytest
from mcutool.wasm.text import assemble

ADDER = assemble('(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))')

@pytest.mark.parametrize("number", range({TESTS // 2}))
def test_a_call(board, number):
    board.install(ADDER)
    assert board.call("add", number, 2) == [number + 2]

@pytest.mark.parametrize("number", range({TESTS // 2}))
def test_a_program(board, number):
    board.install({str(EXAMPLES / "hello.wasm")!r})
    board.expect(b"[exit 0]")
"""


def measure(*options: str) -> tuple[float, float]:
    """Seconds on the clock of the wall and of processor time. Raises CalledProcessError when a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_fixture.py").write_text(SOURCE, encoding="utf-8")
        begin = time.monotonic()
        subprocess.run([sys.executable, "-m", "pytest", "-q", "--tb=short", *options], cwd=folder, check=True)
        return time.monotonic() - begin, os.times().children_user


if __name__ == "__main__":
    workers = ["-n", sys.argv[1]] if len(sys.argv) > 1 else []
    wall, processor = measure(*workers)
    print(f"{TESTS} tests with the fixture `board`, emulated: {wall:.1f} s, {processor:.1f} s of processor time")
