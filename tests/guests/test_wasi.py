"""What wasi-libc finds on a board, seen from a C program: arguments, environment, input, time, errors, exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import running

EXPECTED = """\
argument probe.wasm
argument a
argument b c
colour red
slept 20 ms
random {random}
open fails
seek ESPIPE
terminal 1
ONE
TWO
THREE"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wasm = tmp_path_factory.mktemp("wasi") / "probe.wasm"
    source = Path(__file__).with_name("wasi_probe.c")
    subprocess.run(["clang", "--target=wasm32-wasi", "-O1", source, "-o", wasm], check=True)
    return wasm


@pytest.mark.parametrize("board,seed", [("mps2-an386", ()), ("mps2-m0", ("--seed", "7"))])
def test_a_program_sees_its_surroundings(probe: Path, board: str, seed: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "mcutool", "run", "--board", board, *seed, "--env", "COLOUR=red", str(probe)]
    done = subprocess.run(
        [*command, "--", "a", "b c"], input="one\ntwo\nthree", capture_output=True, text=True, cwd=running.ROOT
    )
    assert done.stdout == EXPECTED.format(random="works" if seed else "fails")
    assert done.returncode == 2  # the newlines that it counted
