"""Where values lie: rows that work in place find their result where an operand lay, unless that costs a copy."""

from __future__ import annotations

import pytest

from mcutool.bytecode import select
from mcutool.bytecode.layout import CompiledFunction, compile_function
from mcutool.encoding import walk
from mcutool.ir import allocate, build, passes
from mcutool.pipeline import load
from mcutool.wasm.text import assemble

TARGET = allocate.Target(256, select.TARGET.links, {"i32.add": (0, 1), "i32.sub": (0,), "i32.xor": (0,)})


def compiled(text: str, target: allocate.Target = TARGET) -> tuple[CompiledFunction, list[tuple[str, ...]]]:
    """The first function of a module, and each of its rows in place: name, slot written and first slot read."""
    function = build.build(load(bytes(assemble(f"(module (memory 1) {text})"))))[0]
    passes.optimise(function)
    select.select(function)
    allocation = allocate.allocate(function, target)
    slot = allocation.slot
    rows = [
        (i.op, *(str(slot[v]) for v in [*i.results, *i.operands]))
        for block in function.blocks
        for i in block.instructions
        if i.op in target.in_place
    ]
    return compile_function(function, allocation), rows


def copies(function: CompiledFunction) -> int:
    return sum(decoded.row.name.startswith("copy") for _, decoded in walk(function.halfwords))


@pytest.mark.parametrize(
    "text",
    [
        "(func (param i32 i32) (result i32) (i32.sub (i32.sub (local.get 0) (local.get 1)) (local.get 1)))",
        "(func (param i32 i32) (result i32) (i32.xor (i32.xor (local.get 0) (local.get 1)) (local.get 1)))",
    ],
)
def test_results_lie_where_the_first_operand_dies(text: str) -> None:
    function, rows = compiled(text)
    assert [row[1:] for row in rows] == [("0", "0", "1")] * 2
    assert copies(function) == 0


def test_a_commutative_row_takes_over_the_operand_that_dies() -> None:
    text = """(func (param i32 i32)
      (local.set 1 (i32.add (local.get 0) (local.get 1)))
      (i32.store (local.get 0) (local.get 1))
      (i32.store (local.get 0) (local.get 1)))"""
    _, rows = compiled(text)
    assert rows == [("i32.add", "1", "0", "1")]


def test_a_sum_that_is_returned_takes_over_the_operand_that_lies_there() -> None:
    text = """(func $f (param i32 i32) (result i32)
      (i32.add (local.get 1) (local.get 0)))"""
    function, rows = compiled(text)
    assert rows == [("i32.add", "0", "1", "0")]
    assert copies(function) == 0


def test_what_is_returned_lies_in_slot_0_rather_than_in_place() -> None:
    """Slot 0 is taken as long as the difference's operand is needed, but not when the difference is made."""
    text = """(func (param i32 i32) (result i32) (local i32)
      (local.set 2 (i32.load (local.get 1)))
      (i32.store (local.get 1) (local.get 0))
      (i32.sub (local.get 2) (local.get 1)))"""
    function, rows = compiled(text)
    assert rows[0][1] == "0"
    assert copies(function) == 0


def test_a_target_without_such_rows_joins_nothing() -> None:
    text = "(func (param i32 i32) (result i32) (i32.sub (i32.sub (local.get 0) (local.get 1)) (local.get 1)))"
    function, rows = compiled(text, allocate.Target(256, select.TARGET.links, {}))
    assert rows == []
    assert copies(function) == 0


def test_low_slots_go_to_rows_that_are_short_there() -> None:
    """Two values that are named equally often, one of them by rows that are shorter in low slots."""
    text = """(func (result i32) (local i32 i32)
      (local.set 0 (i32.load8_u (i32.const 0)))
      (local.set 1 (i32.load8_u (i32.const 4)))
      (i32.store16 offset=300 (local.get 0) (local.get 0))
      (i32.store offset=300 (local.get 1) (local.get 1))
      (i32.const 7))"""
    function = build.build(load(bytes(assemble(f"(module (memory 1) {text})"))))[0]
    passes.optimise(function)
    select.select(function)
    first, second = (i.result for i in function.entry.instructions if i.op.startswith("i32.load8_u"))
    for row, low in (("i32.store16", first), ("i32.store", second)):
        allocation = allocate.allocate(function, allocate.Target(256, select.TARGET.links, {row: ()}))
        assert allocation.slot[low] == min(allocation.slot[first], allocation.slot[second])
