"""The smoke corpus: small modules that touch every part of a runtime, and what they must answer.

The text of a module is NAME.wat, its bytes NAME.hex (made by mcutool/generate.py, so that nobody needs an assembler).
This file decides what is called and what the specification says the answer is; it refuses to know who calls.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcutool.errors import Trapped

FOLDER = Path(__file__).resolve().parent
MODULES = ("numbers", "memory", "control", "board", "ram")


def module(name: str) -> bytes:
    """A module's .wasm."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text(encoding="ascii"))


@dataclass(frozen=True)
class Check:
    """One call: what it returns, or the text of its trap."""

    function: str
    arguments: tuple[Any, ...]
    results: tuple[Any, ...] = ()
    trap: str = ""

    def complaint(self, call: Callable[..., list[Any]]) -> str:
        """Do it through `call(function, *arguments)`; what was wrong, or nothing."""
        wanted = f"a trap: {self.trap}" if self.trap else shown(self.results)
        try:
            answer = shown(call(self.function, *self.arguments))
        except Trapped as trapped:
            answer = "a " + trapped.message.splitlines()[0]
        return "" if answer == wanted else f"{self.function}{shown(self.arguments)} gave {answer}, not {wanted}"


def shown(values: Any) -> str:
    """Values as text that tells 0.0 from -0.0 and takes one nan for another."""
    return f"({', '.join(map(repr, values))})"


def single(value: float) -> float:
    """The f32 next to a number."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


NAN, INFINITY = float("nan"), float("inf")
LEAST, LEAST64 = -(2**31), -(2**63)
EXIT_STATUS = 7  # what the corpus ends with
OUT_OF_BOUNDS = "out of bounds memory access"

# In this order, since what a module keeps in memory and globals stays from one call to the next.
CORPUS: dict[str, tuple[Check, ...]] = {
    "numbers": (
        Check("i32.div_s", (-7, 2), (-3,)),
        Check("i32.div_s", (1, 0), trap="integer divide by zero"),
        Check("i32.div_s", (LEAST, -1), trap="integer overflow"),
        Check("i32.rem_s", (LEAST, -1), (0,)),
        Check("i32.rem_s", (-7, 2), (-1,)),
        Check("i32.shr_s", (LEAST, 33), (-(2**30),)),
        Check("i32.rotl", (0x12345678, 4), (0x23456781,)),
        Check("i32.clz", (0,), (32,)),
        Check("i32.popcnt", (-1,), (32,)),
        Check("i32.lt_u", (1, -1), (1,)),
        Check("i32.extend8_s", (0x180,), (-128,)),
        Check("i64.add", (0xFFFFFFFF, 1), (0x100000000,)),
        Check("i64.mul", (0x100000001, -3), (-0x300000003,)),
        Check("i64.div_u", (-1, 10), (1844674407370955161,)),
        Check("i64.shr_u", (-1, 63), (1,)),
        Check("i64.ctz", (LEAST64,), (63,)),
        Check("f32.add", (16777216, 1), (16777216.0,)),
        Check("f32.div", (1, 3), (single(1 / 3),)),
        Check("f32.div", (-1, 0), (-INFINITY,)),
        Check("f32.sqrt", (2,), (single(2**0.5),)),
        Check("f32.sqrt", (-1,), (NAN,)),
        Check("f32.nearest", (2.5,), (2.0,)),
        Check("f32.nearest", (-0.4,), (-0.0,)),
        Check("f32.min", (0.0, -0.0), (-0.0,)),
        Check("f32.min", (1, NAN), (NAN,)),
        Check("f32.demote_f64", (0.1,), (single(0.1),)),
        Check("f64.mul", (1e308, 10), (INFINITY,)),
        Check("f64.div", (1, 3), (1 / 3,)),
        Check("f64.sqrt", (2,), (2**0.5,)),
        Check("f64.convert_i64_u", (-1,), (1.8446744073709552e19,)),
        Check("i32.trunc_f64_s", (-1.9,), (-1,)),
        Check("i32.trunc_f64_s", (2147483648.0,), trap="integer overflow"),
        Check("i32.trunc_f64_s", (NAN,), trap="invalid conversion to integer"),
        Check("i64.trunc_sat_f64_s", (-1e300,), (LEAST64,)),
        Check("i64.trunc_sat_f64_s", (NAN,), (0,)),
    ),
    "memory": (
        Check("load8_s", (19,), (0x84 - 0x100,)),
        Check("load16_u", (17,), (0x0302,)),
        Check("load32", (17,), (0x05840302,)),
        Check("load64", (16,), (0x8807060584030201 - 2**64,)),
        Check("store8", (0, 0x1FE)),
        Check("load32", (0,), (0xFE,)),
        Check("store64", (1, -2)),
        Check("load64", (0,), (-0x102,)),
        Check("store_float", (32, 1.5)),
        Check("load32", (32,), (0x3FC00000,)),
        Check("fill", (40, 0xAB, 3)),
        Check("load32", (40,), (0xABABAB,)),
        Check("copy", (17, 16, 7)),
        Check("load64", (16,), (0x0706058403020101,)),
        Check("init", (48, 1, 4)),
        Check("load32", (48,), (0x72657461,)),
        Check("init", (48, 2, 4), trap=OUT_OF_BOUNDS),
        Check("load32", (0xFD,), trap=OUT_OF_BOUNDS),
        Check("load8_s", (-1,), trap=OUT_OF_BOUNDS),
        Check("grow", (0x40,), (0x100,)),
        Check("load32", (0xFD,), (0,)),
        Check("size", (), (0x140,)),
        Check("grow", (0x1000,), (-1,)),
    ),
    "control": (
        Check("factorial", (20,), (2432902008176640000,)),
        Check("through", (0, 21), (42,)),
        Check("through", (1, -9), (81,)),
        Check("through", (2, 1), trap="indirect call type mismatch"),
        Check("through", (3, 1), trap="uninitialized element"),
        Check("through", (4, 1), trap="undefined element"),
        Check("calls", (), (5,)),
        Check("choose", (0,), (10,)),
        Check("choose", (1,), (11,)),
        Check("choose", (-1,), (12,)),
        Check("swap", (1, -2), (-2, 1)),
        Check("primes", (1000,), (168,)),
        Check("endless", (0,), trap="call stack exhausted"),
        Check("unreachable", (), trap="unreachable"),
        Check("factorial", (5,), (120,)),
    ),
    "board": (
        Check("sleep", (20,), (20,)),
        Check("print", (), (0, 256)),
        Check("exit", (EXIT_STATUS,)),
    ),
}
