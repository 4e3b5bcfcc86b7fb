"""`monitor` and a program that never ends: Ctrl-C stops it and tells where it was, Ctrl-C again leaves."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool.cli import main
from mcutool.flash.link import SerialLink
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient

ROOT = Path(__file__).resolve().parents[2]
SPINS = """(module
  (func $inner (loop $again (br $again)))
  (func $outer (export "_start") (call $inner)))"""
SPEAKS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\\10\\00\\00\\00\\05\\00\\00\\00begun")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (loop $again (br $again))))"""
DIVIDES = """(module (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (func $divide (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "_start") (call $sleep (i32.const 3000)) (drop (call $divide (i32.const 0)))))"""
"""It traps when `flash` has long seen it start well."""
NAME = "mps2-an386"
PATIENCE = 30.0  # seconds


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    link = tmp_path / "board"
    command = [sys.executable, "-m", "mcutool", "emulate", NAME, "--link", str(link)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as emulator:
        try:
            assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {link}\n".encode()
            yield str(link)
        finally:
            emulator.terminate()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Images with their maps in a folder."""
    for name, text in (("spins", SPINS), ("speaks", SPEAKS), ("divides", DIVIDES)):
        (tmp_path / f"{name}.wat").write_text(text)
        assert main(["build", str(tmp_path / f"{name}.wat"), "--board", NAME, "-o", str(tmp_path / f"{name}.mcu")]) == 0
    return tmp_path


class Monitor:
    """A monitor in a process of its own, which can be given a Ctrl-C; `said` is what it has printed so far."""

    def __init__(self, port: str, symbols: Path, *options: str) -> None:
        command = [sys.executable, "-m", "mcutool", "monitor", "--port", port, "--map", str(symbols), *options]
        self.log = symbols.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def expect(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.said:
            assert time.monotonic() < deadline and self.process.poll() is None, self.said
            time.sleep(0.02)

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)


def test_the_first_ctrl_c_stops_the_program_and_the_second_leaves(port: str, built: Path) -> None:
    assert main(["flash", str(built / "spins.mcu"), "--port", port]) == 0
    monitor = Monitor(port, built / "spins.map.json")
    monitor.expect("Ctrl-C stops the program, Ctrl-C again leaves\n")
    monitor.press()
    monitor.expect("trap: stopped\n  in inner (at byte offset 0x")
    monitor.expect("\n  in outer (at byte offset 0x")
    monitor.expect("Ctrl-C again leaves\n")
    monitor.press()
    assert monitor.process.wait(PATIENCE) == 130


def test_a_program_that_never_ends_makes_way_and_a_trap_is_told_with_names(port: str, built: Path) -> None:
    assert main(["flash", str(built / "spins.mcu"), "--port", port]) == 0
    assert main(["flash", str(built / "divides.mcu"), "--port", port]) == 0
    monitor = Monitor(port, built / "divides.map.json", "--reset")
    monitor.expect("[trap integer divide by zero function=")
    monitor.expect("mcutool: trap: integer divide by zero\n  in divide (at byte offset 0x")
    monitor.press()
    monitor.expect("no program is running; Ctrl-C again leaves\n")
    monitor.press()
    assert monitor.process.wait(PATIENCE) == 130


class LateWords(SerialLink):
    """A port on which a program still speaks that ran before."""

    late = b"[trap of before]\r\n"

    def read(self, timeout: float) -> bytes:
        late, self.late = self.late, b""
        return late or super().read(timeout)


def test_what_was_said_before_a_restart_is_not_shown(
    port: str, built: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["flash", str(built / "divides.mcu"), "--port", port]) == 0
    monkeypatch.setattr("mcutool.flash.link.SerialLink", LateWords)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    command = ["monitor", "--port", port, "--map", str(built / "divides.map.json")]
    assert main([*command, "--reset", "--until", "trap", "--timeout", "20"]) == 0
    said = capfd.readouterr().out
    assert "divide by zero" in said and "of before" not in said


def test_a_program_on_a_port_is_stopped_when_its_time_is_over(
    port: str, built: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(built / "spins.mcu"), "--board", NAME, "--port", port, "--timeout", "0.3"]
    for _ in range(2):
        assert main(command) == 124
        assert "trap: stopped\n  in inner (at byte offset 0x" in capfd.readouterr().err


def test_ctrl_c_stops_a_program_that_runs_on_a_port(port: str, built: Path) -> None:
    command = [sys.executable, "-m", "mcutool", "run", str(built / "speaks.mcu"), "--board", NAME, "--port", port]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(5) == b"begun"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    client = SmpClient(SerialLink(port, 115200))
    deadline = time.monotonic() + PATIENCE
    while client.read(smp.RUNTIME, smp.RUNTIME_STATUS)["state"] == "running":
        assert time.monotonic() < deadline
    client.link.close()


def test_a_map_that_is_not_there_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "--port", "nosuchport", "--map", "nosuch.json"]) == 2
    assert "cannot read nosuch.json" in capsys.readouterr().err
