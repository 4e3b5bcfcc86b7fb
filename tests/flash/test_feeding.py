"""Program input over a line that loses every third reply: nothing is lost or doubled, and nobody waits for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import mcutool
from mcutool.board import Board
from mcutool.emulator.link import EmulatedLink
from mcutool.errors import NoAnswer
from mcutool.feeding import Feeder, WholeInput
from mcutool.flash.protocols import smp
from mcutool.flash.smp_client import SmpClient
from mcutool.image.format import parse
from mcutool.pipeline import build_image
from mcutool.run import Call, Task, entry_of, preparations
from mcutool.wasm.text import assemble

DATA = bytes(random.Random(7).choices(b"abcdefghijklmnopqrstuvwxyz\n", k=2000))
EVERY = 3

ECHO = assemble("""
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 32))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br_if $again (i32.load (i32.const 8))))))
""")


class Loss:
    """Spoils every third reply that a board sends: the first character behind its mark."""

    def __init__(self) -> None:
        self.replies = 0
        self._last = b""

    def __call__(self, byte: bytes) -> bytes:
        last, self._last = self._last, (self._last + byte)[-2:]
        self.replies += self._last == smp.FIRST
        return b"!" if last == smp.FIRST and self.replies % EVERY == 0 else byte


class Lossy:
    """A board with a client at the other end of such a line; `text` is what the program has printed."""

    def __init__(self, board: Board) -> None:
        assert isinstance(board.link, EmulatedLink)
        self.text = bytearray()
        self.line = board.link
        self.line.lossless = False  # as a real line
        self.line._machine.uart.outwards = Loss()
        self.client = SmpClient(self.line, on_text=self.text.extend)


@pytest.fixture
def board() -> Iterator[Board]:
    with mcutool.open_board("stm32f405") as opened:
        opened.install(ECHO)
        opened.expect(b"bytes for modules\r\n")
        yield opened


def test_a_running_program_gets_its_input_once(board: Board) -> None:
    lossy = Lossy(board)
    feeder = Feeder(lossy.client, WholeInput(DATA))
    while b"[exit 0]" not in lossy.text:
        assert lossy.line.now() < 600
        feeder.step()
        lossy.client.receive(0.05)
    assert lossy.client.retries > 5
    assert lossy.text == DATA + b"\r\n[exit 0]\r\n"


def test_input_before_a_call_is_given_once(board: Board) -> None:
    """More than its ring holds: the rest comes when the program reads."""
    lossy = Lossy(board)
    lossy.client.write(smp.RUNTIME, smp.RUNTIME_START)
    lossy.text.clear()
    feeder = Feeder(lossy.client, WholeInput(DATA))
    feeder.fill()
    assert lossy.client.retries > 0
    image, task = parse(build_image(ECHO, board.description).image), Task()
    function, _, _ = entry_of(image, task)
    for number in (*preparations(image, task), function):
        Call(lossy.client, number, b"", ()).reply(feeder, 600)
    assert lossy.text == DATA


def test_a_board_that_is_gone_is_noticed(board: Board) -> None:
    assert isinstance(board.link, EmulatedLink)
    board.link._machine.uart.outwards = lambda data: b""
    with pytest.raises(NoAnswer):
        Feeder(board.client, WholeInput(DATA)).fill()
