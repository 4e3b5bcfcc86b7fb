"""When is which value needed: live values at the ends of blocks, and lifetimes on one line of time.

This file decides what "live" means for allocation and its law. It refuses to know slots.

Time: each block takes one step of two ticks, then each of its instructions one. Operands are read in the first tick of
a step, results are written in the second. A lifetime is a number whose bit t says that the value is kept in tick t.
"""

from __future__ import annotations

from mcutool.ir.nodes import Block, Function, Instruction, Value


def live_out(function: Function) -> dict[Block, set[Value]]:
    """The values that are needed after each block's end, without the arguments of its edges."""
    needed: dict[Block, set[Value]] = {}
    killed: dict[Block, set[Value]] = {}
    for block in function.blocks:
        needed[block], killed[block] = _local(block)
    live: dict[Block, set[Value]] = {block: set() for block in function.blocks}
    sources = function.predecessors()
    places = {block: block for block in function.blocks}
    origins = {edge: block for block in places for edge in block.edges}
    pending = list(function.blocks)
    waiting = set(pending)
    while pending:
        block = pending.pop()
        waiting.discard(block)
        live_in = needed[block] | (live[block] - killed[block])
        for edge in sources[block]:
            source = origins[edge]
            if not live_in <= live[source]:
                live[source] |= live_in
                if source not in waiting:
                    waiting.add(source)
                    pending.append(source)
    return live


def _local(block: Block) -> tuple[set[Value], set[Value]]:
    """Values that a block reads from outside, and those it defines."""
    needed: set[Value] = set()
    defined = set(block.parameters)
    for instruction in block.everything:
        needed.update(value for value in reads(instruction) if value not in defined)
        defined.update(instruction.results)
    return needed, defined


def reads(instruction: Instruction) -> list[Value]:
    """Operands and arguments of edges."""
    if not instruction.edges:
        return instruction.operands
    return instruction.operands + [value for edge in instruction.edges for value in edge.arguments]


class Lifetimes:
    """Lifetimes `of` all values; `across` each call, the values kept while it runs; `step`s of blocks, instructions."""

    def __init__(self, function: Function) -> None:
        self.of: dict[Value, int] = {}
        self.across: dict[Instruction, set[Value]] = {}
        self.step: dict[Block | Instruction, int] = {}
        live = live_out(function)
        step = 0
        for block in function.blocks:
            self.step[block] = step
            for instruction in block.everything:
                step += 1
                self.step[instruction] = step
            step += 1
            self._walk(block, live[block], 2 * step)

    def _walk(self, block: Block, live: set[Value], end: int) -> None:
        ends = dict.fromkeys(live, end)
        for instruction in reversed([*block.everything]):
            tick = 2 * self.step[instruction]
            for value in instruction.results:
                self._add(value, tick + 1, ends.pop(value, tick + 2))
            if instruction.is_call:
                self.across[instruction] = set(ends)
            for value in reads(instruction):
                ends.setdefault(value, tick + 1)
        start = 2 * self.step[block]
        for value in block.parameters:
            self._add(value, start, ends.pop(value, start + 1))
        of, kept = self.of, {last: _ticks(start, last) for last in set(ends.values())}
        for value, last in ends.items():  # in a large function these are many
            of[value] = of.get(value, 0) | kept[last]

    def _add(self, value: Value, first: int, last: int) -> None:
        self.of[value] = self.of.get(value, 0) | _ticks(first, last)


def _ticks(first: int, last: int) -> int:
    """The lifetime from `first` until before `last`."""
    return ((1 << (last - first)) - 1) << first
