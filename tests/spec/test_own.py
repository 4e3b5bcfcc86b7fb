"""Our own scripts, written from the WebAssembly specification; test_cores.py runs them on each core.

The scripts in own/ owe nothing to the official suite. Here wasmtime is asked whether it agrees with them, and the
interpreter built for this PC runs them under sanitizers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutool import devices
from mcutool.wast.runner import run_script
from mcutool.wast.script import AssertFailure, read_script
from tests.spec import large
from tests.spec.pc_session import PcSession
from tests.spec.wasmtime_opinion import Opinion

OWN = sorted(Path(__file__).with_name("own").glob("*.wast"))
NAMES = [*(path.stem for path in OWN), *large.SCRIPTS]
BOARD = "mps2-an386"  # whose memory the scripts are planned for
OURS = ("program ended", "address not backed", "too many exceptions are alive")
"""Traps that are no traps of the specification."""


def script(name: str, folder: Path) -> Path:
    return next(path for path in [*OWN, *large.write_scripts(folder)] if path.stem == name)


@pytest.mark.parametrize("name", NAMES)
def test_wasmtime_agrees(name: str, tmp_path: Path) -> None:
    """A second opinion on what the scripts expect; what only a board does is left out."""
    opinion = Opinion()
    for command in read_script(script(name, tmp_path).read_bytes()):
        if not (isinstance(command, AssertFailure) and command.message in OURS):
            opinion.take(command)
    assert opinion.disagreements == []
    assert opinion.agreements > 0


@pytest.mark.parametrize("name", NAMES)
def test_under_sanitizers(name: str, tmp_path: Path) -> None:
    session = PcSession(tmp_path)
    path = script(name, tmp_path)
    report = run_script(path, path.read_bytes(), devices.board(BOARD), lambda: session)
    session.close()
    assert report.failures == [] and report.skips == []
