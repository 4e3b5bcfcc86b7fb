"""examples/TESTING.md: its files, commands and output are what they are there, and its table names what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcutool import devices, pytest_plugin
from mcutool.board import Board

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "examples" / "TESTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files, and its two commands as scripts for this Python."""
    for name, text in FILES.items():
        if "failing" not in name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    for name in ("mcutool", "pytest"):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return tmp_path


def run(folder: Path, shell: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    return subprocess.run(
        [shutil.which("sh") or "sh", "-euc", shell], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_page_does_what_it_says(folder: Path) -> None:
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    ready = "until [ -e device ]; do sleep 0.1; done"
    done = run(folder, commands.replace("sleep 2 ", f"trap 'kill $!' EXIT; {ready} "))
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"(\d+) passed", done.stdout)
    boards = sum(board.emulated for board in devices.runtime_boards())
    assert passed == ["4", "4", str(4 * boards), "4", "3"] and "1 skipped" in done.stdout
    assert 'name="mcu_instructions"' in (folder / "report.xml").read_text()

    (folder / "test_failing.py").write_text(FILES["test_failing.py"], encoding="utf-8")
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    failed = run(folder, "pytest test_failing.py")
    assert failed.returncode == 1
    position = 0
    for line in shown.splitlines():
        if line != "...":
            pattern = re.escape(line).replace(r"\.\.\.", ".*")
            found = re.compile(f"^{pattern}$", re.MULTILINE).search(failed.stdout, position)
            assert found, f"{line} in:\n{failed.stdout}"
            position = found.end()


def test_the_table_names_what_a_board_has() -> None:
    named = set(re.findall(r"`board\.(\w+)", PAGE)) - {"Board"}
    public = {name for name in vars(Board) if not name.startswith("_")} | {"output", "exit_status"}
    assert public - {"close", "probe"} == named


def test_the_options_are_all_there() -> None:
    source = Path(pytest_plugin.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r"--mcu-\w+", PAGE)) == set(re.findall(r'addoption\("(--mcu-\w+)"', source))
