"""Rewrites as named data: constant folding and identities of integers, with a count of how often each was used.

This file decides which expression equals which cheaper one. Every rule keeps the type and never folds what may trap.
It refuses to know blocks, slots and encodings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

HITS: Counter[str] = Counter()
"""How often each rule was used in this process."""

WIDTH = {"i32": 32, "i64": 64}


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


FOLD2: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, w: a + b,
    "sub": lambda a, b, w: a - b,
    "mul": lambda a, b, w: a * b,
    "and": lambda a, b, w: a & b,
    "or": lambda a, b, w: a | b,
    "xor": lambda a, b, w: a ^ b,
    "shl": lambda a, b, w: a << b % w,
    "shr_u": lambda a, b, w: a >> b % w,
    "shr_s": lambda a, b, w: _signed(a, w) >> b % w,
    "rotl": lambda a, b, w: a << b % w | a >> (w - b % w),
    "rotr": lambda a, b, w: a >> b % w | a << (w - b % w),
    "eq": lambda a, b, w: a == b,
    "ne": lambda a, b, w: a != b,
    "lt_s": lambda a, b, w: _signed(a, w) < _signed(b, w),
    "lt_u": lambda a, b, w: a < b,
    "le_s": lambda a, b, w: _signed(a, w) <= _signed(b, w),
    "le_u": lambda a, b, w: a <= b,
}
FOLD1: dict[str, Callable[[int, int], int]] = {
    "eqz": lambda a, w: a == 0,
    "extend8_s": lambda a, w: _signed(a & 0xFF, 8),
    "extend16_s": lambda a, w: _signed(a & 0xFFFF, 16),
    "extend32_s": lambda a, w: _signed(a & 0xFFFFFFFF, 32),
    "wrap_i64": lambda a, w: a,
    "extend_i32_u": lambda a, w: a,
    "extend_i32_s": lambda a, w: _signed(a, 32),
    "clz": lambda a, w: w - a.bit_length(),
    "ctz": lambda a, w: w if a == 0 else (a & -a).bit_length() - 1,
    "popcnt": lambda a, w: a.bit_count(),
}
COMPARISONS = {"eqz", "eq", "ne", "lt_s", "lt_u", "le_s", "le_u"}
COMMUTATIVE = {"add", "mul", "and", "or", "xor", "eq", "ne"}
RIGHT_IDENTITY = {
    "add": 0,
    "sub": 0,
    "or": 0,
    "xor": 0,
    "shl": 0,
    "shr_u": 0,
    "shr_s": 0,
    "rotl": 0,
    "rotr": 0,
    "mul": 1,
}


def fold(name: str, constants: list[int]) -> int | None:
    """The value of an integer operation on constants, None when it is not folded."""
    type_, _, operation = name.partition(".")
    if type_ not in WIDTH:
        return None
    width = WIDTH[type_]
    result_width = 32 if operation in COMPARISONS else width
    if operation in FOLD2 and len(constants) == 2:
        HITS["fold"] += 1
        return int(FOLD2[operation](constants[0], constants[1], width)) & ((1 << result_width) - 1)
    if operation in FOLD1 and len(constants) == 1:
        HITS["fold"] += 1
        return int(FOLD1[operation](constants[0], width)) & ((1 << result_width) - 1)
    return None


def identity(name: str, right: int) -> bool:
    """Whether `a OP right` is a."""
    type_, _, operation = name.partition(".")
    if type_ not in WIDTH:
        return False
    hit = RIGHT_IDENTITY.get(operation) == right or (operation == "and" and right == (1 << WIDTH[type_]) - 1)
    HITS["identity"] += hit
    return hit


def absorbing(name: str, right: int) -> bool:
    """Whether `a OP right` is 0."""
    operation = name.partition(".")[2]
    hit = name[:3] in WIDTH and right == 0 and operation in ("and", "mul")
    HITS["absorbing"] += hit
    return hit
