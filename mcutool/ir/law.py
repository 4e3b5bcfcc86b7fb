"""What every function obeys between two stages.

This file decides which functions are well formed: `check_ssa` from building to selection, `check_allocation` after it.
A broken law is a bug of a stage, never of the user's module. It refuses to mend anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcutool.ir.dominance import Dominators
from mcutool.ir.liveness import Lifetimes, reads
from mcutool.ir.nodes import LEAVING, Block, Function, Instruction, Value
from mcutool.wasm.opcodes import OPCODES

if TYPE_CHECKING:
    from mcutool.ir.allocate import Allocation

_SIGNATURES = {
    opcode.name: ([*opcode.parameters], [*opcode.results])
    for opcode in OPCODES
    if opcode.parameters is not None and opcode.results is not None
}
_EDGES = {
    "br": (1, 1),
    "br_if": (2, 2),
    "br_table": (1, 1 << 32),
    "unwind": (1, 1 << 32),
    **dict.fromkeys(LEAVING, (0, 0)),
}
"""Fewest and most edges of each terminator."""


class LawBroken(AssertionError):
    """A stage made a function that is not well formed."""


def check_ssa(function: Function) -> None:
    """One definition for each value, above all its uses; types as the opcode table says; edges that fit their targets.

    Raises LawBroken.
    """
    if [v.type for v in function.entry.parameters] != list(function.type.parameters):
        raise LawBroken(f"{function.name}: the entry's parameters are not the function's")
    known = set(function.blocks)
    for block in function.blocks:
        _check_end(function, block, known)
    defined = _definitions(function)
    dominators = Dominators(function)
    for block in function.blocks:
        everything = [*block.everything]
        if dominators.reaches(block):
            _check_uses(function, block, everything, defined, dominators)
        for instruction in everything:
            _check_types(function, instruction)


def _definitions(function: Function) -> dict[Value, tuple[Block, int]]:
    """Where each value is defined: block, and index of the instruction or -1 for a parameter."""
    defined: dict[Value, tuple[Block, int]] = {}
    for block in function.blocks:
        places = [(value, -1) for value in block.parameters]
        places += [(value, index) for index, i in enumerate(block.instructions) for value in i.results]
        for value, index in places:
            if value in defined:
                raise LawBroken(f"{function.name}: {value} is defined twice")
            defined[value] = (block, index)
    return defined


def _check_end(function: Function, block: Block, known: set[Block]) -> None:
    """A terminator with as many edges as it takes, to blocks of the function, with arguments for their parameters."""
    op, edges = (block.terminator.op, block.edges) if block.is_terminated else ("", [])
    fewest, most = _EDGES.get(op, (1, 0))
    if not fewest <= len(edges) <= most:
        raise LawBroken(f"{function.name}: b{block.number} does not end in a terminator")
    if op == "unwind" and not (block.instructions and block.instructions[-1].is_call):
        raise LawBroken(f"{function.name}: b{block.number} unwinds from what is no call")
    for edge in edges:
        if edge.target not in known or edge.target is function.entry:
            raise LawBroken(f"{function.name}: b{block.number} jumps to b{edge.target.number}, which is no target")
        given, wanted = edge.arguments, edge.target.parameters
        if (given or wanted) and [v.slots for v in given] != [v.slots for v in wanted]:
            raise LawBroken(f"{function.name}: the arguments from b{block.number} do not fit b{edge.target.number}")


def _check_uses(
    function: Function,
    block: Block,
    everything: list[Instruction],
    defined: dict[Value, tuple[Block, int]],
    dominators: Dominators,
) -> None:
    above: set[Block] = set()  # blocks that are known to dominate this one
    for index, instruction in enumerate(everything):
        for value in reads(instruction):
            where, place = defined.get(value, (None, 0))
            if where is None:
                raise LawBroken(f"{function.name}: {value} is used in b{block.number} and defined nowhere")
            if where is block:
                fits = place < index
            else:
                fits = where in above or dominators.dominates(where, block)
                above.add(where)
            if not fits:
                raise LawBroken(f"{function.name}: {value} is used in b{block.number} before its definition")


def _check_types(function: Function, instruction: Instruction) -> None:
    signature = _SIGNATURES.get(instruction.op)
    if signature is None:
        return
    given, made = signature
    if [v.type for v in instruction.operands] != given or [v.type for v in instruction.results] != made:
        raise LawBroken(f"{function.name}: {instruction} does not fit its signature")


def check_allocation(function: Function, allocation: Allocation) -> None:
    """Every value has slots inside the frame; values kept at the same time share none; calls lie above what they keep.

    Raises LawBroken.
    """
    taken: dict[int, int] = {}
    lifetimes = Lifetimes(function)
    for value, lifetime in lifetimes.of.items():
        slot = allocation.slot.get(value)
        if slot is None or slot + value.slots > allocation.frame_slots:
            raise LawBroken(f"{function.name}: {value} has no slot in the frame")
        for number in range(slot, slot + value.slots):
            if taken.get(number, 0) & lifetime:
                raise LawBroken(f"{function.name}: {value} shares slot {number} with a live value")
            taken[number] = taken.get(number, 0) | lifetime
    for call, across in lifetimes.across.items():
        lowest = allocation.base[call] - allocation.target.links[call.op]
        for value in across:
            if allocation.slot[value] + value.slots > lowest:
                raise LawBroken(f"{function.name}: {call} overwrites {value}")
