"""Values -> frame slots.

Parameters stay where the caller put them; what lives across a call gets the lowest slots, so that call areas begin
low; arguments and results of calls are aimed at the call area, block parameters at the slot of what flows into them,
and most copies vanish. This file decides slots and call bases; it refuses to know instructions' encodings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutool.isa import CROSS_LINK_SLOTS, LINK_SLOTS, MAXIMUM_SLOT
from mcutool.ssa.nodes import Block, Function, Instruction, Value

CALLS = {"call": LINK_SLOTS, "call_import": CROSS_LINK_SLOTS, "call_indirect": CROSS_LINK_SLOTS}
"""Calls, and how many slots below the callee's frame each leaves free."""


@dataclass
class Allocation:
    """`slots`: where each value lies; `bases`: slot where each call's frame begins; `frame`: size in slots. Two slots
    at `scratch` belong to nobody, for moves that go round in circles; when the frame is larger than an operand can
    name, `reach` is the first of REACH_SLOTS low ones that belong to nobody either."""

    slots: dict[Value, int] = field(default_factory=dict)
    bases: dict[Instruction, int] = field(default_factory=dict)
    frame: int = 0
    scratch: int = 0
    reach: int | None = None
    live_across: dict[Instruction, list[Value]] = field(default_factory=dict)


REACH_SLOTS = 8
"""What the operands of one instruction take at the most: three pairs and a condition."""


def width(values: list[Value]) -> int:
    """Slots that values take one after another."""
    return sum(value.slots for value in values)


def call_arguments(call: Instruction) -> list[Value]:
    """The values that go to the callee's frame: all but the index of an indirect call."""
    return call.arguments[:-1] if call.name == "call_indirect" else call.arguments


class _Liveness:
    """Which values are live out of each block, as bit masks over value numbers."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.out: dict[Block, int] = dict.fromkeys(function.blocks, 0)
        self._into: dict[Block, int] = dict.fromkeys(function.blocks, 0)
        changed = True
        while changed:
            changed = False
            for block in reversed(function.blocks):
                out = 0
                for edge in block.edges:
                    out |= self._into[edge.block] & ~mask(edge.block.parameters) | mask(edge.arguments)
                self.out[block] = out
                into = self.before(block)
                if into != self._into[block]:
                    self._into[block] = into
                    changed = True

    def before(self, block: Block) -> int:
        live = self.out[block] | mask(block.terminator.arguments)
        for instruction in reversed(block.instructions):
            live = live & ~mask(instruction.results) | mask(instruction.arguments)
        return live


def mask(values: list[Value]) -> int:
    bits = 0
    for value in values:
        bits |= 1 << value.number
    return bits


class _Allocator:
    def __init__(self, function: Function, spare: int) -> None:
        self.function = function
        self.reserved = range(first_free(function), first_free(function) + spare)
        self.liveness = _Liveness(function)
        self.values: dict[int, Value] = {}
        self.neighbours: dict[int, int] = {}
        self.across: dict[Instruction, int] = {}
        self.crossing = 0
        self.leader: dict[int, int] = {}
        self.members: dict[int, int] = {}
        self.hints: dict[int, list[int]] = {}
        self.result = Allocation()
        self.slot_of: dict[int, int] = {}

    # interference

    def _define(self, values: list[Value], live: int) -> None:
        bits = mask(values)
        for value in values:
            self.values[value.number] = value
            others = (live | bits) & ~(1 << value.number)
            self.neighbours[value.number] = self.neighbours.get(value.number, 0) | others

    def interfere(self) -> None:
        for block in self.function.blocks:
            live = self.liveness.out[block] | mask(block.terminator.arguments)
            for instruction in reversed(block.instructions):
                live &= ~mask(instruction.results)
                self._define(instruction.results, live)
                if instruction.name in CALLS:
                    self.across[instruction] = live
                    self.crossing |= live
                live |= mask(instruction.arguments)
            self._define(block.parameters, live)
        for number, bits in list(self.neighbours.items()):
            for other in _numbers(bits):
                self.neighbours[other] = self.neighbours.get(other, 0) | 1 << number

    # coalescing

    def find(self, number: int) -> int:
        while self.leader[number] != number:
            self.leader[number] = self.leader[self.leader[number]]
            number = self.leader[number]
        return number

    def coalesce(self) -> None:
        self.leader = {number: number for number in self.values}
        self.members = {number: 1 << number for number in self.values}
        pairs = [
            (-block.depth, parameter, argument)
            for block in self.function.blocks
            for edge in block.edges
            for parameter, argument in zip(edge.block.parameters, edge.arguments, strict=True)
        ]
        pairs += [
            (-block.depth, i.results[0], i.arguments[0])
            for block in self.function.blocks
            for i in block.instructions
            if i.name == "copy" and i.results[0].slots == i.arguments[0].slots
        ]
        for _, a, b in sorted(pairs, key=lambda pair: pair[0]):
            self._merge(self.find(a.number), self.find(b.number))

    def _merge(self, a: int, b: int) -> None:
        fixed = mask(self.function.blocks[0].parameters)
        if a == b or self.neighbours[a] & self.members[b] or self.members[a] & fixed and self.members[b] & fixed:
            return
        if self.members[b] & fixed:
            a, b = b, a
        self.leader[b] = a
        self.members[a] |= self.members[b]
        self.neighbours[a] |= self.neighbours[b]

    # slots

    def color(self) -> None:
        place = 0
        for parameter in self.function.blocks[0].parameters:
            self._put(self.find(parameter.number), place)
            place += parameter.slots
        order = sorted({self.find(n) for n in self.values}, key=self._rank)
        waiting = [n for n in order if self.members[n] & self.crossing]
        for number in waiting:
            if number not in self.slot_of:
                self._put(number, self._lowest(number, []))
        self._place_calls()
        for number in order:
            if number not in self.slot_of:
                self._put(number, self._lowest(number, self.hints.get(number, [])))

    def _rank(self, number: int) -> tuple[int, int]:
        return (-self.neighbours[number].bit_count(), number)

    def _put(self, number: int, slot: int) -> None:
        self.slot_of[number] = slot

    def _occupied(self, number: int) -> set[int]:
        slots: set[int] = set(self.reserved)
        seen = set()
        for other in _numbers(self.neighbours[number]):
            leader = self.find(other)
            if leader in self.slot_of and leader not in seen:
                seen.add(leader)
                start = self.slot_of[leader]
                slots.update(range(start, start + self.values[leader].slots))
        return slots

    def _lowest(self, number: int, hints: list[int]) -> int:
        occupied = self._occupied(number)
        need = self.values[number].slots
        for slot in hints:
            if occupied.isdisjoint(range(slot, slot + need)):
                return slot
        slot = 0
        while not occupied.isdisjoint(range(slot, slot + need)):
            slot += 1
        return slot

    def _place_calls(self) -> None:
        for call, live in self.across.items():
            top = self.reserved.stop
            for number in _numbers(live):
                leader = self.find(number)
                top = max(top, self.slot_of[leader] + self.values[leader].slots)
            base = top + CALLS[call.name]
            self.result.bases[call] = base
            for values in (call_arguments(call), call.results):
                place = base
                for value in values:
                    self.hints.setdefault(self.find(value.number), []).append(place)
                    place += value.slots

    def finish(self) -> Allocation:
        for number, value in self.values.items():
            self.result.slots[value] = self.slot_of[self.find(number)]
        top = max([slot + value.slots for value, slot in self.result.slots.items()], default=0)
        top = max(top, width_of_types(self.function.type.results))
        for call, base in self.result.bases.items():
            top = max(top, base + width(call.arguments), base + width(call.results))
        self.result.scratch = top
        self.result.frame = top + 2
        self.result.reach = self.reserved.start if self.reserved else None
        for call, live in self.across.items():
            self.result.live_across[call] = [self.values[n] for n in _numbers(live)]
        return self.result


def width_of_types(types: tuple[str, ...]) -> int:
    return sum(2 if t in ("i64", "f64") else 1 for t in types)


def _numbers(bits: int):
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def first_free(function: Function) -> int:
    """The first slot above the parameters."""
    return width(function.blocks[0].parameters)


def allocate(function: Function) -> Allocation:
    """Slots for every value of a function whose instructions have been selected."""
    allocation = _allocate(function, 0)
    if allocation.frame > MAXIMUM_SLOT:
        allocation = _allocate(function, REACH_SLOTS)
    return allocation


def _allocate(function: Function, spare: int) -> Allocation:
    allocator = _Allocator(function, spare)
    allocator.interfere()
    allocator.coalesce()
    allocator.color()
    return allocator.finish()
