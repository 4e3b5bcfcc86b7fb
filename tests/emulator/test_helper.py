"""The helper in C is built on demand, never outdated, and can be missing."""

from __future__ import annotations

from mcutool.emulator import helper
from mcutool.emulator.counter import make_counter
from mcutool.emulator.engine import Engine


def test_it_is_built_and_loaded(tmp_path):
    target = tmp_path / helper.LIBRARY.name
    assert helper.build(target)
    assert target.exists() and list(tmp_path.iterdir()) == [target]


def test_no_compiler_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    assert not helper.build(tmp_path / "library.so")
    assert list(tmp_path.iterdir()) == []


def test_doing_without_is_possible_and_said(monkeypatch, caplog):
    monkeypatch.setattr(helper, "library", lambda: None)
    make_counter(Engine("cortex-m3"), [], 0)
    assert "slower, with the same result" in caplog.text
