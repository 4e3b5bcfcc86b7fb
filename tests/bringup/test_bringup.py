"""The bring-up passes on every emulated board and names the step that fails on broken ones, with its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mcutool import bringup, devices, smoke
from mcutool.board import Board
from mcutool.cli import main
from mcutool.emulator.link import EmulatedLink
from mcutool.emulator.machine import Machine
from mcutool.emulator.sabotage import SABOTAGES, sabotaged, wrong_clock

ROOT = Path(__file__).resolve().parents[2]
BOARDS = [board.name for board in devices.runtime_boards() if board.emulated]
STEPS = [step.name for step in bringup.STEPS]

# The step that fails, its exit code, and what its message tells the fault by.
FAULTS = {
    "silent UART": ("identify", 6, "nothing at all comes"),
    "wrong chip": ("identify", 7, "the runtime says that its"),
    "stuck flash bit": ("flash test", 10, "the flash does not hold what is written"),
    "bad RAM cell": ("RAM test", 10, "bits 0x00000020 are wrong"),
    "wrong baud": ("identify", 6, "makes no sense at 115200 baud"),
    "no runtime": ("identify", 6, "no runtime, no power"),
}
# Both kinds of core, of clock, and of flash; and flash that refuses what is not erased.
BROKEN = [(fault, name) for name in ("stm32f405", "microbit") for fault in FAULTS] + [("stuck flash bit", "bluepill")]


@pytest.mark.parametrize("name", BOARDS)
def test_every_emulated_board_passes(name: str) -> None:
    report = bringup.bring_up_emulated(devices.board(name))
    assert [(result.name, result.status) for result in report.results] == [(step, "ok") for step in STEPS]
    assert report.exit_code == 0 and report.emulated
    assert report.left == "the module slot is empty now"
    assert "read at the pin" in report.text() and "bring-up of the emulated" in report.text()


def test_every_sabotage_has_its_step() -> None:
    assert FAULTS.keys() == SABOTAGES.keys()


@pytest.mark.parametrize(("fault", "name"), BROKEN)
def test_a_broken_board_fails_in_the_step_that_is_for_it(fault: str, name: str) -> None:
    step, code, message = FAULTS[fault]
    board = devices.board(name)
    report = bringup.bring_up_emulated(board, sabotaged(fault, board))
    failed = [result for result in report.results if result.status == bringup.FAILED]
    assert [result.name for result in failed] == [step]
    assert message in failed[0].detail and failed[0].error is not None and failed[0].error.next_action
    assert report.exit_code == code
    dependent = {later.name for later in bringup.STEPS if step in later.needs}
    assert dependent <= {result.name for result in report.results if result.status == bringup.NOT_RUN}


@pytest.mark.parametrize("name", ["stm32f405", "microbit"])
def test_a_clock_that_a_uart_still_forgives_is_found(name: str) -> None:
    board = devices.board(name)
    machine = Machine(board, board.firmware)
    wrong_clock(machine, 1.03)
    quick = [step for step in bringup.STEPS if step.name in ("identify", "runtime", "clock")]
    report = bringup.bring_up_emulated(board, machine, quick)
    assert report.exit_code == 10
    assert report.results[-1].detail == "the board's clock is +3.0 % off, more than 2 %"


@pytest.mark.parametrize("name", BOARDS)
def test_a_clock_keeps_time_after_resets(name: str) -> None:
    board = devices.board(name)
    link = EmulatedLink(Machine(board, board.firmware))
    opened = Board(board, link)
    opened.install(smoke.module("board"))
    offsets = []
    for _ in range(12):
        (nanoseconds,) = opened.call("nanoseconds")
        offsets.append(nanoseconds / 1e9 - link.now())
        opened.wait(0.3)
    assert max(offsets) - min(offsets) < 0.001


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_report_as_json_and_as_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bringup", "--board", "microbit", "--json", "--junit", str(tmp_path / "report.xml")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["board"] == "microbit" and told["emulated"] and told["error"] is None
    assert [step["name"] for step in told["steps"]] == STEPS
    assert {step["status"] for step in told["steps"]} == {"ok"}
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert suite.attrib["tests"] == str(len(STEPS)) and suite.attrib["failures"] == "0"
    assert [case.attrib["name"] for case in suite] == STEPS


def test_a_failure_in_every_form() -> None:
    board = devices.board("microbit")
    report = bringup.bring_up_emulated(board, sabotaged("silent UART", board))
    assert report.json()["steps"][0]["error"] == "no_answer"
    suite = ElementTree.fromstring(report.junit())
    assert suite.attrib["failures"] == "1" and suite.attrib["skipped"] == str(len(STEPS) - 1)
    assert suite[0][0].attrib["type"] == "no_answer"
    lines = report.text().splitlines()
    assert lines[1].split()[:2] == ["identify", "FAILED"] and lines[2].strip().startswith("next: ")
    assert lines[3].split(maxsplit=1) == ["runtime", "not run  needs: identify"]


def test_a_board_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bringup"]) == 2
    assert "which board?" in capsys.readouterr().err


def test_the_script_that_is_there_to_be_changed(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "boards" / "bringup.py"), "microbit"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "program    ok       hello.wasm says 'Hello from" in done.stdout
    assert ElementTree.parse(tmp_path / "microbit.xml").getroot().attrib["tests"] == "9"
    wrong = subprocess.run([*command[:2], "nosuch"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.startswith("no board is called 'nosuch'")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """An emulated stm32f405 of another process whose flash is empty, in its ROM bootloader."""
    link = tmp_path / "board"
    command = [sys.executable, "-m", "mcutool", "emulate", "stm32f405", "--boot", "rom", "--link", str(link)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {link}\n".encode()
        yield str(link)
        emulator.terminate()


def test_over_a_port_from_the_bootloader_to_the_last_step(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bringup", "--board", "microbit", "--port", port, "--json"]) == 6  # it has no ROM that we speak
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["class"] == "no_answer"
    assert said.err.startswith("mcutool: the step `identify` failed: nothing at all comes") and "\n  next: " in said.err
    assert main(["bringup", "--board", "stm32f405", "--port", port]) == 0
    told = capsys.readouterr().out
    assert "stm32f405 in its ROM bootloader, product id 0x413" in told
    assert "bytes through the bootloader; read back" in told
    assert "8 ok; the module slot is empty now" in told
    assert main(["bringup", "--board", "mps2-an386", "--port", port]) == 7  # now its runtime answers
    said = capsys.readouterr()
    assert "its board is stm32f405, not mps2-an386" in said.out
    assert said.err == "mcutool: the step `identify` failed\n"
