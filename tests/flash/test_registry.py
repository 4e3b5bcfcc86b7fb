"""The table of protocols: every loader of every board has a row and a driver, and packages can add rows."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mcutool import devices
from mcutool.errors import Unsupported
from mcutool.flash import registry

PROTOCOLS = sorted({loader.protocol for board in devices.boards() for loader in board.loaders})
PAGES = Path(registry.__file__).parent / "protocols"
METHODS = {"sectors": ("connect", "holds", "erase", "write", "start"), "files": ("install",)}


def test_every_row_is_used_by_a_board() -> None:
    assert sorted(row.name for row in registry.ROWS) == PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_has_a_driver_with_the_methods_of_its_grain(name: str) -> None:
    row, driver = registry.row(name), registry.driver(name)
    assert row.medium in ("port", "drive") and row.verified and row.sentence
    assert all(callable(getattr(driver, method)) for method in METHODS[row.grain])


@pytest.mark.parametrize("page", ["AN3155", "SAM_BA", "SMP", "STELLARIS", "DRIVES"])
def test_a_protocol_has_a_page(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert text.startswith("# ") and "## Sources" in text and len(text) > 1500


def test_a_package_adds_a_protocol(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "their_package.py").write_text(
        "from mcutool.flash.registry import Row\n"
        'ROW = Row("theirs", "port", "sectors", "their_package:Driver", "by CRC", "a protocol of theirs")\n'
        "class Driver: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    theirs = EntryPoint("theirs", "their_package:ROW", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [theirs])
    registry.row.cache_clear()
    assert registry.row("theirs").sentence == "a protocol of theirs"
    assert registry.driver("theirs").__name__ == "Driver"
    registry.row.cache_clear()


def test_a_package_that_cannot_be_loaded_disturbs_who_wants_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = EntryPoint("theirs", "no_such_package:ROW", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [theirs])
    registry.row.cache_clear()
    assert registry.row("an3155").name == "an3155"
    with pytest.raises(Unsupported, match="no_such_package:ROW for the protocol 'theirs' cannot be loaded"):
        registry.row("theirs")


def test_a_protocol_that_nobody_speaks_is_named_with_those_that_are() -> None:
    with pytest.raises(Unsupported, match="no protocol 'nosuch'") as error:
        registry.row("nosuch")
    assert "an3155" in error.value.next_action
