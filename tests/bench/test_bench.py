"""Both roads of every benchmark compute the same, and what wasmtime computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from wasmtime import Engine, Instance, Module, Store

from tests.bench import measure


def _on_wasmtime(wasm: Path, argument: int) -> int:
    store = Store(Engine())
    run = Instance(store, Module.from_file(store.engine, str(wasm)), []).exports(store)["run"]
    return run(store, argument) & 0xFFFFFFFF  # type: ignore[operator]


@pytest.mark.parametrize("name", measure.PROGRAMS)
def test_roads_agree(name: str, tmp_path: Path) -> None:
    comparison = measure.compare(name, tmp_path)
    expected = _on_wasmtime(tmp_path / f"{name}.wasm", measure.PROGRAMS[name])
    assert comparison.native.checksum == comparison.bytecode.checksum == expected
    assert 1 < comparison.slowdown < 30  # a budget: whoever lowers the figures may lower this
