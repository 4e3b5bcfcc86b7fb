"""A C program of some thousand lines that is not ours: lz4 and xxHash from a Python package, around a small driver."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import running

PACKAGE = "lz4==4.3.3"
SOURCES = ("lz4.c", "xxhash.c")
FLAGS = ("-O2", "-DLZ4_MEMORY_USAGE=10", "-Wl,--stack-first", "-Wl,-z,stack-size=2048",
         "-Wl,--export=__heap_base", "-Wl,--export=__data_end")  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> Path:
    """The folder of the package that has lz4.c, fetched from the package index when it is not there yet."""
    folder = running.ROOT / "build" / PACKAGE
    folder.parent.mkdir(exist_ok=True)
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", temporary]
            subprocess.run([*pip, PACKAGE], check=True)
            (archive,) = Path(temporary).glob("lz4-*.tar.gz")
            shutil.unpack_archive(archive, temporary)
            with contextlib.suppress(OSError):  # another worker was first
                archive.with_name(archive.name.removesuffix(".tar.gz")).rename(folder)
    return folder / "lz4libs"


@pytest.fixture(scope="module")
def wasm(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lz4") / "lz4.wasm"
    files = [Path(__file__).with_name("lz4_driver.c"), *(sources / name for name in SOURCES)]
    subprocess.run(["clang", "--target=wasm32-wasi", *FLAGS, f"-I{sources}", *files, "-o", output], check=True)
    return output


def test_it_is_a_large_program(sources: Path) -> None:
    assert sum(len((sources / name).read_text().splitlines()) for name in SOURCES) > 3000


@pytest.mark.parametrize("board", ["mps2-an386", "stm32f405", "microbit"])
def test_output_is_wasmtimes(wasm: Path, board: str) -> None:
    expected = running.on_wasmtime(wasm)
    assert expected.output.endswith("failures 0\n")
    assert running.on_board(wasm, board) == expected
