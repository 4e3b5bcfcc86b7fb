"""Every row of the first page that computes, moves, branches or counts, on each core, over edge values.

What is expected comes from the optimiser's own folding of integers, from Python for floats, and from a line for each of
the few rows that neither knows.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import struct
from collections.abc import Callable, Iterator

import pytest

from mcutool.encoding import encode, fields
from mcutool.ir.rules import fold
from mcutool.isa import BY_NAME, ROWS, TRAP_NUMBERS, Row
from tests.isa.bare import BareCore
from tests.isa.test_semantics import EDGES

BOARDS = ("mps2-m0", "mps2-an385", "mps2-an386")
VALUES = {
    "i32": [0, 1, 2, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x100, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFF80, 0xFFFFFFFF],
    "i64": EDGES["i64"],
    "f32": EDGES["f32"],
    "f64": EDGES["f64"],
}
IMMEDIATES = {
    4: (-8, -1, 0, 7),
    8: (-128, -33, -1, 0, 1, 31, 127),
    16: (-0x8000, -1, 0, 0x7FFF),
    32: (-(1 << 31), -1, 5),
}
UNSIGNED = {4: (0, 15), 8: (0, 1, 31, 32, 33, 63, 128, 255)}
SLOTS = {"d": 10, "a": 0, "b": 2, "c": 4}
FLAG, RESULTS, LAST = 12, 20, 254
MEMORY = ("i32.load", "i64.load", "i32.store", "i64.store")
CALLED_FOR = frozenset(("halt", "trap", "return", "br", "br.wide", "br_table", "slot.load", "slot.store"))
Case = dict[str, int]


def is_computed(row: Row) -> bool:
    plain = row.name.rpartition(".")[0] if row.name.endswith(("short", "wide")) else row.name
    return not (
        row.escaped
        or row.calls
        and not plain.startswith(("i32.", "i64.", "f32.", "f64."))
        or row.name.startswith((*MEMORY, "call", "global"))
        or row.name in CALLED_FOR
    )


COMPUTED = [row for row in ROWS if is_computed(row)]


def bits_of(type_: str) -> int:
    return 64 if type_ in ("i64", "f64") else 32


def float_of(bits: int, type_: str) -> float:
    return (
        struct.unpack("<f", struct.pack("<I", bits))[0]
        if type_ == "f32"
        else struct.unpack("<d", struct.pack("<Q", bits))[0]
    )


def bits_of_float(number: float, type_: str) -> int:
    bits = bytes(ctypes.c_float(number) if type_ == "f32" else ctypes.c_double(number))
    return int.from_bytes(bits, "little")


def divided(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


FLOATS: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": divided,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
NAN = 0x7FC00000


def root(bits: int) -> int:
    """The square root; an f64 has more than twice the digits, so that rounding twice is rounding once."""
    number = float_of(bits, "f32")
    return NAN if not number >= 0 else bits if bits << 1 == 1 << 32 else bits_of_float(math.sqrt(number), "f32")


def lesser(a: int, b: int, greater: bool) -> int:
    """The lesser of two, or the greater; zeros by their signs."""
    if any(math.isnan(float_of(bits, "f32")) for bits in (a, b)):
        return NAN
    return (max if greater else min)(a, b, key=lambda bits: (float_of(bits, "f32"), -(bits >> 31)))


SPECIAL: dict[str, Callable[[Case], int]] = {
    "copy": lambda o: o["a"],
    "copy.short": lambda o: o["a"],
    "copy64": lambda o: o["a"],
    "const.short": lambda o: o["u"],
    "i32.const": lambda o: o["i"],
    "i32.const.wide": lambda o: o["i"],
    "i64.const": lambda o: o["i"],
    "i32.select": lambda o: o["a"] if o["c"] else o["b"],
    "i64.select": lambda o: o["a"] if o["c"] else o["b"],
    "i32.move_if": lambda o: o["a"] if o["b"] else o["d"],
    "i32.move_unless": lambda o: o["d"] if o["b"] else o["a"],
    "i32.extend8_u": lambda o: o["a"] & 0xFF,
    "i32.extend8_u.short": lambda o: o["a"] & 0xFF,
    "i32.extend16_u": lambda o: o["a"] & 0xFFFF,
    "f32.abs": lambda o: o["a"] & 0x7FFFFFFF,
    "f32.neg": lambda o: o["a"] ^ 0x80000000,
    "f32.sqrt": lambda o: root(o["a"]),
    "f32.min": lambda o: lesser(o["a"], o["b"], False),
    "f32.max": lambda o: lesser(o["a"], o["b"], True),
    "f32.convert_i32_s": lambda o: bits_of_float((o["a"] ^ 1 << 31) - (1 << 31), "f32"),
    "f32.convert_i32_u": lambda o: bits_of_float(o["a"], "f32"),
    "i32.mul_add": lambda o: o["a"] * o["b"] + o["c"],
    "i32.mul_imm_add": lambda o: o["a"] * o["i"] + o["b"],
    "br_const": lambda o: True,
    "br_copy": lambda o: True,
    "br_i32.any_imm": lambda o: o["a"] & o["u"] != 0,
    "br_i32.none_imm": lambda o: o["a"] & o["u"] == 0,
    "br_if.short": lambda o: o["a"] != 0,
    "br_unless.short": lambda o: o["a"] == 0,
    "i32.sub_from_imm": lambda o: o["i"] - o["a"],
    "br_if": lambda o: o["a"] != 0,
    "br_unless": lambda o: o["a"] == 0,
}


def integer(name: str, numbers: list[int], width: int) -> int | str:
    """A result, or the name of a trap."""
    mask = (1 << int(name[1:3])) - 1
    result = fold(name, [number & mask for number in numbers], width)
    if result is None:
        return "integer_overflow" if numbers[1] else "divide_by_zero"
    return result


def result_of(row: Row, o: Case) -> int | str:
    """What a row gives; for a branch whether it is taken."""
    name = row.name
    if name in SPECIAL:
        return int(SPECIAL[name](o))
    if name == "f32.mul_add":
        product = {"a": result_of(BY_NAME["f32.mul"], o), "b": o["c"]}
        return result_of(BY_NAME["f32.add"], product)  # type: ignore[arg-type]
    if name.endswith((".short", ".wide")):
        return result_of(BY_NAME[name.rpartition(".")[0]], spelt_out(row, o))
    type_, _, operation = name.partition(".")
    if type_ in ("f32", "f64") and operation in FLOATS:
        result = FLOATS[operation](float_of(o["a"], type_), float_of(o["b"], type_))
        return int(result) if row.types.startswith("i32") else bits_of_float(result, type_)
    if name.startswith("i32.add_br"):
        other = o.get("b", o.get("u", 0))
        return int(o["d"] + o["i"] & 0xFFFFFFFF != other)
    numbers = [o[letter] for letter in "abiu" if letter in o]
    plain = name.removeprefix("br_").removesuffix("_imm")
    return integer(plain, numbers, bits_of(row.slot_types.get("d", "i32")))


def spelt_out(row: Row, o: Case) -> Case:
    """The operands of the form with a result of its own."""
    if not row.in_place:
        return o
    return {"a": o["d"], **{"b" if letter == "a" else letter: value for letter, value in o.items() if letter != "d"}}


def cases(row: Row) -> Iterator[Case]:
    """Operands: values for slots, numbers for immediates."""
    ranges: dict[str, tuple[int, ...] | list[int]] = {}
    for letter, field in fields(row).items():
        if letter == "d" and not row.in_place:
            continue
        if letter in row.slot_types:
            ranges[letter] = VALUES[row.slot_types[letter]]
        elif letter != "j":
            ranges[letter] = IMMEDIATES[field.width] if letter == "i" else UNSIGNED[field.width]
    if len(ranges) > 2:
        ranges = {letter: values[::3] if letter != "u" else values for letter, values in ranges.items()}
    for values in itertools.product(*ranges.values()):
        yield dict(zip(ranges, values, strict=True))


def constant(slot: int, value: int, slots: int) -> list[int]:
    code = []
    for part in range(slots):
        word = value >> 32 * part & 0xFFFFFFFF
        code += encode(BY_NAME["i32.const.wide"], d=slot + part, i=word - (1 << 32) if word >> 31 else word)
    return code


def code_of(row: Row, case: Case, places: dict[str, int], keep: int) -> tuple[list[int], int]:
    """Code that sets the operands, does the row and keeps d, and whether it branched, in three slots; where it is."""
    code = constant(FLAG, 0, 1)
    for letter, type_ in row.slot_types.items():
        if letter in case:
            code += constant(places[letter], case[letter], bits_of(type_) // 32)
    given = {letter: places[letter] for letter in row.slot_types}
    given |= {letter: value for letter, value in case.items() if letter not in row.slot_types}
    behind = encode(BY_NAME["const.short"], d=FLAG, u=1)
    if "j" in fields(row):
        given["j"] = row.halfwords + len(behind)
    position = len(code)
    code += encode(row, **given) + behind
    code += encode(BY_NAME["copy64"], d=keep, a=places["d"]) + encode(BY_NAME["copy"], d=keep + 2, a=FLAG)
    return code, position


def check(core: BareCore, row: Row, given: list[Case], places: dict[str, int]) -> None:
    """Run cases together; one that traps is told, and the rest goes on behind it."""
    code: list[int] = []
    at: list[tuple[int, int]] = []
    for number, case in enumerate(given):
        more, position = code_of(row, case, places, RESULTS + 3 * number)
        at.append((len(code), len(code) + position))
        code += more
    core.load(code + encode(BY_NAME["halt"]))
    outcome = core.run(0)
    for number, case in enumerate(given):
        where = (row.name, case, places)
        wanted = result_of(row, case)
        if isinstance(wanted, str):
            assert (outcome.trap, outcome.position) == (TRAP_NUMBERS[wanted], at[number][1]), where
            outcome = core.run(at[number + 1][0] if number + 1 < len(at) else len(code))
            continue
        compare(row, case, wanted, outcome.slots[RESULTS + 3 * number :][:3], where)
    assert (outcome.trap, outcome.position) == (0, len(code)), row.name


def compare(row: Row, case: Case, wanted: int, kept: tuple[int, ...], where: tuple) -> None:
    branched = kept[2] == 0
    if "j" in fields(row):
        assert branched == bool(wanted), where
        if "d" not in row.slot_types:
            return
        wanted = case["d"] + case["i"] if row.in_place else case["u" if "u" in case else "a"]
    width = bits_of(row.slot_types["d"])
    got = kept[0] | (kept[1] << 32 if width == 64 else 0)
    wanted &= (1 << width) - 1
    type_ = row.slot_types["d"]
    type_ = "f32" if row.name in ("f32.min", "f32.max", "f32.sqrt") else type_
    if type_ in ("f32", "f64") and math.isnan(float_of(wanted, type_)):
        assert math.isnan(float_of(got, type_)), where
    else:
        assert got == wanted, (*where, hex(got), hex(wanted))


def arrangements(row: Row) -> Iterator[dict[str, int]]:
    """Where the operands lie: apart, and with the result over one that is read."""
    yield SLOTS
    if not row.in_place and "d" in row.slot_types:
        for letter in "abc":
            if letter in row.slot_types:
                yield {**SLOTS, "d": SLOTS[letter]}


@pytest.fixture(scope="module", params=BOARDS)
def core(request: pytest.FixtureRequest) -> BareCore:
    return BareCore(request.param)


def test_most_rows_are_here() -> None:
    assert len(COMPUTED) > 100


def test_rows_compute_what_they_say(core: BareCore) -> None:
    room = (LAST - RESULTS) // 3
    for row in COMPUTED:
        given = list(cases(row))
        for places in arrangements(row):
            for start in range(0, len(given), room):
                check(core, row, given[start : start + room], places)


TAKEN = {"eq": (1, 1), "ne": (1, 2), "lt_s": (1, 2), "lt_u": (1, 2), "ge_s": (2, 1), "ge_u": (2, 1)}


def taken(row: Row) -> Case:
    """Operands with which it branches."""
    name = row.name.removesuffix(".short").rpartition(".")[2].removesuffix("_imm")
    if row.name.startswith("i32.add_br"):
        return {"d": 5, "i": 3, "b": 0, "u": 0}
    a, b = TAKEN.get(name, (0 if name == "br_unless" else 1, 0))
    return {"a": a, "b": b, "i": b, "u": int(name == "any"), "d": 0}


def test_branches_arrive_as_far_as_they_reach(core: BareCore) -> None:
    for row in (row for row in ROWS if "j" in fields(row) and not row.escaped):
        case = {letter: value for letter, value in taken(row).items() if letter in fields(row)}
        operands = {letter: SLOTS[letter] if letter in SLOTS else value for letter, value in case.items()}
        limits = fields(row)["j"].limits
        for distance in (limits[0], -1, row.halfwords, limits[-1]):
            here = max(-distance, 0)
            code = encode(BY_NAME["halt"]) * (here + max(distance, row.halfwords) + 2)
            instruction = encode(row, **operands, j=distance)
            code[here : here + len(instruction)] = instruction
            core.load(code)
            slots = [0] * 16
            for letter, value in case.items():
                if letter in row.slot_types:
                    slots[SLOTS[letter]] = value
            assert core.run(here, tuple(slots)).position == here + distance, (row.name, distance)


def test_jump_tables_have_a_last_entry_for_the_rest(core: BareCore) -> None:
    for count in (0, 1, 3):
        places = [10 + 3 * number for number in range(count + 1)]
        core.load(encode(BY_NAME["br_table"], places, a=1, n=count) + encode(BY_NAME["halt"]) * 40)
        for index in (0, 1, 2, 3, 4, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            assert core.run(0, (0, index)).position == places[min(index, count)], (count, index)


def test_far_slots_and_traps(core: BareCore) -> None:
    far = encode(BY_NAME["slot.store"], a=1, z=255) + encode(BY_NAME["slot.load"], d=2, z=255)
    core.load(far + encode(BY_NAME["trap"], u=200))
    outcome = core.run(0, (0, 0x89ABCDEF, 0))
    assert outcome.slots[255] == outcome.slots[2] == 0x89ABCDEF
    assert (outcome.trap, outcome.position) == (200, len(far))
