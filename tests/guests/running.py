"""A guest program on wasmtime, the oracle, and on an emulated board through the command line, as a person runs it.

This file refuses to know which programs there are and what they print.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wasmtime import Config, Engine, ExitTrap, Func, FuncType, Linker, Module, Store, ValType, WasiConfig

ROOT = Path(__file__).resolve().parents[2]
EMULATED_SECONDS = "60"


@dataclass(frozen=True)
class Outcome:
    """What a program printed, the status it ended with and the results of the function that was called."""

    output: str
    status: int | None
    results: tuple[Any, ...] = ()


def on_wasmtime(wasm: Path, function: str = "", arguments: tuple[Any, ...] = ()) -> Outcome:
    """Run a WASI program, or call one of its exports."""
    engine = Engine(Config())
    store, linker = Store(engine), Linker(engine)
    linker.define_wasi()
    with tempfile.NamedTemporaryFile() as output:
        wasi = WasiConfig()
        wasi.stdout_file = output.name
        store.set_wasi(wasi)
        written: list[str] = []
        _define_mcu(linker, store, written)
        instance = linker.instantiate(store, Module.from_file(engine, str(wasm)))
        entry = instance.exports(store)[function or "_start"]
        status, results = 0, None
        try:
            results = entry(store, *arguments)  # type: ignore[operator]
        except ExitTrap as end:
            status = end.code
        text = Path(output.name).read_text() + "".join(written)
    return Outcome(text, None if function else status, () if results is None else (results,))


def _define_mcu(linker: Linker, store: Store, written: list[str]) -> None:
    """The module `mcu` as far as the examples use it; only what goes to the UART is kept."""
    i32 = ValType.i32()

    def uart_write(caller: Any, address: int, size: int) -> int:
        written.append(caller["memory"].read(caller, address, address + size).decode())
        return 0

    functions: dict[str, tuple[FuncType, Any, bool]] = {
        "led_set": (FuncType([i32], [i32]), lambda on: 0, False),
        "sleep_ms": (FuncType([i32], []), lambda milliseconds: None, False),
        "uart_write": (FuncType([i32, i32], [i32]), uart_write, True),
    }
    for name, (type, function, with_caller) in functions.items():
        linker.define(store, "mcu", name, Func(store, type, function, access_caller=with_caller))


def on_board(wasm: Path, board: str, *options: str, invoke: tuple[str, ...] = (), seconds: float = 120) -> Outcome:
    """Run a program with `mcutool run` on an emulated board; fails the test when the tool reports an error."""
    completed, record = run(wasm, board, *options, invoke=invoke, seconds=seconds)
    assert record is not None, completed.stderr
    assert record["error"] is None and record["trap"] is None, (record["error"], record["trap"], completed.stderr)
    output = completed.stdout[: completed.stdout.rindex("\n{") + 1] if "\n{" in completed.stdout else ""
    return Outcome(output, record["exit_status"], tuple(record["results"]))


def run(
    wasm: Path, board: str, *options: str, invoke: tuple[str, ...] = (), seconds: float = 120
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
    """`mcutool run --json`: the finished process and the record on the last line of its output, None without one."""
    call = ["--invoke", *invoke] if invoke else []
    completed = _mcutool_run("--json", "--board", board, *options, str(wasm), *call, seconds=seconds)
    last = completed.stdout.rstrip("\n").rpartition("\n")[2]
    return completed, json.loads(last) if last.startswith("{") else None


def as_a_person(wasm: Path, board: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """`mcutool run` with its messages in words."""
    return _mcutool_run("--board", board, str(wasm), seconds=seconds)


def _mcutool_run(*words: str, seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcutool", "run", "--timeout", EMULATED_SECONDS, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT)
