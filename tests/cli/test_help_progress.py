"""The display of long work: on a terminal a line for each stage, collapsing to one; elsewhere nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORK = """
import sys, time
from mcutool.cli import progress
from mcutool.progress import Progress
progress.PATIENCE = {patience}
with progress.Stages() as stages:
    for stage in ("erase", "write"):
        for done in range(4):
            stages(Progress(stage, done, 4))
            time.sleep({pause})
    {ending}
print("the program's output")
"""

pty = pytest.importorskip("pty", reason="a terminal is needed")


def on_a_terminal(patience: float, pause: float, ending: str = "") -> tuple[bytes, bytes]:
    """What the work writes to standard output, and what to a terminal as standard error."""
    ours, theirs = pty.openpty()
    script = WORK.format(patience=patience, pause=pause, ending=ending)
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += (data := os.read(ours, 4096))
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not data:
            break
    os.close(ours)
    return child.communicate()[0], seen


def test_long_work_is_shown_and_collapses() -> None:
    output, seen = on_a_terminal(patience=0.01, pause=0.15)
    assert output == b"the program's output\n"
    assert b"erase" in seen and b"write" in seen and b"100%" in seen
    last = seen.rstrip().rsplit(b"\n", 1)[-1].rsplit(b"\x1b[2K", 1)[-1].decode()
    assert last.startswith("erase ") and ", write " in last and last.endswith(" s")


def test_quick_work_is_not_shown() -> None:
    assert on_a_terminal(patience=30, pause=0.0) == (b"the program's output\n", b"")


def test_work_that_fails_leaves_no_summary() -> None:
    _, seen = on_a_terminal(patience=0.01, pause=0.15, ending="sys.exit('the reason')")
    assert seen.rstrip().endswith(b"the reason") and b", write " not in seen


def test_nothing_is_shown_elsewhere() -> None:
    script = WORK.format(patience=0, pause=0.02, ending="")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert (done.stdout, done.stderr) == (b"the program's output\n", b"")
