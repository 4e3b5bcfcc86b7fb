"""What a command line of the table in mistakes.py finds: the files that it names, and what its ports lead to.

This file decides how each of them is made, by the name that the table calls it. It refuses to know what a command says
about it. Boards are emulated in this process, at the other end of a cable that can be pulled; ports that the operating
system has an opinion about are pseudo-terminals.
"""

from __future__ import annotations

import os
import pty
import random
import struct
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import wasmtime
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mcutool import devices
from mcutool.emulator.machine import Machine, Reason
from mcutool.emulator.serve import ServedBoard
from mcutool.errors import Disconnected
from mcutool.flash.protocols import smp
from mcutool.image.containers import UF2_BLOCK, UF2_MAGIC, UF2_SIZE
from mcutool.image.format import FORMAT_VERSION, NONE, Image, contain
from mcutool.isa import ISA_VERSION
from mcutool.pipeline import build_image
from tests.firmware.keyed import OURS, THEIRS, signed

ROOT = Path(__file__).resolve().parents[2]
BOARD = devices.board("stm32f405")
HEAD = b"\0asm\x01\0\0\0"
KIB = 1024

# --- files ------------------------------------------------------------------------------------------------------------


def wasm(text: str) -> bytes:
    """A module in text format, assembled but not validated."""
    return bytes(wasmtime.wat2wasm(text))


def leb(number: int) -> bytes:
    """An unsigned LEB128 number."""
    return bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80,)) + leb(number >> 7)


def function(body: bytes, kind: bytes = b"\x60\0\0") -> bytes:
    """A module of one function `f` with these locals and instructions."""
    sections = {1: b"\1" + kind, 3: b"\1\0", 7: b"\1\1f\0\0", 10: b"\1" + leb(len(body)) + body}
    return HEAD + b"".join(bytes((number,)) + leb(len(data)) + data for number, data in sections.items())


def many_locals(count: int) -> bytes:
    """A module of `count` functions of 50000 locals each."""
    body = b"\x01" + leb(50_000) + b"\x7f\x0b"
    sections = {1: b"\1\x60\0\0", 3: leb(count) + b"\0" * count, 10: leb(count) + (leb(len(body)) + body) * count}
    return HEAD + b"".join(bytes((number,)) + leb(len(data)) + data for number, data in sections.items())


def custom(name: bytes, contents: bytes) -> bytes:
    """A custom section."""
    data = leb(len(name)) + name + contents
    return b"\0" + leb(len(data)) + data


def uf2(address: int, family: int) -> bytes:
    """One block of 256 bytes."""
    block = UF2_BLOCK.pack(*UF2_MAGIC, 0x2000, address, 256, 0, 1, family)
    return block + bytes(UF2_SIZE - len(block) - 4) + struct.pack("<I", 0x0AB16F30)


def elf(machine: int, address: int = BOARD.chip.flash.base, size: int = 256) -> bytes:
    """A little-endian ELF file of 32 bits with one segment, for a processor by its number in the standard."""
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, address, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    return head + struct.pack("<8I", 1, 84, address, address, size, size, 5, 4) + bytes(size)


def image(**header: int) -> bytes:
    """An image with something unusual in its header."""
    return Image(**{"isa": ISA_VERSION, "stack_slots": 64, "ram": 1024} | header).build()


@cache
def built(text: str) -> bytes:
    return build_image(wasm(text), devices.board("mps2-an386")).image


def of_another_format() -> bytes:
    plain = image()
    payload = bytearray(plain[32:-40])
    payload[4:6] = (FORMAT_VERSION + 1).to_bytes(2, "little")
    return contain(bytes(payload))


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


def saying(text: str, then: str = "") -> str:
    """A program that prints a line, then does what some instructions say."""
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\08\\00\\00\\00\\{len(text) + 1:02x}\\00\\00\\00{text}\\0a")
      (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))) {then}))"""


ADD = """(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "float") (param f32 f64)) (func (export "trap") unreachable))"""
EXIT = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 3))))"""
DATA = f'(data (i32.const 0) "{"x" * 60_000}")'
FOR_EVER = "(loop (br 0))"
NESTED = 100_000
OLD, NEW = "the old program", "the new program"

FILES: dict[str, Callable[[], bytes]] = {
    # sound
    "hello.wasm": lambda: wasm(saying(NEW)),
    "hello.mcu": lambda: built(saying(NEW)),
    "add.wasm": lambda: wasm(ADD),
    "add.wat": lambda: ADD.encode(),
    "add.mcu": lambda: built(ADD),
    "exit.wasm": lambda: wasm(EXIT),
    "loop.wasm": lambda: wasm('(module (func (export "_start") (loop (br 0))))'),
    "recursive.wasm": lambda: wasm('(module (func $f (export "_start") (call $f)))'),
    "divide.wasm": lambda: wasm('(module (func (export "_start") (drop (i32.div_s (i32.const 1) (i32.const 0)))))'),
    "beyond.wasm": lambda: wasm('(module (memory 1) (func (export "_start") (drop (i32.load (i32.const 65536)))))'),
    "small.wasm": lambda: wasm('(module (func (export "_start")))'),
    "raw.bin": lambda: bytes(range(256)),
    # keys and signatures
    "release.pem": lambda: OURS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "release.pub.pem": lambda: OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "signed.mcu": lambda: signed(built(ADD), key=THEIRS),
    "wrong.sig": lambda: bytes(64),
    # not WebAssembly
    "empty.wasm": lambda: b"",
    "empty.wat": lambda: b"",
    "empty.mcu": lambda: b"",
    "empty.hex": lambda: b"",
    "notes.wasm": lambda: b"buy milk\n",
    "text.wasm": lambda: ADD.encode(),
    "program.wasm": lambda: elf(62),
    "component.wasm": lambda: b"\0asm\x0d\0\1\0",
    "version2.wasm": lambda: b"\0asm\2\0\0\0",
    # malformed or invalid
    "cut.wasm": lambda: wasm(ADD)[:40],
    "long_number.wasm": lambda: HEAD + b"\x01\x80\x80\x80\x80\x80\x80\0",
    "section_order.wasm": lambda: HEAD + b"\x03\x01\0\x01\x01\0",
    "ill_typed.wasm": lambda: wasm("(module (func (result i32)))"),
    "two_memories_exported.wasm": lambda: wasm('(module (memory 1) (export "m" (memory 0)) (export "m" (memory 0)))'),
    "misspelt.wat": lambda: b"(module\n  (func\n    i32.ad))\n",
    "latin1.wat": lambda: b";; caf\xe9\n(module)",
    # valid, but not for us
    "simd.wasm": lambda: wasm("(module (func (drop (v128.const i64x2 0 0))))"),
    "memory64.wasm": lambda: wasm("(module (memory i64 1))"),
    "gc.wasm": lambda: wasm("(module (type (struct (field i32))))"),
    "shared.wasm": lambda: wasm("(module (memory 1 1 shared))"),
    "atomic.wasm": lambda: wasm("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))"),
    "import_module.wasm": lambda: wasm('(module (import "env" "log" (func)))'),
    "import_name.wasm": lambda: wasm('(module (import "wasi_snapshot_preview1" "sock_bind" (func)))'),
    "import_type.wasm": lambda: wasm('(module (import "wasi_snapshot_preview1" "fd_write" (func (param f32))))'),
    "import_memory.wasm": lambda: wasm('(module (import "env" "memory" (memory 1)))'),
    "many_results.wasm": lambda: function(b"\0" + b"\x41\0" * 300 + b"\x0b", b"\x60\0" + leb(300) + b"\x7f" * 300),
    # too large
    "memory_4g.wasm": lambda: wasm("(module (memory 65536))"),
    "memory_1m.wasm": lambda: wasm('(module (memory 16) (func (export "_start")))'),
    "table_4g.wasm": lambda: wasm("(module (table 4000000000 funcref))"),
    "data.wasm": lambda: wasm(f'(module (memory 1) {" ".join([DATA] * 20)})'),
    "memory_1m.mcu": lambda: built('(module (memory 16) (func (export "_start")))'),
    # hostile
    "locals_4g.wasm": lambda: function(b"\x01\xff\xff\xff\xff\x0f\x7f\x0b"),
    "count_4g.wasm": lambda: HEAD + b"\x01\x06\xff\xff\xff\xff\x0f\x60",
    "locals_of_many.wasm": lambda: many_locals(20),
    "slow.wasm": lambda: many_locals(1000),
    "nested.wasm": lambda: function(b"\0" + b"\x02\x40" * NESTED + b"\x0b" * (NESTED + 1)),
    "nested_ifs.wasm": lambda: function(b"\0" + b"\x41\0\x04\x40" * 1000 + b"\x00" + b"\x0b" * 1001),
    "nested.wat": lambda: b"(module (func " + b"(block " * 10_000 + b")" * 10_000 + b"))",
    "escape_import.wasm": lambda: wasm('(module (import "env" "\\1b[2J" (func)))'),
    "escape_export.wasm": lambda: wasm('(module (func (export "\\1b[2J")))'),
    "escape_name.wasm": lambda: wasm('(module (func $"\\1b[2J" (export "_start") unreachable))'),
    "bad_names.wasm": lambda: wasm(ADD) + custom(b"name", b"\x01\xff\xff\xff\xff\x0f"),
    "bad_dwarf.wasm": lambda: wasm(ADD)
    + b"".join(custom(name, b"\xff\x03" * 40) for name in (b".debug_info", b".debug_abbrev", b".debug_line")),
    # images
    "cut.mcu": lambda: built(ADD)[:100],
    "flipped.mcu": lambda: flipped(built(ADD), 200),
    "tampered.mcu": lambda: image(functions=[dict(code=9, signature=0, module=NONE)]),
    "newer.mcu": lambda: image(isa=ISA_VERSION + 1),
    "newer_format.mcu": of_another_format,
    "newer_feature.mcu": lambda: image(features=1 << 31),
    # raw files
    "checksum.hex": lambda: b":0400000001020304F3\n:00000001FF\n",
    "no_end.hex": lambda: b":0100000000FF\n",
    "letters.hex": lambda: b":zz\n",
    "pc.elf": lambda: elf(62),
    "cut.elf": lambda: elf(40)[:200],
    "no_segments.elf": lambda: elf(40)[:44] + bytes(2) + elf(40)[46:],
    "rp2040.uf2": lambda: uf2(0x10000000, 0xE48BFF56),
    "cut.uf2": lambda: uf2(BOARD.chip.flash.base, 0)[:300],
    "huge.bin": lambda: bytes(2 * KIB * KIB),
    # scripts
    "fails.wast": lambda: b'(module (func (export "f") (result i32) (i32.const 1)))\n'
    b'(assert_return (invoke "f") (i32.const 2))\n',
    "malformed.wast": lambda: b"(module\n",
    "latin1.wast": lambda: b"(module)\n;; caf\xe9\n",
}

MAPS = {"lost_map.mcu": b"{", "list_map.mcu": b"[]", "wrong_map.mcu": b'{"functions": 5, "positions": [[]]}'}
"""Images of `add` whose map files hold this."""


def make_files(words: list[str], folder: Path) -> None:
    """Everything that the words name, in the folder."""
    for word in words:
        if word in FILES:
            (folder / word).write_bytes(FILES[word]())
        if word in MAPS:
            (folder / word).write_bytes(built(ADD))
            (folder / word).with_suffix(".map.json").write_bytes(MAPS[word])
        if word.startswith("folder"):
            (folder / word).mkdir()
        if word.startswith("circle"):
            (folder / word).symlink_to(word)


# --- ports that the operating system knows ----------------------------------------------------------------------------


@contextmanager
def terminal(link: Path) -> Iterator[int]:
    """A pseudo-terminal, found under `link`; gives the board's end, which says nothing by itself."""
    board, line = pty.openpty()
    tty.setraw(line)
    link.symlink_to(os.ttyname(line))
    try:
        yield board
    finally:
        os.close(board)
        os.close(line)


@contextmanager
def busy(link: Path) -> Iterator[None]:
    """A port that another process holds as every serial program does."""
    script = "import fcntl, sys; p = open(sys.argv[1]); fcntl.flock(p, fcntl.LOCK_EX); print(flush=True); input()"
    with terminal(link):
        command = [sys.executable, "-c", script, str(link)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None and holder.stdin is not None
            holder.stdout.readline()
            yield
            holder.stdin.write(b"\n")
            holder.stdin.close()


@contextmanager
def forbidden(link: Path) -> Iterator[None]:
    """A port of root's group; whoever runs the tests is nobody for a while."""
    nobody = 65534
    link.parent.chmod(0o755)
    with terminal(link), ExitStack() as stack:
        link.chmod(0)
        if os.geteuid() == 0:
            stack.callback(os.seteuid, 0)
            os.seteuid(nobody)
        yield


@contextmanager
def plain_file(link: Path) -> Iterator[None]:
    link.write_bytes(b"")
    yield


@contextmanager
def folder(link: Path) -> Iterator[None]:
    link.mkdir()
    yield


@contextmanager
def unplugged(link: Path) -> Iterator[None]:
    """A port that goes away as soon as something is sent to it."""
    board, line = pty.openpty()
    tty.setraw(line)
    link.symlink_to(os.ttyname(line))

    def pull() -> None:
        with suppress(OSError):
            os.read(board, 1)
        os.close(board)

    hand = threading.Thread(target=pull)
    hand.start()
    yield
    os.close(line)
    hand.join()


@contextmanager
def silent(link: Path) -> Iterator[None]:
    """A port at which nobody answers."""
    with terminal(link):
        yield


PORTS: dict[str, Callable[[Path], Any]] = {
    "busy": busy,
    "forbidden": forbidden,
    "file": plain_file,
    "directory": folder,
    "unplugged": unplugged,
    "silent": silent,
}

# --- boards at the end of a cable -------------------------------------------------------------------------------------


class Cable:
    """A Link to an emulated board in this process, pulled after `length` bytes on the way there, or as soon as the
    board has said `last`.

    Time is the board's; what waits for nothing costs none.
    """

    lossless = False
    name = "the cable"
    baud, baud_is_fixed = BOARD.chip.uart.default_baud, True
    STEP = 0.01  # seconds

    def __init__(
        self, board: Any, length: int | None = None, baud: int = BOARD.chip.uart.default_baud, last: str = ""
    ) -> None:
        self.board, self.left, self._last = board, length, last.encode()
        self.sent, self._said = 0, b""
        self._garbled = baud != BOARD.chip.uart.default_baud
        self._waited = 0.0

    def now(self) -> float:
        return self.board.machine.clock.seconds + self._waited

    def read(self, timeout: float) -> bytes:
        end = self.now() + timeout
        while not self.board.output and self.now() < end:
            if self.board.in_rom or self.board.machine.run_for(self.STEP) in (Reason.LOCKUP, Reason.EXIT):
                self._waited += self.STEP
        data = bytes(self.board.output)
        self.board.output.clear()
        if self._last and self._last in self._said:
            raise self._pulled()
        self._said += data
        return self._on_the_line(data)

    def write(self, data: bytes) -> None:
        arriving = data if self.left is None else data[: self.left]
        self.sent += len(arriving)
        self.board.feed(self._on_the_line(arriving))
        if self.left is not None:
            self.left -= len(arriving)
            if len(arriving) < len(data):
                raise self._pulled()

    def _pulled(self) -> Disconnected:
        return Disconnected("the connection to the cable was lost", next_action="plug it in and repeat")

    def _on_the_line(self, data: bytes) -> bytes:
        """What a receiver makes of it that listens at another speed."""
        return bytes(byte * 7 & 0xE0 | 0x80 for byte in data) if self._garbled else data

    def set_baud(self, baud: int) -> None: ...

    def set_parity(self, even: bool) -> None: ...

    def set_dtr(self, state: bool) -> None: ...

    def set_rts(self, state: bool) -> None: ...

    def reopen(self, patience: float) -> None:
        raise self._pulled()

    def close(self) -> None: ...


def running_board(module: bytes | None = None) -> ServedBoard:
    """A board with its runtime and perhaps a module."""
    machine = Machine(BOARD, BOARD.firmware)
    if module is not None:
        machine.install(build_image(module, BOARD).image)
    served = ServedBoard(machine)
    machine.run_for(START_UP)
    served.output.clear()  # nobody was there to read it
    return served


START_UP = 0.2  # seconds


def board_in_rom(**traits: Any) -> ServedBoard:
    """A board in its ROM bootloader, its flash empty."""
    served = ServedBoard(Machine(BOARD), boot0=True)
    assert served._rom is not None
    for name, value in traits.items():
        setattr(served._rom, name, value)
    return served


def worn_board() -> ServedBoard:
    """A board whose flash has a bit that does not stay."""
    served = board_in_rom()
    served.machine.flash.before_change = lambda kind, offset, data: bytes((data[0] | 1,)) + data[1:]
    return served


class OldBoard:
    """A board whose runtime is for images of an older bytecode."""

    in_rom = True

    def __init__(self) -> None:
        self.machine = Machine(BOARD)
        self.output = bytearray()
        self._lines = smp.Demultiplexer()

    def feed(self, data: bytes) -> None:
        for part in self._lines.feed(data):
            if isinstance(part, smp.Message):
                said = self._answer(part)
                reply = smp.Message(part.operation + 1, part.group, part.command, said, part.sequence)
                self.output += smp.encode_lines(smp.encode_message(reply))


    def _answer(self, request: smp.Message) -> Any:
        return {"board": BOARD.name, "isa": ISA_VERSION - 1}


class Babbler(OldBoard):
    """A device that speaks SMP, and says anything."""

    KEYS = "board isa off n r t x bt buf_size stack state trap exit images match rc err rsn".split()
    VALUES = (0, 1, -1, 1 << 40, "x", "", b"abc", bytes(8), None, True, [], {}, 1.5, BOARD.name, "running")

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice

    def _answer(self, request: smp.Message) -> Any:
        sent = request.payload.get("off", 0) + len(request.payload.get("data", b""))
        said = {"board": BOARD.name, "isa": ISA_VERSION, "off": sent, "r": bytes(4), "state": "ended"}
        for _ in range(self._dice.choice((0, 1, 1, 2, 5))):
            said[self._dice.choice(self.KEYS)] = self._dice.choice(self.VALUES)
        for _ in range(self._dice.choice((0, 0, 0, 1))):
            said.pop(self._dice.choice(list(said)), None)
        return said


class Noise:
    """What is no board: whatever it is asked, and also unasked, it sends random bytes."""

    in_rom = True

    def __init__(self) -> None:
        self.machine = Machine(BOARD)
        self._random = random.Random(4)
        self.output = bytearray()

    def feed(self, data: bytes) -> None:
        self.output += self._random.randbytes(64)


LINES: dict[str, Callable[[], Any]] = {
    "board": lambda: running_board(wasm(saying(OLD))),
    "board-in-bootloader": board_in_rom,
    "board-without-runtime": lambda: ServedBoard(Machine(BOARD)),
    "protected-board": lambda: board_in_rom(readout_protected=True),
    "write-protected-board": lambda: board_in_rom(write_protected=set(range(12))),
    "worn-board": worn_board,
    "another-chip": lambda: board_in_rom(product_id=0x410),
    "old-board": OldBoard,
    "noise": Noise,
}


@contextmanager
def situation(words: list[str], where: Path) -> Iterator[None]:
    """All that a command line finds in the folder `where`."""
    make_files(words, where)
    with ExitStack() as stack:
        for word in words:
            if word in PORTS:
                stack.enter_context(PORTS[word](where / word))
        yield
