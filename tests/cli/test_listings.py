"""`--help`, `boards` and `ports`: quick, and with the fields that scripts rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcutool.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [["--help"], ["boards"], ["ports"]], ids=" ".join)
def test_an_answer_comes_at_once(words: list[str]) -> None:
    def seconds() -> float:
        """Of the processor: what else the machine does is not what is measured."""
        before = os.times()
        subprocess.run([sys.executable, "-m", "mcutool", *words], cwd=ROOT, check=True, capture_output=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.3


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {command}" in said for command in COMMANDS)


def test_boards_have_the_fields_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "--json"]) == 0
    boards = {board["name"]: board for board in json.loads(capsys.readouterr().out)}
    assert {"mps2-an386", "mps2-an385", "mps2-m0", "stm32f405", "microbit"} <= boards.keys()
    kinds = {
        "name": str, "chip": str, "core": str, "runtime": bool, "flash_protocols": list,
        "emulated": bool, "flash_free": int, "ram_free": int,
    }  # fmt: skip
    for board in boards.values():
        assert {key: type(board[key]) for key in kinds} == kinds
    assert boards["stm32f405"]["flash_protocols"] == ["an3155", "smp"]


def test_one_board_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards", "microbit"]) == 0
    assert "BBC micro:bit" in capsys.readouterr().out


def test_ports_are_a_list_of_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ports", "--json"]) == 0
    for port in json.loads(capsys.readouterr().out):
        assert {"device", "description", "usb", "board"} <= port.keys()


def test_output_cut_off_by_its_reader_is_no_error() -> None:
    script = "import sys; from mcutool.cli import main; sys.stdin.read(); sys.exit(main(['boards']))"
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout and child.stdin and child.stderr
    child.stdout.close()
    child.stdin.close()
    assert child.wait(60) == 0
    assert child.stderr.read() == b""
