"""The examples give wasmtime's results on every core, and their .wasm is what their sources make."""

from __future__ import annotations

import filecmp
import shutil
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
# The compilers that made the committed files (Debian 12).
COMPILERS = {"clang": "14.0.6", "rustc": "1.63.0"}


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


def _compiler(name: str) -> str | None:
    """The path of the compiler of that version, Debian's place before PATH."""
    for path in (f"/usr/bin/{name}", shutil.which(name)):
        if path and Path(path).exists():
            version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if COMPILERS[name] in version:
                return path
    return None


def test_wasm_files_are_fresh(tmp_path: Path) -> None:
    paths = {name: _compiler(name) for name in COMPILERS}
    missing = [f"{name} {COMPILERS[name]}" for name, path in paths.items() if path is None]
    if missing:
        pytest.skip(f"needs the compilers that made the files (examples/README.md): {', '.join(missing)}")
    tools = [f"CLANG={paths['clang']}", f"RUSTC={paths['rustc']}", f"OUT={tmp_path}"]
    # clang runs a wasm-opt that it finds in PATH; the committed files were made without.
    subprocess.run(["make", "-s", "-C", EXAMPLES, *tools], check=True, env={"PATH": "/usr/bin:/bin"})
    stale = [n for n in PROGRAMS if not filecmp.cmp(tmp_path / f"{n}.wasm", EXAMPLES / f"{n}.wasm", shallow=False)]
    assert not stale, f"rebuild with: make -C examples ({stale})"
