"""WebAssembly values as text, as bits, as slots of the interpreter and as JSON.

This file decides how a person writes an argument and reads a result. It refuses to know functions and boards: a value
here is a type name and its bit pattern, an unsigned integer, so that no NaN payload is ever lost in a Python float.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction

from mcutool.errors import UsageError

WIDTHS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64, "funcref": 32, "externref": 32, "exnref": 32}
REFERENCES = ("funcref", "externref", "exnref")
LONGEST_EXPONENT = 6
"""Characters; numbers beyond are far out of range, and would take long to compute exactly."""
_FORMATS = {"f32": ("<f", "<I"), "f64": ("<d", "<Q")}
_FRACTION_BITS = {"f32": 23, "f64": 52}
_SMALLEST_EXPONENTS = {"f32": -126, "f64": -1022}  # of a normal number
_NAN = re.compile(r"([+-]?)nan(?::0x([0-9a-f_]+))?", re.IGNORECASE)
NUMBER = re.compile(
    r"[+-]?(0x[0-9a-f_.]+(p[+-]?\d+)?|[\d_]+\.?[\d_]*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf|nan(:0x[0-9a-f_]+)?)|null",
    re.IGNORECASE,
)


def parse(text: str, kind: str) -> int:
    """The bits of an argument as it is typed; raises UsageError when it is none of that type."""
    try:
        return _PARSERS[kind](text, kind)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a value of type {kind}",
            next_action="write a decimal or hexadecimal number; floats may also be inf, -inf, nan or nan:0x...",
        ) from error


def _parse_integer(text: str, kind: str) -> int:
    value, width = int(text, 16 if "x" in text.lower() else 10), WIDTHS[kind]
    if not -(1 << (width - 1)) <= value < 1 << width:
        raise ValueError(text)
    return value % (1 << width)


def _parse_float(text: str, kind: str) -> int:
    if match := _NAN.fullmatch(text):
        return _nan_bits(kind, match[1] == "-", match[2])
    sign = text.startswith("-") << (WIDTHS[kind] - 1)
    digits = text.lstrip("+-").lower()
    if digits == "inf":
        return sign | float_bits(math.inf, kind)
    hexadecimal = digits.startswith("0x")
    if len(digits.partition("p" if hexadecimal else "e")[2]) > LONGEST_EXPONENT:
        raise OverflowError(text)
    return sign | _nearest_bits(_hexadecimal(digits) if hexadecimal else Fraction(digits), kind)


def _hexadecimal(digits: str) -> Fraction:
    significand, _, exponent = digits.removeprefix("0x").partition("p")
    whole, _, fraction = significand.partition(".")
    return int(whole + fraction, 16) * Fraction(2) ** (int(exponent or 0) - 4 * len(fraction.replace("_", "")))


def _nearest_bits(value: Fraction, kind: str) -> int:
    """The float nearest to an exact number, ties to even; by way of a Python float an f32 would be rounded twice."""
    if value == 0:
        return 0
    fraction_bits, smallest_exponent = _FRACTION_BITS[kind], _SMALLEST_EXPONENTS[kind]
    magnitude = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = max(magnitude - (value < Fraction(2) ** magnitude), smallest_exponent)
    significand = round(value / Fraction(2) ** (exponent - fraction_bits))
    bits = significand + ((exponent - smallest_exponent) << fraction_bits)  # a carry goes to the exponent by itself
    if bits >= float_bits(math.inf, kind):
        raise OverflowError(value)
    return bits


def _nan_bits(kind: str, negative: bool, payload: str | None) -> int:
    width, fraction_bits = WIDTHS[kind], _FRACTION_BITS[kind]
    fraction = int(payload, 16) if payload else 1 << (fraction_bits - 1)
    if not 0 < fraction < 1 << fraction_bits:
        raise ValueError(payload)
    exponent = ((1 << (width - 1)) - 1) ^ ((1 << fraction_bits) - 1)
    return negative << (width - 1) | exponent | fraction


def _parse_reference(text: str, kind: str) -> int:
    """A reference slot holds 0 for null, else the number plus one."""
    return 0 if text == "null" else int(text, 0) + 1


_PARSERS = {
    "i32": _parse_integer,
    "i64": _parse_integer,
    "f32": _parse_float,
    "f64": _parse_float,
    "funcref": _parse_reference,
    "externref": _parse_reference,
    "exnref": _parse_reference,
}


def float_bits(value: float, kind: str) -> int:
    """The bit pattern of a Python float; raises OverflowError when an f32 cannot hold it."""
    float_format, integer_format = _FORMATS[kind]
    return struct.unpack(integer_format, struct.pack(float_format, value))[0]


def bits_float(bits: int, kind: str) -> float:
    """The Python float of a bit pattern (a NaN's payload may be lost)."""
    float_format, integer_format = _FORMATS[kind]
    return struct.unpack(float_format, struct.pack(integer_format, bits))[0]


def present(bits: int, kind: str) -> int | float | str | None:
    """What JSON and the console show: signed integers, shortest floats, else `inf`, `-inf`, `nan:0x...`."""
    if kind in REFERENCES:
        return None if bits == 0 else bits - 1
    if kind in ("i32", "i64"):
        return bits - (1 << WIDTHS[kind]) if bits >> (WIDTHS[kind] - 1) else bits
    value = bits_float(bits, kind)
    if math.isnan(value):
        sign = "-" if bits >> (WIDTHS[kind] - 1) else ""
        return f"{sign}nan:{bits & ((1 << _FRACTION_BITS[kind]) - 1):#x}"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value if kind == "f64" else _shortest(bits, value)


def _shortest(bits: int, value: float) -> float:
    """The double whose shortest decimal is the shortest one that gives back this f32."""
    candidates = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next(candidate for candidate in candidates if _rounds_to(candidate, bits))


def _rounds_to(candidate: float, bits: int) -> bool:
    try:
        return float_bits(candidate, "f32") == bits
    except OverflowError:  # a short decimal of the largest floats may round up beyond them
        return False


def to_slots(values: Iterable[tuple[int, str]]) -> bytes:
    """Bit patterns with their types as little-endian 32-bit slots, low half first."""
    return b"".join(bits.to_bytes(WIDTHS[kind] // 8, "little") for bits, kind in values)


def from_slots(data: bytes, kinds: Sequence[str]) -> list[int]:
    """The bit patterns of `kinds` out of their slots; the reverse of `to_slots`."""
    values, position = [], 0
    for kind in kinds:
        size = WIDTHS[kind] // 8
        values.append(int.from_bytes(data[position : position + size], "little"))
        position += size
    return values


def slots_of(kinds: Iterable[str]) -> int:
    """How many slots values of these types take."""
    return sum(WIDTHS[kind] // 32 for kind in kinds)
