"""A module becomes the same bytes whoever builds it, whatever Python's hashes are, and whether it was built before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.measure import PROGRAMS, compile_wasm

ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import hashlib, sys
from pathlib import Path
from mcutool import devices, program
from mcutool.ir import nodes

for kind in (nodes.Value, nodes.Instruction, nodes.Edge, nodes.Block):  # in a set they stand in any order
    kind.__hash__ = lambda node: hash(str(id(node)))

for path in sorted(Path(sys.argv[1]).rglob("*.wasm")):
    built = program.build(path.read_bytes(), devices.board("stm32f405"), rodata="flash", refuse=False)
    print(path.stem, hashlib.sha256(built.to_bytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, and the benchmarks of which each has functions of another kind."""
    folder = tmp_path_factory.mktemp("modules")
    for example in (ROOT / "examples").glob("*.wasm"):
        shutil.copy(example, folder)
    for program_ in PROGRAMS.values():
        compile_wasm(program_, "O2", folder)
    return folder


def built(seed: int, modules: Path, cache: Path | None = None) -> list[str]:
    """The hashes of image, map and report of each module, from another process."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "MCUTOOL_CACHE": "1" if cache else "0"}
    environment |= {"XDG_CACHE_HOME": str(cache)} if cache else {}
    words = [sys.executable, "-c", BUILD, str(modules)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_hashes_of_another_seed_change_nothing(modules: Path) -> None:
    expected = built(0, modules)
    assert len(expected) > 30
    for seed in (1, 2):
        assert built(seed, modules) == expected


def test_what_was_built_before_is_the_same(modules: Path, tmp_path: Path) -> None:
    expected = built(3, modules)
    assert built(4, modules, tmp_path) == expected
    assert built(5, modules, tmp_path) == expected
