"""The fixture `board`: each test runs pytest in a project of its own, as its users do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcutool.board  # noqa: F401  # pytester forgets what a project has imported: these would be read for each again
import mcutool.emulator.probe  # noqa: F401
import mcutool.pipeline  # noqa: F401
from mcutool import devices
from mcutool.wasm.text import assemble

pytest_plugins = ["pytester"]
WITHOUT = ("-p", "no:hypothesispytest", "-p", "no:faulthandler")
"""Plugins that a run inside this one does not need: the first takes seconds to sum up what it has not done, the second
takes away the signal handlers by which wasmtime notices traps."""

COUNTER = assemble("""
(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
  (func $divide (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))
""")

BUTTON = assemble("""
(module
  (import "mcu" "gpio_mode" (func $mode (param i32 i32) (result i32)))
  (import "mcu" "gpio_read" (func $read (param i32) (result i32)))
  (import "mcu" "led_set" (func $led (param i32) (result i32)))
  (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (func (export "pressed") (param i32) (result i32) (drop (call $mode (local.get 0) (i32.const 0)))
    (call $read (local.get 0)))
  (func (export "flash")
    (drop (call $led (i32.const 1))) (call $sleep (i32.const 250)) (drop (call $led (i32.const 0)))))
""")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(modules=f"COUNTER = {COUNTER!r}\nBUTTON = {BUTTON!r}")
    return pytester


def outcome(project: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    project.makepyfile(test_it="import re, pytest\nfrom modules import COUNTER, BUTTON\n" + source)
    return project.runpytest_inprocess("-q", *WITHOUT, *options)


def test_a_test_sees_nothing_of_the_one_before(project: pytest.Pytester) -> None:
    done = outcome(project, """
@pytest.mark.parametrize("number", range(3))
def test_each(board, number):
    assert b"no program" in board.output and len(board.gpio.changes) == 0 and board.instructions == 0
    assert 0.1 <= board.link.now() < 0.2
    board.install(COUNTER)
    board.gpio[3] = 1
    assert [board.call("count") for _ in range(3)] == [[1], [2], [3]]
""")  # fmt: skip
    done.assert_outcomes(passed=3)


def test_time_is_virtual(project: pytest.Pytester) -> None:
    done = outcome(project, """
import time
def test_long(board):
    begin, wall = board.link.now(), time.monotonic()
    board.wait(60)
    assert board.link.now() - begin == pytest.approx(60) and time.monotonic() - wall < 30
""")  # fmt: skip
    done.assert_outcomes(passed=1)


def test_snapshots_pins_and_counts(project: pytest.Pytester) -> None:
    done = outcome(project, """
def test_snapshot(board):
    board.install(COUNTER)
    board.call("count")
    saved, instructions = board.snapshot(), board.instructions
    assert board.call("count") == [2] and board.instructions > instructions
    for _ in range(2):
        board.restore(saved)
        assert board.instructions == instructions and board.call("count") == [2]
    assert board.cycles > board.instructions

def test_pins(board):
    board.install(BUTTON)
    assert board.call("pressed", 3) == [0]
    board.gpio[3] = 1
    assert board.call("pressed", 3) == [1]
    board.call("flash")
    (on, pin, level), (off, *_) = board.gpio.changes
    assert (pin, level) == (0, 1) and off - on == pytest.approx(0.25, abs=0.01) and not board.gpio.led
""")  # fmt: skip
    done.assert_outcomes(passed=2)


def test_a_failure_tells_what_the_board_did(project: pytest.Pytester) -> None:
    done = outcome(project, """
def test_division(board):
    board.install(COUNTER)
    board.call("divide", 1, 0)
""")  # fmt: skip
    done.assert_outcomes(failed=1)
    done.stdout.re_match_lines([
        r'>       board.call\("divide", 1, 0\)',
        r"E       mcutool.errors.Trapped: trap: integer divide by zero",
        r"E         in divide \(at byte offset 0x",
        r"E         next: check the divisor",
        r"-+ board -+",
        r"0\.\d{6} s on the clock of the emulated mps2-an386",
        r"-+ board: output -+",
        r"mcutool .* mps2-an386 .*bytes for modules",
        r"-+ board: trap -+",
        r"trap: integer divide by zero",
        r"-+ board: last branches of the interpreter -+",
        r"op_i32_div_s\+0x.* -> trap\+0x0",
    ])  # fmt: skip
    done.stdout.no_fnmatch_line("*board.py:*")


def test_what_is_missing_is_told_with_the_trap_that_explains_it(project: pytest.Pytester) -> None:
    project.makefile(".wat", trapping='(module (func (export "_start") unreachable))')
    done = outcome(project, """
def test_output(board):
    board.install("trapping.wat")
    board.expect(re.compile(b"ready"))
""")  # fmt: skip
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*NoAnswer: *b'ready'*", "E*trap: unreachable", "E*in _start (at byte offset 0x*"])


def test_a_mistake_in_our_own_code_is_shown_whole(project: pytest.Pytester) -> None:
    done = outcome(project, """
def test_nonsense(board):
    board.install(3.5)
""")  # fmt: skip
    done.stdout.fnmatch_lines(["*board.py:*", "*TypeError*"])


# --- which boards -----------------------------------------------------------------------------------------------------

NAMES = """
def test_any(board): print("on", board.description.name)
@pytest.mark.mcu(boards=["microbit", "mps2-m0"])
def test_some(board): pass
"""


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], ["test_any", "test_some[microbit]", "test_some[mps2-m0]"]),
        (["--mcu-board", "microbit"], ["test_any", "test_some"]),
        (["--mcu-board", "stm32f405,mps2-m0"], ["test_any[stm32f405]", "test_any[mps2-m0]", "test_some"]),
    ],
)
def test_options_and_markers_choose(project: pytest.Pytester, options: list[str], wanted: list[str]) -> None:
    done = outcome(project, NAMES, "--collect-only", *options)
    assert [line.split("::")[1] for line in done.outlines if "::" in line] == wanted


def test_the_default_is_the_users(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCUTOOL_BOARD", "microbit")
    outcome(project, NAMES, "-s", "-k", "any").stdout.fnmatch_lines(["*on microbit*"])
    monkeypatch.setenv("MCUTOOL_BOARD", "nosuch")
    done = outcome(project, NAMES, "-k", "any")
    assert done.ret != 0 and "MCUTOOL_BOARD: no board is called 'nosuch'" in "".join(done.outlines + done.errlines)


def test_all_is_every_emulated_board(project: pytest.Pytester) -> None:
    done = outcome(project, NAMES, "--collect-only", "--mcu-board", "all")
    names = [board.name for board in devices.runtime_boards() if board.emulated]
    assert [line for line in done.outlines if "test_any" in line] == [f"test_it.py::test_any[{name}]" for name in names]


def test_a_test_for_other_boards_is_skipped(project: pytest.Pytester) -> None:
    done = outcome(project, NAMES, "-rs", "--mcu-board", "stm32f405")
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*is for microbit, mps2-m0"])


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (NAMES, ["--mcu-board", "stm32f40"], "--mcu-board: no board is called 'stm32f40'"),
        ("@pytest.mark.mcu('microbit')\ndef test_it(board): pass", [], "the marker is mcu(boards=[NAME, ...]"),
        (NAMES, ["--mcu-port", "nowhere"], "cannot open nowhere"),
        (NAMES, ["--mcu-port", "nowhere", "-n", "2"], "one board cannot be shared by several workers"),
    ],
)
def test_mistakes_are_told(project: pytest.Pytester, source: str, options: list[str], message: str) -> None:
    done = outcome(project, source, *options)
    text = "\n".join(done.outlines + done.errlines)
    assert done.ret != 0 and message in text and "INTERNALERROR" not in text


# --- counts and workers -----------------------------------------------------------------------------------------------

COUNTED = """
@pytest.mark.parametrize("number", range(6))
def test_count(board, number):
    board.install(COUNTER)
    board.call("count")
"""


def counts(xml: str) -> list[str]:
    return sorted(part.split("/>")[0] for part in xml.split("<property ")[1:])


def test_counts_are_in_the_report_and_workers_do_not_change_them(project: pytest.Pytester) -> None:
    outcome(project, COUNTED, "--junitxml=alone.xml").assert_outcomes(passed=6)
    project.runpytest_subprocess("-q", *WITHOUT, "-n", "2", "--junitxml=together.xml").assert_outcomes(passed=6)
    alone = counts((project.path / "alone.xml").read_text())
    assert len(alone) == 18 and len(set(alone)) == 3 and 'name="mcu_board" value="mps2-an386" ' in alone
    assert counts((project.path / "together.xml").read_text()) == alone


# --- a board on a port ------------------------------------------------------------------------------------------------


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """An emulated board of another process."""
    command = [sys.executable, "-m", "mcutool", "emulate", "stm32f405", "--link", str(tmp_path / "board")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline().startswith(b"ready: ")
        yield str(tmp_path / "board")
        emulator.terminate()


def test_a_board_on_a_port(project: pytest.Pytester, port: str) -> None:
    done = outcome(project, """
@pytest.mark.parametrize("number", range(2))
def test_calls(board, number):
    assert not board.emulated
    board.install(COUNTER)
    assert [board.call("count") for _ in range(2)] == [[1], [2]]

@pytest.mark.mcu(emulated=True)
def test_counts(board):
    assert board.instructions == 0

@pytest.mark.mcu(boards=["microbit"])
def test_another(board): pass

def test_pins(board):
    board.gpio[3] = 1
""", "--mcu-board", "stm32f405", "--mcu-port", port, "-rs")  # fmt: skip
    done.assert_outcomes(passed=2, skipped=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "E*UsageError: the board on * can do no snapshot*",
            "E*next: mark the test with @pytest.mark.mcu(emulated=True)*",
        ]
    )
    done.stdout.fnmatch_lines(["SKIPPED*needs an emulated board", "SKIPPED*is for microbit"])


# --- what others pay --------------------------------------------------------------------------------------------------


def test_a_project_without_boards_pays_nothing() -> None:
    script = "import sys, mcutool.pytest_plugin; print([name for name in sys.modules if name.startswith('mcutool')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['mcutool', 'mcutool.pytest_plugin']\n"
