"""A board tells the hash of its image; the map that belongs to it is found on the computer that installed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcutool import maps
from mcutool.cli import main

ROOT = Path(__file__).resolve().parents[2]
DIVIDES = """(module (func $divide (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "_start") (drop (call $divide (i32.const 0)))))"""
NAME = "mps2-an386"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mcutool" / "maps"


def test_the_newest_maps_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "KEPT", 3)
    for number in range(5):
        maps.keep(bytes(100) + bytes((number,)) * 32, {"functions": [[number, "f", 0, 0]]})
    assert [maps.find(bytes((number,)) * 32) is not None for number in range(5)] == [False, False, True, True, True]
    assert len(list(cache.iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_no_mistake(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    maps.keep(bytes(32), {})
    assert maps.find(bytes(32)) is None


@pytest.mark.parametrize("found", [True, False])
def test_monitor_finds_the_map_by_the_hash(tmp_path: Path, cache: Path, found: bool) -> None:
    (tmp_path / "divides.wat").write_text(DIVIDES, encoding="utf-8")
    link = str(tmp_path / "board")
    emulate = [sys.executable, "-m", "mcutool", "emulate", NAME, "--link", link]
    with subprocess.Popen(emulate, cwd=ROOT, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {link}\n".encode()
        assert main(["flash", str(tmp_path / "divides.wat"), "--board", NAME, "--port", link]) == 0
        if not found:
            next(cache.iterdir()).write_text("damaged", encoding="utf-8")
        words = ["monitor", "--port", link, "--reset", "--until", r"\[trap", "--timeout", "30"]
        monitor = [sys.executable, "-m", "mcutool", *words]
        done = subprocess.run(monitor, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        emulator.terminate()
    assert done.returncode == 0, done.stderr
    assert "trap: integer divide by zero\n  in " in done.stderr
    assert ("in divide (at byte offset 0x" in done.stderr) == found
    assert ("in function[0]" in done.stderr) != found
