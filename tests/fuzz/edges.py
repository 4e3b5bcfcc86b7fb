"""The numbers on which arithmetic goes wrong, and how the text format writes them.

This file decides which constants generated programs favour. It refuses to know what is done with them.
"""

from __future__ import annotations

import math
from random import Random

from mcutool import values

WIDTHS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}
_SIZES = (7, 8, 11, 15, 16, 20, 24, 31, 32, 47, 48, 52, 53, 62, 63)
_INTEGERS = [*range(-4, 18), 30, 31, 32, 33, 63, 64, 65, 100, 1000, -1000]
_INTEGERS += [sign * (1 << bits) + step for bits in _SIZES for sign in (1, -1) for step in (-1, 0, 1)]
_INTEGERS += [0x5555555555555555, 0xAAAAAAAAAAAAAAAA, 0x0123456789ABCDEF, 0xFF00FF00, 0xFFFF0000]
_FLOATS = [0.0, 1.0, 0.5, 1.5, 2.5, 0.1, 3.0, 255.0, 256.5, 1e10, 1e30, 1e-30, math.inf, math.pi]
_FLOATS += [float((1 << bits) + step) for bits in (7, 8, 16, 24, 31, 32, 53, 63, 64) for step in (-1, 0, 1)]
_PATTERNS = {
    "f32": [
        *(0x1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7FC00000, 0x7FA00000, 0x7F800001),
        *(0x4EFFFFFF, 0x3EFFFFFF, 0x33800000),
    ],
    "f64": [
        *(0x1, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF8000000000000, 0x7FF4000000000000),
        *(0x7FF0000000000001, 0x41DFFFFFFFFFFFFF, 0x3FDFFFFFFFFFFFFF, 0x47EFFFFFF0000000, 0x36A0000000000000),
    ],
}
"""Smallest and largest subnormal, smallest normal, largest, NaNs quiet and signalling, the last before 2^31 and 1/2."""


class Numbers:
    """Draws numbers; some that it drew before, or neighbours of them, so that comparisons meet their equals."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._drawn: dict[str, list[int]] = {kind: [] for kind in WIDTHS}

    def draw(self, kind: str) -> int:
        """The bits of a value of one of the four number types."""
        drawn = self._drawn[kind]
        if drawn and self.random.random() < 0.35:
            return (self.random.choice(drawn) + self.random.choice((0, 0, 1, -1))) % (1 << WIDTHS[kind])
        drawn.append(pattern(self.random, kind))
        return drawn[-1]


def limit(random: Random, kind: str) -> int:
    """A bound of an integer type's range, or a number beside it; for floats any."""
    width = WIDTHS[kind]
    if kind[0] == "f":
        return pattern(random, kind)
    return random.choice((0, 1, -1, -1 << (width - 1), (1 << (width - 1)) - 1)) % (1 << width)


def integer(random: Random, kind: str) -> int:
    """The unsigned bits of an i32 or i64."""
    width = WIDTHS[kind]
    choice = random.random()
    if choice < 0.7:
        number = random.choice(_INTEGERS)
    elif choice < 0.85:
        number = random.getrandbits(random.randint(1, width)) * random.choice((1, -1))
    else:
        number = random.randint(0, 255)
    return number % (1 << width)


def pattern(random: Random, kind: str) -> int:
    """The bits of a value of any of the four number types."""
    if kind[0] == "i":
        return integer(random, kind)
    choice, sign = random.random(), random.getrandbits(1) << (WIDTHS[kind] - 1)
    if choice < 0.3:
        return sign | random.choice(_PATTERNS[kind])
    if choice < 0.9:
        return sign | values.float_bits(random.choice(_FLOATS), kind)
    return random.getrandbits(WIDTHS[kind])


def constant(kind: str, bits: int) -> str:
    """`(i32.const 5)`."""
    shown = values.present(bits, kind)
    if isinstance(shown, float):
        shown = values.bits_float(bits, kind).hex() if math.isfinite(shown) else shown
    return f"({kind}.const {shown})"
