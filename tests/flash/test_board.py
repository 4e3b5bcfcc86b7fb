"""The Python API on an emulated board: build, install, call, talk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import NoisyLink

import mcutool
from mcutool.board import Board
from mcutool.errors import FuelExhausted, Trapped, UsageError
from mcutool.wasm.text import assemble

EXAMPLES = Path(__file__).parents[2] / "examples"

CALCULATOR = assemble("""
(module
  (global $calls (mut i32) (i32.const 0))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "mean") (param f32 f64) (result f64)
    (f64.div (f64.add (f64.promote_f32 (local.get 0)) (local.get 1)) (f64.const 2)))
  (func (export "wide") (param i64) (result i64) (i64.mul (local.get 0) (i64.const -3)))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
  (func $divide (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "forever") (loop (br 0))))
""")


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    with mcutool.open_board("stm32f405") as opened:
        opened.install(CALCULATOR)
        yield opened


@pytest.mark.parametrize(
    ("name", "arguments", "results"),
    [
        ("add", (2, -5), [-3]),
        ("add", (0xFFFFFFFF, 1), [0]),
        ("mean", (1.5, 2.5), [2.0]),
        ("wide", (1 << 40,), [-3 << 40]),
    ],
)
def test_calls_take_and_give_python_values(board: Board, name: str, arguments: tuple, results: list) -> None:
    assert board.call(name, *arguments) == results


def test_what_a_call_leaves_stays_until_a_reset(board: Board) -> None:
    first = board.call("count")[0]
    assert board.call("count") == [first + 1]
    board.reset()
    assert board.call("count") == [1]


def test_a_trap_is_raised_with_its_place(board: Board) -> None:
    with pytest.raises(Trapped, match=r"integer divide by zero\n  in divide \(at byte offset 0x"):
        board.call("divide", 1, 0)
    assert board.call("divide", 6, 3) == [2]


@pytest.mark.parametrize(("name", "arguments"), [("subtract", ()), ("add", (1,)), ("add", (1, 2.5))])
def test_a_wrong_call_is_refused_on_the_pc(board: Board, name: str, arguments: tuple) -> None:
    with pytest.raises(UsageError):
        board.call(name, *arguments)


def test_a_call_that_does_not_end_is_stopped() -> None:
    with mcutool.open_board("stm32f405") as board:
        board.install(CALCULATOR)
        with pytest.raises(FuelExhausted, match=r"stopped after 0.5 seconds"):
            board.call("forever", timeout=0.5)
        assert board.call("add", 2, 3) == [5]


def test_a_program_runs_when_it_is_installed() -> None:
    with mcutool.open_board("stm32f405") as board:
        board.install(EXAMPLES / "sha256.wasm")
        match = board.expect(re.compile(rb'"abc": ([0-9a-f]{64})'))
        assert match[1].startswith(b"ba7816bf8f01cfea")
        board.expect(b"[exit 0]")
        board.reset()
        board.expect(b"[exit 0]")  # it starts again by itself


def test_input_reaches_the_program() -> None:
    echo = assemble("""
    (module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\20\\00\\00\\00\\40\\00\\00\\00")
      (func (export "_start")
        (loop $again
          (i32.store (i32.const 4) (i32.const 64))
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (i32.store (i32.const 4) (i32.load (i32.const 8)))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (br $again))))
    """)
    with mcutool.open_board("stm32f405") as board:
        board.install(echo)
        text = bytes(range(256)).replace(b"\x06\x09", b"").replace(b"\x04\x14", b"") * 4
        board.write(text)
        board.expect(text)


def test_calls_on_a_noisy_line_happen_once_each(board: Board) -> None:
    noisy = NoisyLink(board.link, 1e-3, seed=5)
    board.client.link = noisy
    board.reset()
    assert [board.call("count")[0] for _ in range(150)] == list(range(1, 151))
    assert board.client.retries > 3
    board.client.link = board.link
