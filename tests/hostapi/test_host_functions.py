"""The table of host functions against wasmtime's WASI, and host.c on the PC under the sanitizers.

This file refuses to know what a function does: host_test.c asks that, on a guest memory and a platform of its own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from wasmtime import Engine, Linker, Module, Store, WasiConfig, wat2wasm

from mcutool import hostapi

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware_runtime"


def _wat_type(types: tuple[str, ...], word: str) -> str:
    return f"({word} {' '.join(types)})" if types else ""


def test_wasi_rows_have_the_types_of_preview_1() -> None:
    rows = [f for f in hostapi.HOST_FUNCTIONS if f.module == hostapi.WASI]
    imports = "".join(
        f'(import "{f.module}" "{f.name}" (func {_wat_type(f.parameters, "param")} {_wat_type(f.results, "result")}))'
        for f in rows
    )
    engine = Engine()
    store, linker = Store(engine), Linker(engine)
    store.set_wasi(WasiConfig())
    linker.define_wasi()
    linker.instantiate(store, Module(engine, wat2wasm(f'(module {imports} (memory (export "memory") 1))')))
    assert len(rows) == 46


def test_numbers_never_change() -> None:
    """A module in flash names functions by number: a row may be appended, and then stands here too."""
    numbers = {f"{f.module}.{f.name}": f.number for f in hostapi.HOST_FUNCTIONS}
    assert numbers["wasi_snapshot_preview1.args_get"] == 0
    assert numbers["wasi_snapshot_preview1.sock_shutdown"] == 45
    assert (numbers["mcu.gpio_mode"], numbers["mcu.uart_write"]) == (46, 52)
    assert (numbers["env.abort"], numbers["env.seed"]) == (53, 56)
    assert numbers["mcu.confirm"] == 57


def test_names_are_unique() -> None:
    assert len(hostapi.BY_NAME) == len(hostapi.HOST_FUNCTIONS)


def test_what_a_board_lacks() -> None:
    used = [hostapi.BY_NAME[hostapi.WASI, name] for name in ("fd_write", "random_get", "path_open", "proc_exit")]
    assert [f.name for f in hostapi.unavailable(used, {"console", "clock"})] == ["random_get", "path_open"]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_host_functions_on_the_pc(tmp_path: Path, compiler: str) -> None:
    program = tmp_path / "host_test"
    flags = ["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    sources = [Path(__file__).with_name("host_test.c"), FIRMWARE / "host.c"]
    subprocess.run([compiler, *flags, f"-I{FIRMWARE}", *sources, "-o", program], check=True)
    result = subprocess.run([program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
