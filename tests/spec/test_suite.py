"""The official test suite on the emulated mps2-an386, when WASM_TESTSUITE names a folder that has it.

A script whose modules all belong to later proposals has nothing to run; it is counted all the same, as skipped
assertions with their reasons, by the runner. What fails is in known_failures.txt, no more and no less.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.wast.campaign import run_file
from mcutool.wast.script import AssertFailure, AssertModule, AssertReturn, OtherCommand, read_script

SUITE = os.environ.get("WASM_TESTSUITE")
LATER = ("simd", "relaxed", "i31", "array", "struct", "legacy", "threads", "wide-arithmetic", "gc", "64.wast")
"""Parts of the names of files that are about later proposals only."""
KNOWN = Path(__file__).with_name("known_failures.txt")


def scripts() -> list[Path]:
    """The suite's scripts that may hold something to run; none without the suite."""
    if SUITE is None:
        return []
    every = sorted(Path(SUITE).rglob("*.wast"))
    return [path for path in every if path.name == "f64.wast" or not any(word in str(path) for word in LATER)]


def known(name: str) -> set[int]:
    rows = [line.split(maxsplit=2) for line in KNOWN.read_text().splitlines() if not line.startswith("#")]
    assert all(len(row) == 3 for row in rows), "every known failure has a reason"
    return {int(row[1]) for row in rows if row[0] == name}


def test_the_list_of_known_failures_is_short():
    assert len([line for line in KNOWN.read_text().splitlines() if not line.startswith("#")]) <= 20


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_script(path):
    report = run_file(path, devices.board("mps2-an386").name)
    assert {failure["line"] for failure in report["failures"]} == known(path.name), report["failures"]
    assert all(skip["reason"].startswith("not supported: ") for skip in report["skips"]), report["skips"]
    assert report["passed"] + report["failed"] + report["skipped"] == report["assertions"]
    commands = read_script(path.read_bytes())
    kinds = (AssertReturn, AssertFailure, AssertModule, OtherCommand)
    assert report["assertions"] == sum(isinstance(command, kinds) for command in commands)
