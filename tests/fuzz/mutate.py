"""Real modules with some damage: does the validator say what wasmtime says?

This file decides how modules are damaged and what counts as a wrong verdict. Damage is byte by byte, or instruction by
instruction, since random bytes seldom get past the reader.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import wasmtime

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.opcodes import OPCODES
from mcutool.wasm.reader import read_module
from mcutool.wasm.text import assemble
from mcutool.wasm.validate import validate
from tests.fuzz.generate import Generator
from tests.fuzz.oracle import ENGINE

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
GENERATED = 12
LARGEST = 4000
"""Bytes of a module that is worth its time."""
_OPCODES = [bytes([row.prefix, row.code]) if row.prefix else bytes([row.code]) for row in OPCODES]


class Mutator:
    """An endless source of damaged modules."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._modules = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.wasm"))]
        self._modules += [assemble(Generator(seed * GENERATED + n).case().text) for n in range(GENERATED)]
        self._modules = [data for data in self._modules if len(data) < LARGEST]
        self._places = [self._instructions(data) for data in self._modules]

    def _instructions(self, data: bytes) -> list[tuple[int, int]]:
        """Where each instruction begins and ends."""
        bodies = [function.body for function in read_module(data).functions]
        return [(a.offset, b.offset) for body in bodies for a, b in zip(body, body[1:], strict=False)]

    def module(self) -> bytes:
        """The next one."""
        number = self.random.randrange(len(self._modules))
        data = self._modules[number]
        if self.random.random() < 0.3:
            return self._with_changed_bytes(data)
        return self._with_changed_instructions(data, self._places[number])

    def _with_changed_bytes(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        for _ in range(self.random.randint(1, 3)):
            place = self.random.randrange(8, len(damaged))
            any_byte = self.random.getrandbits(8)
            damaged[place] = self.random.choice((0, 1, 0x40, 0x7F, 0x80, 0xFF, any_byte, damaged[place] ^ 1))
        return bytes(damaged)

    def _with_changed_instructions(self, data: bytes, places: list[tuple[int, int]]) -> bytes:
        """One instruction changed in place, so that all sizes stay right."""
        damaged = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2))):
            start, end = self.random.choice(places)
            choice = self.random.random()
            if choice < 0.4:
                opcode = self.random.choice(_OPCODES)
                damaged[start : start + len(opcode)] = opcode
            elif choice < 0.6:
                damaged[start:end] = b"\x01" * (end - start)  # nop
            elif choice < 0.8:
                first, last = self.random.choice([(a, b) for a, b in places if b - a == end - start])
                damaged[start:end] = data[first:last]
            else:
                place = self.random.randrange(start, end)
                damaged[place] = (damaged[place] + self.random.choice((1, -1, 2))) % 256
        return bytes(damaged)


def wrong_verdict(data: bytes) -> str:
    """What the validator says otherwise than wasmtime; an empty string when they agree.

    A module that is not supported has no verdict of ours.
    """
    try:
        validate(read_module(data))
        verdict = ""
    except Unsupported:
        return ""
    except InvalidModule as error:
        verdict = str(error)
    reference = wasmtimes_refusal(data)
    if bool(verdict) == bool(reference):
        return ""
    return f"refused: {verdict}" if verdict else f"accepted; wasmtime says {reference}"


def wasmtimes_refusal(data: bytes) -> str:
    """Why wasmtime refuses a module; an empty string when it does not."""
    try:
        wasmtime.Module.validate(ENGINE, data)
    except wasmtime.WasmtimeError as error:
        return str(error)
    return ""
