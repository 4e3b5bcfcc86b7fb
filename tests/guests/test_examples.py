"""The examples give wasmtime's results on every core, and their .wasm is what their sources make."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

import pytest
import running

EXAMPLES = running.ROOT / "examples"
BOARDS = ("mps2-m0", "mps2-an385", "mps2-an386")
PROGRAMS = ("hello", "blink", "sha256", "mandelbrot", "life")
CALLS = (
    ("sha256", "digest_word", (1000,)),
    ("mandelbrot", "iterations", (0.25, 0.51, 1000)),
    ("life", "population", (20,)),
)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_output_is_wasmtimes(name: str, board: str) -> None:
    wasm = EXAMPLES / f"{name}.wasm"
    expected = running.on_wasmtime(wasm)
    assert expected.output
    assert running.on_board(wasm, board) == expected


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name,function,arguments", CALLS)
def test_results_of_calls_are_wasmtimes(name: str, function: str, arguments: tuple, board: str) -> None:
    wasm = EXAMPLES / f"{name}.wasm"
    expected = running.on_wasmtime(wasm, function, arguments)
    assert running.on_board(wasm, board, invoke=(function, *map(str, arguments))).results == expected.results


def _on_debian_12() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and {"ID=debian", 'VERSION_ID="12"'} <= set(release.read_text().splitlines())


@pytest.mark.skipif(not _on_debian_12(), reason="Debian 12's compilers made the files; others make different bytes")
def test_wasm_files_are_fresh(tmp_path: Path) -> None:
    tools = ["CLANG=/usr/bin/clang", "RUSTC=/usr/bin/rustc", f"OUT={tmp_path}"]
    # clang runs a wasm-opt that it finds in PATH; the committed files were made without.
    subprocess.run(["make", "-s", "-C", EXAMPLES, *tools], check=True, env={"PATH": "/usr/bin:/bin"})
    stale = [n for n in PROGRAMS if not filecmp.cmp(tmp_path / f"{n}.wasm", EXAMPLES / f"{n}.wasm", shallow=False)]
    assert not stale, f"rebuild with: make -C examples ({stale})"
