"""The wheel: installed where there is no checkout and no compiler, it runs a module and flashes an emulated board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHA256 = ROOT / "examples" / "sha256.wasm"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which Python finds the unpacked wheel before the checkout, and finds no program on PATH."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
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
    assert all(board["runtime"] for board in boards)


def test_it_runs_an_example(environment: dict[str, str]) -> None:
    done = mcutool(environment, "run", SHA256, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert "ba7816bf" in done.stdout and json.loads(done.stdout.splitlines()[-1])["exit_status"] == 0


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
