"""`flash`, `monitor` and `run --port` on an emulated board of another process, as on a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.cli import main

ROOT = Path(__file__).resolve().parents[2]
HELLO = str(ROOT / "examples" / "hello.wasm")
FIRMWARE = devices.board("stm32f405").firmware


@contextmanager
def emulated_boards(folder: Path, count: int) -> Iterator[list[str]]:
    """The ports of emulated stm32f405 whose flash is empty, in their ROM bootloader."""
    with ExitStack() as stack:
        ports = [str(folder / f"board{number}") for number in range(count)]
        for port in ports:
            command = [sys.executable, "-m", "mcutool", "emulate", "stm32f405", "--boot", "rom", "--link", port]
            emulator = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE))
            stack.callback(emulator.terminate)
            assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {port}\n".encode()
        yield ports


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """One of them."""
    with emulated_boards(tmp_path, 1) as ports:
        yield ports[0]


@pytest.fixture(autouse=True)
def nobody_types(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        yield


def test_a_plan_is_shown_and_nothing_touched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", HELLO, "--runtime", "--board", "stm32f405", "--port", "nosuchport", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "sector   0 at 0x08000000: erase 16384 bytes" in said and "module slot at 0x08040000" in said
    assert said.endswith("granted: console\n")


def test_a_board_is_flashed_from_raw_file_to_program(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "runtime.hex"
    subprocess.run(["arm-none-eabi-objcopy", "-O", "ihex", str(FIRMWARE), str(raw)], check=True)

    assert main(["flash", str(raw), "--board", "stm32f405", "--port", port, "--json"]) == 0
    *events, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert done["event"] == "done" and done["smp"] is None and done["rom"]["bytes"] > 30000 and done["port"] == port
    told = [(event["stage"], event["done"] == event["total"]) for event in events if event["event"] == "progress"]
    assert [stage for stage, finished in told if finished] == ["compare", "erase", "write", "verify"]

    assert main(["flash", str(raw), "--board", "microbit", "--json"]) == 7
    failed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert failed["event"] == "error" and failed["error"]["class"] == "wrong_chip"

    assert main(["flash", HELLO, "--board", "microbit", "--port", port]) == 7
    assert "is stm32f405, not microbit" in capsys.readouterr().err

    assert main(["flash", HELLO, "--port", port]) == 0  # the board says itself which one it is
    said = capsys.readouterr().out
    assert "into the module slot, verified" in said and said.endswith("  granted: console\n")

    assert main(["monitor", "--port", port, "--reset", "--until", r"\[exit 0\]", "--timeout", "30"]) == 0


def test_a_program_runs_on_a_port(port: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", "--runtime", "--board", "stm32f405", "--port", port]) == 0
    capfd.readouterr()
    sha256 = str(ROOT / "examples" / "sha256.wasm")
    assert main(["run", sha256, "--board", "stm32f405", "--port", port, "--json"]) == 0
    *output, last = capfd.readouterr().out.splitlines()
    said = json.loads(last)
    assert said["exit_status"] == 0 and said["instructions"] is None and "ba7816bf" in output[0]
    assert main(["run", sha256, "--board", "stm32f405", "--port", port, "--fuel", "5"]) == 2


def test_an_empty_board_does_not_answer(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "--port", port, "--until", "never", "--timeout", "0.2"]) == 6
    assert "'never' did not come" in capsys.readouterr().err


def test_several_boards_are_flashed_at_once_and_each_has_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with emulated_boards(tmp_path, 2) as ports:
        words = ["flash", HELLO, "--runtime", "--board", "stm32f405", "--all", "--port", ",".join([*ports, "nosuch"])]
        assert main(words) == 3  # one of them is missing, which does not stop the others
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[-1] != "" and line.split(":")[0] for line in lines][2] == "nosuch" and len(lines) == 3
        assert all("sectors written" in line and "into the module slot" in line for line in lines[:2])

        assert main(["flash", HELLO, "--board", "stm32f405", "--all", "--port", ",".join(ports), "--json"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["port"] for event in events if event["event"] == "progress" and "port" in event} == set(ports)
    assert [event["port"] for event in events if event["event"] == "done"] == ports


def test_all_boards_when_there_is_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcutool.flash.link.list_ports", lambda known=(): [])
    assert main(["flash", HELLO, "--board", "microbit", "--all"]) == 3
    assert "no microbit is connected" in capsys.readouterr().err
