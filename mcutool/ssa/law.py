"""What is always true of an IR function, stage by stage; checked between stages.

SSA: every value is defined once, on every path before it is used; edges bring one value of the right type for each
parameter. After allocation: no two values that live at once share a slot, and call areas lie above what lives across.
"""

from __future__ import annotations

from mcutool.ssa.allocate import CALLS, Allocation
from mcutool.ssa.nodes import Block, Function, Value
from mcutool.ssa.passes import predecessors


class LawBroken(AssertionError):
    """A stage left a function ill-formed: a bug of the translator."""


def check_ssa(function: Function) -> None:
    """Raises LawBroken when the function is not in static single assignment form."""
    available = _available(function)
    defined: set[Value] = set()
    for block in function.blocks:
        if block.terminator is None:
            raise LawBroken(f"{function.name}: b{block.number} has no end")
        known = set(available[block])
        _define(function, defined, known, block.parameters)
        for instruction in block.instructions:
            _use(function, known, instruction.arguments, instruction)
            _define(function, defined, known, instruction.results)
        _use(function, known, block.terminator.arguments, block.terminator)
        for edge in block.edges:
            _use(function, known, edge.arguments, edge)
            if [a.type for a in edge.arguments] != [p.type for p in edge.block.parameters]:
                raise LawBroken(f"{function.name}: edge {edge} from b{block.number} does not match its block")


def _define(function: Function, defined: set[Value], known: set[Value], values: list[Value]) -> None:
    for value in values:
        if value in defined:
            raise LawBroken(f"{function.name}: {value} is defined twice")
        defined.add(value)
        known.add(value)


def _use(function: Function, known: set[Value], values: list[Value], where: object) -> None:
    for value in values:
        if value not in known:
            raise LawBroken(f"{function.name}: {value} is used before it is defined, in {where}")


def _available(function: Function) -> dict[Block, frozenset[Value]]:
    """Values defined on every path to each block."""
    before = {block: [edge for edge in edges] for block, edges in predecessors(function).items()}
    origin = {id(edge): block for block in function.blocks for edge in block.edges}
    own = {b: frozenset([*b.parameters, *(r for i in b.instructions for r in i.results)]) for b in function.blocks}
    available: dict[Block, frozenset[Value] | None] = dict.fromkeys(function.blocks)
    available[function.blocks[0]] = frozenset()
    changed = True
    while changed:
        changed = False
        for block in function.blocks[1:]:
            sources = [origin[id(e)] for e in before[block]]
            sets = [s | own[b] for b in sources if (s := available[b]) is not None]
            if not sets:
                continue
            new = frozenset.intersection(*sets)
            if new != available[block]:
                available[block] = new
                changed = True
    return {block: values or frozenset() for block, values in available.items()}


def check_allocation(function: Function, allocation: Allocation) -> None:
    """Raises LawBroken when living values overlap, or a call area covers what lives across the call."""
    for call, base in allocation.bases.items():
        for value in allocation.live_across[call]:
            if allocation.slots[value] + value.slots > base - CALLS[call.name]:
                raise LawBroken(f"{function.name}: {value} lies in the call area of {call}")
    for block in function.blocks:
        assert block.terminator is not None
        for group in (block.parameters, *(i.results for i in block.instructions)):
            _check_apart(function, allocation, group)


def _check_apart(function: Function, allocation: Allocation, group: list[Value]) -> None:
    taken: set[int] = set()
    for value in group:
        places = set(range(allocation.slots[value], allocation.slots[value] + value.slots))
        if taken & places or max(places) >= allocation.frame:
            raise LawBroken(f"{function.name}: {value} shares its slot")
        taken |= places
