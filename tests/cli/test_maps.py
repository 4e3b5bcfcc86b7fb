"""A board tells the hash of its image; the map that belongs to it is found on the computer that installed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcutool import maps
from mcutool.cli import main
from mcutool.image.format import contain, digest_of

ROOT = Path(__file__).resolve().parents[2]
DIVIDES = """(module (import "mcu" "sleep_ms" (func $sleep (param i32)))
  (func $divide (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "_start") (call $sleep (i32.const 3000)) (drop (call $divide (i32.const 0)))))"""
"""It traps when `flash` has long seen it start well."""
NAME = "mps2-an386"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mcutool" / "maps"


def test_the_newest_maps_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "KEPT", 3)
    images = [contain(bytes((number,))) for number in range(5)]
    for image in images:
        maps.keep(image, {"functions": [[0, "f", 0, 0]]})
    assert [maps.find(digest_of(image)) is not None for image in images] == [False, False, True, True, True]
    assert len(list(cache.iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_no_mistake(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    image = contain(b"")
    maps.keep(image, {})
    assert maps.find(digest_of(image)) is None


@pytest.mark.parametrize("found", [True, False])
def test_monitor_finds_the_map_by_the_hash(tmp_path: Path, cache: Path, found: bool) -> None:
    (tmp_path / "divides.wat").write_text(DIVIDES, encoding="utf-8")
    link = str(tmp_path / "board")
    emulate = [sys.executable, "-m", "mcutool", "emulate", NAME, "--link", link]
    with subprocess.Popen(emulate, cwd=ROOT, stdout=subprocess.PIPE) as emulator:
        try:
            assert emulator.stdout is not None and emulator.stdout.readline() == f"ready: {link}\n".encode()
            assert main(["flash", str(tmp_path / "divides.wat"), "--board", NAME, "--port", link]) == 0
            if not found:
                next(cache.iterdir()).write_text("damaged", encoding="utf-8")
            words = ["monitor", "--port", link, "--reset", "--until", r"\[trap", "--timeout", "30"]
            monitor = [sys.executable, "-m", "mcutool", *words]
            done = subprocess.run(monitor, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        finally:
            emulator.terminate()
    assert done.returncode == 0, done.stderr
    assert "trap: integer divide by zero\n  in " in done.stderr
    assert ("in divide (at byte offset 0x" in done.stderr) == found
    assert ("in function[1]" in done.stderr) != found
