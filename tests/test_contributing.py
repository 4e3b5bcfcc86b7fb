"""CONTRIBUTING.md is true: its four walks, typed as they stand into a copy of the checkout, give what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NOT_COPIED = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "objects", "found", "node_modules", "acme-*"
)
FENCE = re.compile(r"^```(\w+) ?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk") / "mcutool"
    shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
    return folder


def type_in(command: str, folder: Path) -> str:
    """What a command says, on either stream."""
    words = command.replace("python ", f"{sys.executable} ", 1) if command.startswith("python ") else command
    words = re.sub(r"^mcutool ", f"{sys.executable} -m mcutool ", words)
    variables = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        words, shell=True, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


def pattern_of(line: str) -> str:
    """A line of the text as a regular expression; `...` stands for anything."""
    return ".*".join(re.escape(part) for part in line.split("..."))


def transcripts(block: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines below it."""
    for part in ("\n" + block).split("\n$ ")[1:]:
        command, *lines = part.rstrip("\n").split("\n")
        yield command, [line for line in lines if line != "..."]


def check(command: str, wanted: list[str], said: str) -> None:
    """The lines that the text shows come in this order; where it shows none, there are none."""
    if not wanted:
        assert said == "", f"$ {command}\n{said}"
    position = 0
    for line in wanted:
        found = re.compile(pattern_of(line), re.MULTILINE).search(said, position)
        assert found, f"$ {command}\n{said}\n--- lacks: {line}"
        position = found.end()


def put(where: str, content: str, folder: Path) -> None:
    """A file of the text: whole, or lines in front of the line that begins as the text says."""
    name, _, line = where.partition(" before ")
    path = folder / name
    if line:
        before, after = path.read_text(encoding="utf-8").split(f"\n{line}", 1)
        content = f"{before}\n{content}\n{line}{after}"
    path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize("section", re.findall(r"^## (.*)$", TEXT, re.MULTILINE))
def test_a_walk(section: str, checkout: Path) -> None:
    body = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = FENCE.findall(body)
    assert any(kind == "console" for kind, _, _ in blocks)
    for kind, where, content in blocks:
        if kind != "console":
            put(where, content, checkout)
            continue
        for command, wanted in transcripts(content):
            check(command, wanted, type_in(command, checkout))


def test_links_lead_somewhere() -> None:
    assert [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if not (ROOT / target).exists()] == []
