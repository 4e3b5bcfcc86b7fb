"""The wheel: installed where there is no checkout and no compiler, it runs a module and flashes an emulated board."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcutool import devices
from tests.once import once

ROOT = Path(__file__).resolve().parent.parent
SHA256 = ROOT / "examples" / "sha256.wasm"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which Python finds the unpacked wheel before the checkout, and finds no program on PATH."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", ROOT, "-w"]
    (wheel,) = once(tmp_path_factory, "wheel", lambda into: subprocess.run([*build, into], check=True)).glob("*.whl")
    assert "py3-none-" in wheel.name and "any" not in wheel.name
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return {"PYTHONPATH": str(folder / "installed"), "PATH": "", "HOME": str(folder), "PYTHONWARNINGS": "error"}


def mcutool(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcutool", *words], env=environment, cwd=environment["HOME"], text=True,
        capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_it_is_the_wheel_that_is_tested(environment: dict[str, str]) -> None:
    script = "import mcutool.devices as d; print(d.__file__); print(d.board('microbit').firmware)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=environment["HOME"], capture_output=True, check=True
    )
    assert all(line.startswith(environment["PYTHONPATH"]) for line in done.stdout.decode().splitlines())


def test_it_lists_every_board_with_its_runtime(environment: dict[str, str]) -> None:
    boards = json.loads(mcutool(environment, "boards", "--json").stdout)
    assert len(boards) == len(list((ROOT / "boards").glob("*.toml")))
    with_runtime = {board.name for board in devices.runtime_boards()}
    assert {board["name"] for board in boards if board["runtime"]} == with_runtime


def test_it_runs_an_example(environment: dict[str, str]) -> None:
    done = mcutool(environment, "run", SHA256, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert "ba7816bf" in done.stdout and json.loads(done.stdout.splitlines()[-1])["exit_status"] == 0


def test_it_brings_a_board_up(environment: dict[str, str]) -> None:
    done = mcutool(environment, "bringup", "--board", "mps2-an386", "--json")
    assert done.returncode == 0, done.stderr
    assert {step["status"] for step in json.loads(done.stdout)["steps"]} == {"ok"}


@pytest.fixture
def port(environment: dict[str, str]) -> Iterator[Path]:
    """An emulated board of another process, in its ROM bootloader."""
    link = Path(environment["HOME"]) / "board"
    command = [sys.executable, "-m", "mcutool", "emulate", "stm32f405", "--boot", "rom", "--link", str(link)]
    with subprocess.Popen(command, env=environment, cwd=environment["HOME"], stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline().startswith(b"ready: ")
        yield link
        emulator.terminate()
    assert not os.path.lexists(link)


def test_it_flashes_a_board(environment: dict[str, str], port: Path) -> None:
    done = mcutool(environment, "flash", SHA256, "--runtime", "--board", "stm32f405", "--port", port)
    assert done.returncode == 0, done.stderr
    watched = mcutool(environment, "monitor", "--port", port, "--reset", "--until", r"\[exit 0\]", "--timeout", "30")
    assert watched.returncode == 0 and "ba7816bf" in watched.stdout, watched.stderr


# --- the pytest plug-in, in a project that has only the wheel ---------------------------------------------------------

RATIO = """\
static int divide(int a, int b) {
    return a / b;
}
__attribute__((export_name("ratio"))) int ratio(int a) {
    return divide(a, a - 1);
}
"""

TESTS = """\
import pytest

def test_ratio(board):
    board.install("ratio.wasm")
    assert board.call("ratio", 5) == [1]

def test_output(board):
    board.install("hello.wasm")
    board.expect(b"Hello", timeout=30)
"""

FAILING = """
def test_division(board):
    board.install("ratio.wasm")
    board.call("ratio", 1)
"""


@pytest.fixture(scope="module")
def project(environment: dict[str, str]) -> Path:
    """Two modules and ten lines of tests."""
    folder = Path(environment["HOME"]) / "project"
    folder.mkdir()
    (folder / "ratio.c").write_text(RATIO, encoding="utf-8")
    command = ["clang", "--target=wasm32", "-g", "-O1", "-nostdlib", "-Wl,--no-entry", "ratio.c", "-o", "ratio.wasm"]
    subprocess.run(command, cwd=folder, check=True)
    (folder / "hello.wasm").write_bytes((ROOT / "examples" / "hello.wasm").read_bytes())
    (folder / "test_ratio.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_failing.py").write_text(FAILING, encoding="utf-8")
    return folder


def run_pytest(environment: dict[str, str], project: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *words], env=environment, cwd=project, text=True, capture_output=True
    )


def test_a_test_of_ten_lines_passes_emulated(environment: dict[str, str], project: Path) -> None:
    assert len(TESTS.splitlines()) <= 10
    done = run_pytest(environment, project, "test_ratio.py")
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


def test_it_passes_on_a_port(environment: dict[str, str], project: Path) -> None:
    link = project / "board"
    command = [sys.executable, "-m", "mcutool", "emulate", "stm32f405", "--link", str(link)]
    with subprocess.Popen(command, env=environment, cwd=project, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline().startswith(b"ready: ")
        done = run_pytest(environment, project, "test_ratio.py", "--mcu-board", "stm32f405", "--mcu-port", link)
        emulator.terminate()
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


def test_a_failing_test_shows_log_clock_and_the_line_of_the_trap(environment: dict[str, str], project: Path) -> None:
    done = run_pytest(environment, project, "test_failing.py")
    assert done.returncode == 1
    shown = [
        r'>       board\.call\("ratio", 1\)',
        r"E       mcutool\.errors\.Trapped: trap: integer divide by zero",
        r"E         in divide at ratio\.c:2 \(inlined\)",
        r"E         in ratio at ratio\.c:5 \(at byte offset 0x\w+\)",
        r"E         this means: the divisor is 0",
        r"E         next: check the divisor on that line before it divides",
        r"-+ board -+\n0\.\d+ s on the clock of the emulated mps2-an386",
        r"-+ board: output -+\nmcutool \S+ mps2-an386 .*bytes for modules",
        r"-+ board: trap -+\ntrap: integer divide by zero\n  in divide at ratio\.c:2",
        r"-+ board: last branches of the interpreter -+\n(.*\n)*op_i32_div_s\+",
    ]
    position = 0
    for pattern in shown:  # in this order
        found = re.compile(pattern).search(done.stdout, position)
        assert found, f"{pattern} in:\n{done.stdout}"
        position = found.end()
