"""`mcutool run` on an emulated board: results, output, limits, and the object that scripts read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $inner (param i32) (loop $forever (br_if $forever (local.get 0))))
  (func (export "loop") (call $inner (i32.const 1)))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "echo") (param f32 f64 i64) (result f32 f64 i64) (local.get 0) (local.get 1) (local.get 2))
  (func (export "leave") (call $exit (i32.const 42)))
  (func (export "counts") (result i32 i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $environ (i32.const 8) (i32.const 12)))
    (i32.load (i32.const 0)) (i32.load (i32.const 8)))
  (func (export "_start")  ;; copies its input
    (loop $again
      (i32.store (i32.const 0) (i32.const 100))
      (i32.store (i32.const 4) (i32.const 1000))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br_if $again (i32.load (i32.const 8))))
    (call $exit (i32.const 3))))"""

FIELDS = ["board", "results", "exit_status", "trap", "error", "instructions", "cycles", "flash_bytes", "ram_bytes"]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "module.wat"
    path.write_text(MODULE, encoding="utf-8")
    return path


def run(module: Path, *words: str, data: bytes = b"") -> tuple[int, bytes, dict[str, Any]]:
    """Exit code, the program's output, and the object on the last line."""
    command = [sys.executable, "-m", "mcutool", "run", "--json", str(module), *words]
    done = subprocess.run(command, input=data, capture_output=True, cwd=ROOT)
    output, _, last = done.stdout.removesuffix(b"\n").rpartition(b"\n")
    assert done.stderr == b"" or done.returncode, done.stderr
    return done.returncode, output, json.loads(last)


def test_the_object_has_the_fields_of_the_contract_in_their_order(module: Path) -> None:
    code, output, said = run(module, "--invoke", "divide", "-7", "0x2")
    assert (code, output) == (0, b"")
    assert list(said) == FIELDS
    assert said["board"] == "mps2-an386" and said["results"] == [-3]
    assert said["exit_status"] is said["trap"] is said["error"] is None
    assert 0 < said["instructions"] <= said["cycles"]
    assert list(said["flash_bytes"]) == ["image", "code", "data"]
    assert list(said["ram_bytes"]) == ["linear_memory", "stack", "other"]


@pytest.mark.parametrize(
    ("arguments", "results"),
    [
        (("0.1", "-1e300", "-1"), [0.1, -1e300, -1]),
        (("-inf", "inf", "-0x8000000000000000"), ["-inf", "inf", -(2**63)]),
        (("nan", "-nan:0x1", "0xffffffffffffffff"), ["nan:0x400000", "-nan:0x1", -1]),
    ],
)
def test_values_come_back_as_they_went(module: Path, arguments: tuple[str, ...], results: list[Any]) -> None:
    assert run(module, "--invoke", "echo", *arguments)[2]["results"] == results


def test_a_program_copies_its_input_and_gives_its_status(module: Path) -> None:
    data = b"".join(b"line %d\n" % number for number in range(400))
    code, output, said = run(module, data=data)
    assert code == 3 and output + b"\n" == data
    assert said["exit_status"] == 3 and said["results"] == []


def test_an_object_has_a_line_of_its_own(module: Path) -> None:
    assert run(module, data=b"no newline")[1] == b"no newline"


def test_a_call_that_exits_ends_the_command_with_the_status(module: Path) -> None:
    code, _, said = run(module, "--invoke", "leave")
    assert code == 42 and said["exit_status"] is None and said["trap"] is None


def test_a_trap_is_named_and_placed(module: Path) -> None:
    code, _, said = run(module, "--invoke", "divide", "1", "0")
    assert code == 134 and said["error"] is None and said["results"] == []
    trap = said["trap"]
    assert list(trap) == ["kind", "function", "wasm_offset", "source", "backtrace"]
    assert trap["kind"] == "divide_by_zero" and trap["function"] == "divide"
    assert trap["backtrace"] == [{"function": "divide", "wasm_offset": trap["wasm_offset"], "source": None}]


@pytest.mark.parametrize("limit", [("--fuel", "200000"), ("--timeout", "0.02")], ids=" ".join)
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an385", "mps2-m0"])
def test_a_loop_is_stopped_with_a_backtrace(module: Path, board: str, limit: tuple[str, str]) -> None:
    code, _, said = run(module, "--board", board, "--invoke", "loop", *limit)
    assert code == 124 and said["error"]["class"] == "timeout"
    assert said["trap"]["kind"] == "stopped"
    assert [frame["function"] for frame in said["trap"]["backtrace"]] == ["inner", "loop"]
    assert run(module, "--board", board, "--invoke", "loop", *limit)[2] == said  # to the instruction


def test_fuel_that_is_used_up_before_the_loop_begins_ends_the_run_too(module: Path) -> None:
    code, _, said = run(module, "--invoke", "loop", "--fuel", "10")
    assert code == 124 and said["error"]["class"] == "timeout"


def test_arguments_and_environment_arrive(module: Path) -> None:
    words = ("--invoke", "counts", "--env", "A=1", "--env", "B=2", "--", "--json", "-5")
    assert run(module, *words)[2]["results"] == [3, 2]


def test_counts_are_the_same_in_every_run(module: Path) -> None:
    assert run(module, data=b"x" * 3000) == run(module, data=b"x" * 3000)


def test_an_error_has_all_fields_too(module: Path) -> None:
    code, _, said = run(module, "--invoke", "nosuch")
    assert code == 2 and list(said) == FIELDS
    assert said["error"]["class"] == "usage" and "nosuch" in said["error"]["message"]


def test_an_image_runs_as_its_module_does(module: Path, tmp_path: Path) -> None:
    image = tmp_path / "module.mcu"
    built = subprocess.run(
        [sys.executable, "-m", "mcutool", "build", str(module), "-o", str(image), "--json"],
        capture_output=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert json.loads(built.stdout)["flash_bytes"]["image"] == image.stat().st_size
    assert run(image, "--invoke", "divide", "1", "0")[2] == run(module, "--invoke", "divide", "1", "0")[2]
