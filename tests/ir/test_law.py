"""The laws refuse functions that are broken in one way each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcutool.bytecode import select
from mcutool.ir import allocate, build, law, passes
from mcutool.ir.nodes import Edge, Function, Instruction
from mcutool.pipeline import load
from mcutool.wasm.text import assemble

LOOP = """(func $f (param i32 i64) (result i64) (local i64)
  (loop $l
    (local.set 2 (i64.add (local.get 2) (local.get 1)))
    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
    (drop (call $f (i32.const 0) (i64.const 0)))
    (br_if $l (local.get 0)))
  (local.get 2))"""


def function_of(text: str, optimise: bool = True) -> Function:
    function = build.build(load(bytes(assemble(f"(module (memory 1) {text})"))))[0]
    if optimise:
        passes.optimise(function)
    return function


def use_before_definition(function: Function) -> None:
    first = function.blocks[1].instructions[0]
    first.operands[0] = first.result


def use_from_a_block_that_does_not_dominate(function: Function) -> None:
    exit_ = next(block for block in function.blocks if block.terminator.op == "return")
    function.entry.terminator.edges[0].arguments[0] = exit_.terminator.operands[0]


def second_definition(function: Function) -> None:
    block = function.blocks[1]
    block.instructions.append(block.instructions[0])


def missing_argument(function: Function) -> None:
    function.entry.edges[0].arguments.pop()


def argument_of_another_width(function: Function) -> None:
    function.entry.edges[0].arguments.reverse()


def wrong_operand_type(function: Function) -> None:
    wide = function.entry.parameters[1]
    add = next(i for i in function.blocks[1].instructions if i.op == "i32.add")
    add.operands[0] = wide


def lost_terminator(function: Function) -> None:
    function.blocks[1].terminator = function.blocks[1].instructions[0]


def jump_to_the_entry(function: Function) -> None:
    function.blocks[-1].terminator = Instruction("br", [], edges=[Edge(function.entry)])


def jump_out_of_the_function(function: Function) -> None:
    function.blocks[-1].terminator = Instruction("br", [], edges=[Edge(function.new_block())])


@pytest.mark.parametrize(
    "damage",
    [
        use_before_definition,
        use_from_a_block_that_does_not_dominate,
        second_definition,
        missing_argument,
        argument_of_another_width,
        wrong_operand_type,
        lost_terminator,
        jump_to_the_entry,
        jump_out_of_the_function,
    ],
)
def test_a_broken_function_is_refused(damage: Callable[[Function], None]) -> None:
    function = function_of(LOOP)
    law.check_ssa(function)
    damage(function)
    with pytest.raises(law.LawBroken):
        law.check_ssa(function)


def allocated() -> tuple[Function, allocate.Allocation]:
    function = function_of(LOOP)
    select.select(function)
    return function, allocate.allocate(function, select.TARGET)


def test_live_values_that_share_a_slot_are_refused() -> None:
    function, allocation = allocated()
    a, b = function.entry.parameters
    allocation.slot[b] = allocation.slot[a]
    with pytest.raises(law.LawBroken, match="shares slot"):
        law.check_allocation(function, allocation)


def test_a_call_into_live_values_is_refused() -> None:
    function, allocation = allocated()
    for call in allocation.base:
        allocation.base[call] -= 1
    with pytest.raises(law.LawBroken, match="overwrites"):
        law.check_allocation(function, allocation)


def test_a_slot_outside_the_frame_is_refused() -> None:
    function, allocation = allocated()
    allocation.frame_slots = 1
    with pytest.raises(law.LawBroken, match="no slot in the frame"):
        law.check_allocation(function, allocation)
