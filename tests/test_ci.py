"""The scripts around the project: what is installed when, and what a person without rights is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder for PATH with little in it: a Python that can make venvs, and a user who is not root."""
    for name, script in (("python3", "exit 0"), ("id", "echo 1000"), ("present", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def packages(path: Path, tools: str) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("sh") or "sh", str(ROOT / ".ci" / "packages"), tools, "alpha beta"]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_nothing_is_installed_when_everything_is_there(path: Path) -> None:
    done = packages(path, f"present {path / 'id'}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("tools", ["present absent", "/no/such/file"])
def test_who_may_not_install_is_told_the_one_line(path: Path, tools: str) -> None:
    done = packages(path, tools)
    assert done.returncode == 1 and done.stdout == ""
    assert "sudo apt-get install -y --no-install-recommends alpha beta" in done.stderr


def test_sudo_is_used_when_it_asks_for_no_password(path: Path) -> None:
    (path / "sudo").write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    (path / "sudo").chmod(0o755)
    said = packages(path, "absent").stdout.splitlines()
    assert said[-1].endswith("apt-get install -y --no-install-recommends alpha beta")
