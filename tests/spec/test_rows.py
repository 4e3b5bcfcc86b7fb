"""Every row of the instruction table is executed by our own scripts, on the interpreter built for this PC.

gcc counts how often each line of the generated handlers runs, so a row that the translator never chooses shows as well.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.isa import ROWS
from mcutool.wast.runner import run_script
from tests.pc import RUNTIME, program
from tests.spec import large
from tests.spec.pc_session import PcSession

OWN = sorted(Path(__file__).with_name("own").glob("*.wast"))
COUNTING = ("--coverage", "-O0")
HANDLERS = "generated/handlers.inc"
BOARD = "mps2-an386"  # whose memory the scripts are planned for


def run(path: Path, folder: Path, options: tuple[str, ...] = ()) -> None:
    """The script on this PC; it must hold, and no sanitizer may complain."""
    session = PcSession(folder, options)
    report = run_script(path, devices.board(BOARD), lambda: session)
    session.close()
    assert report.failures == [] and report.skips == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_script_under_sanitizers(path, tmp_path):
    run(path, tmp_path)


def executed_lines() -> set[int]:
    """Lines of the handlers that have run, as gcov counts them."""
    notes = program(*COUNTING).with_name("vm-execute.gcda")
    done = subprocess.run(["gcov", "--json-format", "--stdout", notes], cwd=RUNTIME, capture_output=True, check=True)
    files = json.loads(done.stdout)["files"]
    lines = [line for file in files if file["file"].endswith(HANDLERS) for line in file["lines"]]
    return {line["line_number"] for line in lines if line["count"]}


def executed_handlers() -> set[str]:
    """The names of handlers with a line that has run; `br_wide` is the row `br.wide`."""
    lines, names, handler = executed_lines(), set(), ""
    for number, text in enumerate((RUNTIME / HANDLERS).read_text().splitlines(), 1):
        if match := re.match(r"HANDLER\((\w+),", text):
            handler = match[1]
        if number in lines:
            names.add(handler)
    return names


def test_every_row_is_executed(tmp_path):
    scripts = list(OWN)
    for name, write in large.SCRIPTS.items():
        scripts.append(tmp_path / f"{name}.wast")
        scripts[-1].write_text(write())
    for path in scripts:
        run(path, tmp_path, COUNTING)
    assert {row.name.replace(".", "_") for row in ROWS} - executed_handlers() == set()
