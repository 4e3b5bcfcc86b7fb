"""README.md: its commands run as they stand there, and so does its Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(heading: str) -> list[str]:
    """The indented blocks of a section; lines that only a blank line parts are one block."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return ["".join(line[4:] or "\n" for line in block.splitlines(True)) for block in
            re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", section, re.MULTILINE)]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place with the examples and a command `mcutool`, so that nothing is left in the checkout."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command = tmp_path / "bin" / "mcutool"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mcutool "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def test_the_commands_run(folder: Path) -> None:
    shell = blocks("By hand")[0].replace(". .venv/bin/activate\n", "")
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    waiting = shell.replace("--link board &", "--link board & until [ -e board ]; do sleep 0.1; done #")
    done = subprocess.run(
        [shutil.which("sh") or "sh", "-euc", f"trap 'kill $!' EXIT\n{waiting}"], cwd=folder, capture_output=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Hello from") == 2 and "[exit 0]" in done.stdout


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(blocks("By hand")[1], {})
