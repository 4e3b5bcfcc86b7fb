"""Every value lies in its range, and the ranges are as narrow as the optimiser needs them.

That ranges hold in whole programs is tested in test_translation.py, where each number that a program computes is
compared with the range of its value.
"""

from __future__ import annotations

from itertools import product

import pytest

from mcutool.ir import build, passes, ranges, rules
from mcutool.ir.dominance import reverse_postorder
from mcutool.ir.nodes import Function, Instruction
from mcutool.pipeline import load
from mcutool.wasm.text import assemble

WIDTH = 3
ALL_RANGES = [(least, most) for least in range(1 << WIDTH) for most in range(least, 1 << WIDTH)]
BINARY = sorted(set(ranges.TRANSFER) & set(rules.BINARY))


def result_of(name: str, a: int, b: int) -> int | None:
    """An operation on numbers of few bits; None when it traps."""
    if name[:3] in ("div", "rem") and b == 0:
        return None
    return rules.BINARY[name](a, b, WIDTH) % (1 << WIDTH)


@pytest.mark.parametrize("name", BINARY)
def test_operations_on_few_bits(name: str) -> None:
    """Exhaustively: all ranges, all numbers in them."""
    table = {(a, b): result_of(name, a, b) for a, b in product(range(1 << WIDTH), repeat=2)}
    for first, second in product(ALL_RANGES, repeat=2):
        least, most = ranges.TRANSFER[name](WIDTH, first, second)
        if not 0 <= least <= most < 1 << WIDTH:
            continue  # taken for anything
        for a, b in product(range(first[0], first[1] + 1), range(second[0], second[1] + 1)):
            result = table[a, b]
            assert result is None or least <= result <= most, (first, second, a, b)


@pytest.mark.parametrize(("name", "bits"), [("extend8_s", 8), ("extend16_s", 16), ("extend32_s", 32)])
def test_sign_extensions(name: str, bits: int) -> None:
    half = 1 << (bits - 1)
    assert ranges.TRANSFER[name](64, (3, half - 1)) == (3, half - 1)
    assert ranges.TRANSFER[name](64, (3, half)) == (0, (1 << 64) - 1)


@pytest.mark.parametrize("bits", [4])
def test_counting_in_even_steps(bits: int) -> None:
    """Exhaustively: what a loop gives that adds a step until the sum is the end."""
    for start, step, end in product(range(1 << bits), repeat=3):
        found = ranges.steps(start, step, end, bits)
        if found is None:
            continue
        number = start
        for _ in range(1 << bits):
            assert found[0] <= number <= found[1], (start, step, end)
            number = (number + step) % (1 << bits)
            if number == end:
                break
        else:
            raise AssertionError(f"never meets the end: {start}, {step}, {end}")


def function_of(text: str) -> Function:
    function = build.build(load(bytes(assemble(f"(module (memory 1) {text})"))))[0]
    passes.optimise(function)
    return function


def ranges_of(function: Function) -> ranges.Ranges:
    return ranges.Ranges(function, reverse_postorder(function))


def find(function: Function, op: str) -> Instruction:
    return next(i for block in function.blocks for i in block.instructions if i.op == op)


LOOP = """(func (param i32) (local i32)
  (local.set 1 (i32.const {start}))
  (loop $l
    (i32.store (local.get 1) (local.get 0))
    (local.set 1 (i32.add (local.get 1) (i32.const {step})))
    (br_if $l ({condition}))))"""


@pytest.mark.parametrize(
    ("start", "step", "condition", "expected"),
    [
        (0, 4, "i32.ne (local.get 1) (i32.const 64)", (0, 60)),
        (0, 4, "i32.lt_u (local.get 1) (i32.const 64)", (0, 63)),
        (100, -10, "i32.ne (i32.const 0) (local.get 1)", (10, 100)),
        (-8, 4, "local.get 1", (0xFFFFFFF8, 0xFFFFFFFC)),
        (0, 3, "i32.ne (local.get 1) (i32.const 64)", (0, 0xFFFFFFFF)),
        (0, 1, "i32.lt_s (local.get 1) (i32.const 64)", (0, 0xFFFFFFFF)),
    ],
)
def test_what_counts_a_loop(start: int, step: int, condition: str, expected: tuple[int, int]) -> None:
    function = function_of(LOOP.format(start=start, step=step, condition=condition))
    counter = find(function, "i32.store").operands[0]
    assert ranges_of(function).of(counter) == expected


def test_what_comes_together_has_room_for_all() -> None:
    text = """(func (param i32) (result i32)
      (if (result i32) (local.get 0) (then (i32.load8_u (local.get 0))) (else (i32.const 1000))))"""
    function = function_of(text)
    joined = next(block for block in function.blocks if block.parameters and block is not function.entry)
    assert ranges_of(function).of(joined.parameters[0]) == (0, 1000)


def test_a_mask_that_changes_nothing_is_dropped_across_blocks() -> None:
    text = """(func (param i32) (result i32) (local i32)
      (local.set 1 (i32.const 7))
      (loop $l
        (local.set 1 (i32.load8_u (i32.and (local.get 1) (i32.const 255))))
        (br_if $l (i32.load (local.get 1))))
      (i32.and (local.get 1) (i32.const 255)))"""
    assert not any(i.op == "i32.and" for block in function_of(text).blocks for i in block.instructions)


def test_a_test_for_digits_needs_no_mask() -> None:
    text = """(func (param i32) (result i32)
      (i32.gt_u (i32.and (i32.sub (i32.load8_u (local.get 0)) (i32.const 58)) (i32.const 255)) (i32.const 245)))"""
    operations = [i.op for block in function_of(text).blocks for i in block.instructions]
    assert [op for op in operations if not op.endswith("const")] == ["i32.load8_u", "i32.add", "i32.lt_u"]


@pytest.mark.parametrize(("mask", "offset"), [(0xFFFF, 100), (-1, 0)])
def test_an_address_takes_in_what_is_added_unless_it_might_wrap(mask: int, offset: int) -> None:
    text = f"""(func (param i32) (result i32)
      (i32.load (i32.add (i32.and (local.get 0) (i32.const {mask})) (i32.const 100))))"""
    assert find(function_of(text), "i32.load").immediates[0] == offset
