"""A C program of some thousand lines that is not ours: lz4 and xxHash from a Python package, around a small driver."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import running

PACKAGE = "lz4==4.3.3"
SOURCES = ("lz4.c", "xxhash.c")
FLAGS = ("-O2", "-DLZ4_MEMORY_USAGE=10", "-Wl,--stack-first", "-Wl,-z,stack-size=2048",
         "-Wl,--export=__heap_base", "-Wl,--export=__data_end")  # fmt: skip


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32")
    directory = tmp_path_factory.mktemp("lz4")
    sources = _fetch(directory)
    output = directory / "lz4.wasm"
    driver = Path(__file__).with_name("lz4_driver.c")
    files = [driver, *(sources / name for name in SOURCES)]
    subprocess.run(["clang", "--target=wasm32-wasi", *FLAGS, f"-I{sources}", *files, "-o", output], check=True)
    return output


def _fetch(directory: Path) -> Path:
    """Download and unpack the package's source; gives the folder that has lz4.c."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(directory)]
    done = subprocess.run([*pip, PACKAGE], capture_output=True, text=True)
    archives = list(directory.glob("lz4-*.tar.gz"))
    if not archives:
        pytest.skip(f"{PACKAGE} cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(archives[0]) as archive:
        checked = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Debian 12's Python is older
        archive.extractall(directory, **checked)  # type: ignore[arg-type]
    return next(directory.glob("lz4-*/lz4libs"))


def test_it_is_a_large_program(wasm: Path) -> None:
    sources = next(wasm.parent.glob("lz4-*/lz4libs"))
    assert sum(len((sources / name).read_text().splitlines()) for name in SOURCES) > 3000


@pytest.mark.parametrize("board", ["mps2-an386", "stm32f405", "microbit"])
def test_output_is_wasmtimes(wasm: Path, board: str) -> None:
    expected = running.on_wasmtime(wasm)
    assert expected.output.endswith("failures 0\n")
    assert running.on_board(wasm, board) == expected
