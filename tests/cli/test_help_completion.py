"""`mcutool completion`: what real shells make of the scripts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.cli import COMMANDS, main
from mcutool.cli.completion import SHELLS

BOARDS = {board.name for board in devices.boards()}
ASK = """source ./script
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p mcutool | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Files of several kinds, and the script for bash."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out, encoding="utf-8")
    for name in ("app.wasm", "app.mcu", "app.hex", "app.c", "suite.wast"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mcutool ''", set(COMMANDS)),
        ("mcutool em", {"emulate"}),
        ("mcutool --", {"--help", "--version"}),
        ("mcutool run --board ''", BOARDS),
        ("mcutool flash --board stm32f", {"stm32f405"}),
        ("mcutool emulate ''", BOARDS),
        ("mcutool boards mi", {"microbit"}),
        ("mcutool run --tim", {"--timeout"}),
        ("mcutool emulate microbit --boot ''", {"rom", "run"}),
        ("mcutool run ''", {"app.wasm", "app.mcu", "folder"}),
        ("mcutool flash app.h", {"app.hex"}),
        ("mcutool build -o app.", {"app.mcu"}),
        ("mcutool wast ''", {"suite.wast", "folder"}),
        ("mcutool completion ''", set(SHELLS)),
    ],
)
def test_bash_offers(words: str, offered: set[str], folder: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK.format(words=words)], cwd=folder, capture_output=True, text=True, check=True
    )
    assert {line.rstrip("/ ") for line in done.stdout.splitlines()} == offered, done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mcutool em", {"emulate"}),
        ("mcutool flash --board stm32f", {"stm32f405"}),
        ("mcutool run --tim", {"--timeout"}),
        ("mcutool run a", {"app.wasm", "app.mcu"}),
    ],
)
def test_fish_offers(line: str, offered: set[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    (folder / "script").write_text(capsys.readouterr().out, encoding="utf-8")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source ./script; complete -C '{line}'"], cwd=folder, capture_output=True,
        text=True, check=True, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    assert {answer.partition("\t")[0] for answer in done.stdout.splitlines()} == offered, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_every_command_and_board(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in [*COMMANDS, *BOARDS, "--timeout", "*.wast"])
    assert subprocess.run([shell, "-n"], input=script, text=True).returncode == 0
