"""The helper in C is built on demand, never outdated, and can be missing."""

from __future__ import annotations

import subprocess
import sys

from mcutool.emulator import helper


def test_it_is_built_and_loaded(tmp_path):
    target = tmp_path / helper.LIBRARY.name
    assert helper.build(target)
    assert target.exists() and list(tmp_path.iterdir()) == [target]


def test_no_compiler_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    assert not helper.build(tmp_path / "library.so")
    assert list(tmp_path.iterdir()) == []


def test_everything_works_without_it_and_says_so():
    code = "from mcutool.emulator import helper; assert helper.library() is None; print(helper.note())"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={"MCUTOOL_HELPER": "none", "PYTHONPATH": "."}, capture_output=True, text=True
    )
    assert "slower, same counts" in ran.stdout, ran.stderr
