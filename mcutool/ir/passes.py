"""The optimiser: passes over a function in SSA form, in the order that `optimise` names.

This file decides what is superfluous: parameters, instructions, jumps, blocks. Which expressions become simpler is
data (rules.py). It refuses to know the target: what it leaves holds for any.
"""

from __future__ import annotations

import re
from collections import Counter

from mcutool.ir.dominance import reverse_postorder
from mcutool.ir.liveness import reads
from mcutool.ir.nodes import Block, Edge, Function, Instruction, Value, resolve
from mcutool.ir.ranges import Ranges, anything
from mcutool.ir.rewrite import simplify
from mcutool.ir.rules import Known

LONGEST_CHAIN = 16
"""Jumps to jumps that are followed; an empty loop has no end."""
ROUNDS = 4
"""Passes open ways for each other; after so many rounds what is left is not worth the time."""
_EFFECTS = re.compile(
    r"call|throw|trap|\w+\.(load|store|div_|rem_|trunc_f)|memory\.|table\.|data\.|elem\.|global\.set", re.ASCII
)


def optimise(function: Function) -> None:
    """Make a function smaller and quicker, in place."""
    known: Known | None = None
    for _ in range(ROUNDS):
        remove_unreachable_blocks(function)
        changed = remove_trivial_parameters(function)
        changed |= simplify(function, known or anything)
        changed |= fold_branches(function)
        changed |= remove_dead_code(function)
        changed |= merge_blocks(function)
        if known is not None and not changed:
            break
        known = known or Ranges(function, reverse_postorder(function)).of  # stays true: a pass changes no value
    remove_unreachable_blocks(function)
    sink_next_values(function)


def has_effect(instruction: Instruction) -> bool:
    """Whether an instruction matters even when nobody reads its results: it may write, call or trap."""
    return _EFFECTS.match(instruction.op) is not None


def remove_unreachable_blocks(function: Function) -> None:
    reached = set(reverse_postorder(function))
    function.blocks = [block for block in function.blocks if block in reached]


def remove_trivial_parameters(function: Function) -> bool:
    """Drop the parameters that are always the same value, or themselves."""
    edges = function.predecessors()
    replaced: dict[Value, Value] = {}
    changed = True
    while changed:
        changed = False
        for block in function.blocks[1:]:
            for index in range(len(block.parameters) - 1, -1, -1):
                changed |= _drop_trivial(block, index, edges[block], replaced)
    function.substitute(replaced)
    return bool(replaced)


def _drop_trivial(block: Block, index: int, edges: list[Edge], replaced: dict[Value, Value]) -> bool:
    parameter = block.parameters[index]
    values = {resolve(replaced, edge.arguments[index]) for edge in edges} - {parameter}
    if len(values) != 1:
        return False
    replaced[parameter] = values.pop()
    _drop_parameter(block, index, edges)
    return True


def _drop_parameter(block: Block, index: int, edges: list[Edge]) -> None:
    del block.parameters[index]
    for edge in edges:
        del edge.arguments[index]


def remove_dead_code(function: Function) -> bool:
    """Drop instructions without effect and block parameters whose values reach no instruction that has one."""
    edges = function.predecessors()
    needed = _needed(function, edges)
    changed = False
    for block in function.blocks:
        kept = [i for i in block.instructions if has_effect(i) or not needed.isdisjoint(i.results)]
        changed |= len(kept) < len(block.instructions)
        block.instructions = kept
        if block is function.entry:
            continue
        for index in range(len(block.parameters) - 1, -1, -1):
            if block.parameters[index] not in needed:
                _drop_parameter(block, index, edges[block])
                changed = True
    return changed


def _needed(function: Function, edges: dict[Block, list[Edge]]) -> set[Value]:
    pending: list[Value] = []
    for block in function.blocks:
        pending += block.terminator.operands
        for instruction in block.instructions:
            if has_effect(instruction):
                pending += instruction.operands
    needed: set[Value] = set()
    while pending:
        value = pending.pop()
        if value in needed:
            continue
        needed.add(value)
        definition = value.definition
        if isinstance(definition, Instruction):
            pending += definition.operands
        elif definition is not function.entry:
            index = definition.parameters.index(value)
            pending += [edge.arguments[index] for edge in edges[definition]]
    return needed


def fold_branches(function: Function) -> bool:
    """Branches on constants become jumps; a branch on `x == 0` or on `x != 0` looks at x."""
    changed = False
    for block in function.blocks:
        terminator = block.terminator
        while terminator.op == "br_if" and _simplify_condition(terminator):
            changed = True
        if terminator.op in ("br_if", "br_table"):
            changed |= _fold_constant(terminator)
    return changed


def _simplify_condition(terminator: Instruction) -> bool:
    definition = terminator.operands[0].definition
    if not isinstance(definition, Instruction):
        return False
    if definition.op == "i32.eqz":
        terminator.edges.reverse()
    elif definition.op != "i32.ne" or not _is_zero(definition.operands[1]):
        return False
    terminator.operands = [definition.operands[0]]
    return True


def _is_zero(value: Value) -> bool:
    definition = value.definition
    return isinstance(definition, Instruction) and definition.op == "i32.const" and definition.immediates[0] == 0


def _fold_constant(terminator: Instruction) -> bool:
    definition = terminator.operands[0].definition
    edge = None
    if isinstance(definition, Instruction) and definition.op == "i32.const":
        number = definition.immediates[0]
        last = len(terminator.edges) - 1
        edge = terminator.edges[number == 0 if terminator.op == "br_if" else min(number, last)]
    elif all(_same(edge, terminator.edges[0]) for edge in terminator.edges):
        edge = terminator.edges[0]
    if edge is None:
        return False
    terminator.op, terminator.operands, terminator.edges = "br", [], [edge]
    return True


def _same(a: Edge, b: Edge) -> bool:
    return a.target is b.target and a.arguments == b.arguments


def merge_blocks(function: Function) -> bool:
    """Append a block to its only predecessor when that goes nowhere else; jump over blocks that only jump on."""
    changed = _thread_jumps(function)
    remove_unreachable_blocks(function)
    edges = function.predecessors()
    replaced: dict[Value, Value] = {}
    gone: set[Block] = set()
    for block in function.blocks:
        if block in gone:
            continue
        while block.terminator.op == "br" and len(edges[block.edges[0].target]) == 1:
            edge = block.edges[0]
            replaced.update(zip(edge.target.parameters, edge.arguments, strict=True))
            block.instructions += edge.target.instructions
            block.terminator = edge.target.terminator
            gone.add(edge.target)
    function.blocks = [block for block in function.blocks if block not in gone]
    function.substitute(replaced)
    return changed or bool(gone)


def _thread_jumps(function: Function) -> bool:
    """Send edges to empty blocks without parameters straight to where those jump; copy lone returns and traps."""
    changed = False
    for block in function.blocks:
        for edge in block.edges:
            for _ in range(LONGEST_CHAIN):
                target = edge.target
                if target.instructions or target.parameters or target.terminator.op != "br" or edge.arguments:
                    break
                onward = target.edges[0]
                if onward.target is target:
                    break
                edge.target, edge.arguments = onward.target, list(onward.arguments)
                changed = True
    return changed


def sink_next_values(function: Function) -> None:
    """Move what only a block's own terminator and edges read down to its end.

    A loop variable's next value then comes after the last use of this one, so that both can share a slot.
    """
    uses = Counter(value for block in function.blocks for i in block.everything for value in reads(i))
    for block in function.blocks:
        if block.terminator.op == "unwind":  # its last call leaves before what stands behind it
            continue
        last = Counter(reads(block.terminator))
        sunk = [i for i in block.instructions if _is_last(i, last, uses)]
        if sunk:
            moved = set(sunk)
            block.instructions = [i for i in block.instructions if i not in moved] + sunk


def _is_last(instruction: Instruction, last: Counter[Value], uses: Counter[Value]) -> bool:
    if has_effect(instruction) or not instruction.operands:
        return False
    return all(value in last and last[value] == uses[value] for value in instruction.results)
