"""Values -> frame slots.

This file decides which slots each value lives in, where the area of each call begins, and joins block parameters with
their arguments so that edges copy little. It refuses to know the encoding; how many slots an operand reaches, how many
lie below a callee's frame and which rows work in place are facts of the target that it is given.

Order of decisions: (1) parameters stay where the caller put them; (2) results lie where an operand lay, for rows that
work in place; (3) values that are kept across calls, as low as possible, since a callee's frame covers everything
above; (4) the rest, near the call or return that wants it. In (3) and (4) those that are named most come first, and get
the low slots, which short instructions reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from mcutool.ir.dominance import loop_depths
from mcutool.ir.liveness import Lifetimes
from mcutool.ir.nodes import LEAVING, TAIL_CALLS, Block, Edge, Function, Instruction, Value

SCRATCH_SLOTS = 8
"""Slots that carry the operands and the result of one instruction whose values are out of reach."""
SLOT_GROUP = 64
"""Slots that are looked at together in a function that needs many."""
PASSED_ON = frozenset(("i32.wrap_i64", "i64.extend_i32_u", "copy"))
"""Operations whose result best lies where the operand lay."""
SHORT_WEIGHT = 3
"""How much more it counts to be named by a row that is shorter in low slots."""
LOOP_WEIGHT = 0.1
"""How much more a name counts for each loop around it: little, since it takes no more room there."""
LENGTH_EXPONENT = 0.25
"""Of the time that a class keeps a slot from others, when it is weighed against how often it is named."""


@dataclass(frozen=True)
class Target:
    """`reach`: how many slots an operand can name; `links`: slots that a call needs below the callee's frame, by
    operation; `in_place`: rows that are shorter in low slots, and which of their operands the result has to replace
    for that, if any."""

    reach: int
    links: dict[str, int]
    in_place: dict[str, tuple[int, ...]]


@dataclass(eq=False)
class Allocation:
    """`slot` of each value (the lower one of two), `base` of each call's area; `scratch` is the first of SCRATCH_SLOTS
    slots below the target's reach that nothing lives in, None when everything is in reach."""

    target: Target
    slot: dict[Value, int] = field(default_factory=dict)
    base: dict[Instruction, int] = field(default_factory=dict)
    frame_slots: int = 0
    scratch: int | None = None
    arriving: dict[Instruction, int] = field(default_factory=dict)
    """Slots that an exception may bring out of a call."""
    _spare: int | None = None

    def area(self, call: Instruction) -> int:
        """Slots for arguments and index of a call, for its results, or for an exception that comes out of it."""
        return max(slots_of(call.operands), slots_of(call.results), self.arriving.get(call, 0))

    def spare(self) -> int:
        """A slot for breaking cycles of copies."""
        if self.scratch is not None:
            return self.scratch
        if self._spare is None:
            self._spare = self.frame_slots
            self.frame_slots += 1
        return self._spare


def slots_of(values: list[Value]) -> int:
    return sum(value.slots for value in values)


def offsets_of(values: list[Value]) -> Iterator[tuple[Value, int]]:
    """Each value with its first slot when they lie one after another."""
    place = 0
    for value in values:
        yield value, place
        place += value.slots


def allocate(function: Function, target: Target) -> Allocation:
    """Slots for every value of a selected function, in which no edge with arguments leaves a branch."""
    lifetimes = Lifetimes(function)
    allocation = _Allocator(function, lifetimes, target, None).run()
    if allocation.frame_slots >= target.reach:
        allocation = _Allocator(function, lifetimes, target, target.reach - SCRATCH_SLOTS).run()
    return allocation


def split_edges(function: Function) -> None:
    """Give each edge with arguments that leaves a branch a block of its own, where the copies can stand.

    Behind a throw nothing can stand, so its only edge gets a block too.
    """
    blocks: list[Block] = []
    for block in function.blocks:
        blocks.append(block)
        if len(block.edges) < 2 and block.terminator.op != "unwind":
            continue
        made: dict[tuple, Block] = {}
        for edge in block.edges:
            if edge.arguments:
                blocks += _split(function, edge, made, block.terminator.offset)
    function.blocks = blocks


def _split(function: Function, edge: Edge, made: dict[tuple, Block], offset: int) -> list[Block]:
    """Redirect an edge through a new block, or one that another edge of the same branch already has."""
    key = (edge.target, *edge.arguments)
    between = made.get(key)
    fresh = between is None
    if between is None:
        between = made[key] = function.new_block()
        between.terminator = Instruction("br", [], (), offset, edges=[Edge(edge.target, edge.arguments)])
    edge.target, edge.arguments = between, []
    return [between] if fresh else []


@dataclass(eq=False, slots=True)
class _Class:
    """Values that share their slots, and the ticks in which any of them is kept. `wishes` are calls and places in
    their area where one of the members would best lie; without a call, slots."""

    members: list[Value]
    lifetime: int
    slots: int
    wishes: set[tuple[Instruction | None, int]] = field(default_factory=set)


class _Allocator:
    def __init__(self, function: Function, lifetimes: Lifetimes, target: Target, scratch: int | None) -> None:
        self.function = function
        self.lifetimes = lifetimes
        self.target = target
        self.result = Allocation(target, scratch=scratch)
        for block in function.blocks:
            if block.terminator.op == "unwind":
                self.result.arriving[block.last_call] = max(slots for _, _, slots in block.terminator.immediates)
        self.occupied: dict[int, int] = {}
        self.crowded: dict[int, int] = {}
        if scratch is not None:
            self.occupied = dict.fromkeys(range(scratch, scratch + SCRATCH_SLOTS), -1)
        self.wanted: dict[Value, list[tuple[Instruction | None, int]]] = {}
        self.followed: dict[Value, list[Value]] = {}
        self.class_of = {v: _Class([v], lifetime, v.slots) for v, lifetime in lifetimes.of.items()}

    def run(self) -> Allocation:
        self._join_edges()
        self._collect_wishes()
        self._place_parameters()
        self._join_in_place()
        across = {value for kept in self.lifetimes.across.values() for value in kept}
        weights = self._weigh()
        classes = sorted(weights, key=lambda c: (-weights[c], _start(c), c.members[0].number))
        waiting = [c for c in classes if c.members[0] not in self.result.slot]
        for first in (True, False):
            for class_ in waiting:
                if first == any(value in across for value in class_.members):
                    self._place(class_)
        for call in self.lifetimes.across:
            self._base(call)
        self._measure()
        return self.result

    def _weigh(self) -> dict[_Class, float]:
        """How much it is worth that the values of a class lie in low slots, for the time that it takes these."""
        weights = dict.fromkeys(self.class_of.values(), 0.0)
        depths = loop_depths(self.function.blocks)
        for block in self.function.blocks:
            in_loops = 1 + LOOP_WEIGHT * depths[block]
            for instruction in block.everything:
                weight = in_loops * (SHORT_WEIGHT if self._may_be_short(instruction) else 1)
                for value in [*instruction.operands, *instruction.results]:
                    weights[self.class_of[value]] += weight
        return {c: weight / c.lifetime.bit_count() ** LENGTH_EXPONENT for c, weight in weights.items()}

    def _may_be_short(self, instruction: Instruction) -> bool:
        numbers = self.target.in_place.get(instruction.op)
        if not numbers:
            return numbers is not None
        return any(self.class_of[instruction.operands[n]] is self.class_of[instruction.result] for n in numbers)

    # joining

    def _join_edges(self) -> None:
        """Join parameters with arguments, those of the innermost loops first, then what most edges pass."""
        depths = loop_depths(self.function.blocks)
        passed: Counter[tuple[int, Value, Value]] = Counter()
        for block in self.function.blocks:
            for edge in block.edges:
                depth = min(depths[block], depths[edge.target])
                passed.update((depth, *pair) for pair in zip(edge.target.parameters, edge.arguments, strict=True))
        for (_, parameter, argument), _ in sorted(passed.items(), key=lambda item: (-item[0][0], -item[1])):
            self._join(parameter, argument)

    def _join_in_place(self) -> None:
        """Join the results of rows that work in place with an operand, unless that would cost a copy elsewhere."""
        in_place = self.target.in_place
        for block in self.function.blocks:
            for instruction in block.instructions:
                for number in in_place.get(instruction.op, ()):
                    result, operand = instruction.result, instruction.operands[number]
                    if self._agree(self.class_of[result], self.class_of[operand]):
                        self._join(result, operand)
                        break

    def _agree(self, one: _Class, other: _Class) -> bool:
        """Whether two classes can be one, and lie where either of them is wanted."""
        if one is other or not _can_share(one, other):
            return one is other
        if one.wishes and other.wishes and one.wishes.isdisjoint(other.wishes):
            return False
        return self._can_follow(one, other) and self._can_follow(other, one)

    def _can_follow(self, leader: _Class, other: _Class) -> bool:
        """Whether a class can lie in the slots that the other has or wants and would get."""
        free = self._is_free
        placed = self.result.slot.get(leader.members[0])
        if placed is not None:
            return placed == self.result.slot.get(other.members[0], placed) and free(placed, other)
        return not any(call is None and free(place, leader) and not free(place, other) for call, place in leader.wishes)

    def _join(self, a: Value, b: Value) -> None:
        one, other = self.class_of[a], self.class_of[b]
        if one is other or not _can_share(one, other):
            return
        if len(one.members) < len(other.members):
            one, other = other, one
        placed = self.result.slot.get(one.members[0], self.result.slot.get(other.members[0]))
        one.members += other.members
        one.lifetime |= other.lifetime
        one.wishes |= other.wishes
        for value in other.members:
            self.class_of[value] = one
        if placed is not None:
            self._take(placed, one)

    # wishes

    def _collect_wishes(self) -> None:
        for block in self.function.blocks:
            for instruction in block.everything:
                if instruction.is_call:
                    self._wish(instruction.operands, instruction)
                    self._wish(instruction.results, instruction)
                elif instruction.op in ("return", *TAIL_CALLS):
                    self._wish(instruction.operands, None)
                elif instruction.op in PASSED_ON:
                    self.followed.setdefault(instruction.result, []).append(instruction.operands[0])
                    self.followed.setdefault(instruction.operands[0], []).append(instruction.result)

    def _wish(self, values: list[Value], call: Instruction | None) -> None:
        for value, place in offsets_of(values):
            self.wanted.setdefault(value, []).append((call, place))
            self.class_of[value].wishes.add((call, place))

    def _wishes(self, class_: _Class) -> Iterator[int]:
        """Slots that would save a copy."""
        for value in class_.members:
            for call, place in self.wanted.get(value, ()):
                if call is None:
                    yield place
                elif self._is_base_known(call):
                    yield self._base(call) + place
            for other in self.followed.get(value, ()):
                if other in self.result.slot:
                    yield self.result.slot[other]

    # placing

    def _place_parameters(self) -> None:
        """Where the caller left them; those in the way of the scratch slots move."""
        for value, slot in offsets_of(self.function.entry.parameters):
            if self._is_free(slot, self.class_of[value]):
                self._take(slot, self.class_of[value])
                self.class_of[value].wishes.add((None, slot))

    def _place(self, class_: _Class) -> None:
        slot = next((slot for slot in self._wishes(class_) if self._is_free(slot, class_)), None)
        if slot is None:
            slot = next(slot for slot in self._candidates(class_) if self._is_free(slot, class_))
        self._take(slot, class_)

    def _candidates(self, class_: _Class) -> Iterator[int]:
        """Slots from the lowest on, without groups that have no slot left at some time."""
        for group in count():
            if not self.crowded.get(group, 0) & class_.lifetime:
                yield from range(group * SLOT_GROUP, (group + 1) * SLOT_GROUP)

    def _is_free(self, slot: int, class_: _Class) -> bool:
        get, lifetime = self.occupied.get, class_.lifetime
        return not get(slot, 0) & lifetime and (class_.slots == 1 or not get(slot + 1, 0) & lifetime)

    def _take(self, slot: int, class_: _Class) -> None:
        for number in range(slot, slot + class_.slots):
            self.occupied[number] = self.occupied.get(number, 0) | class_.lifetime
            self._count_crowded(number // SLOT_GROUP)
        for value in class_.members:
            self.result.slot[value] = slot

    def _count_crowded(self, group: int) -> None:
        """Note when all slots of a group are taken."""
        crowded = -1
        for number in range((group + 1) * SLOT_GROUP - 1, group * SLOT_GROUP - 1, -1):
            crowded &= self.occupied.get(number, 0)
            if not crowded:
                break
        self.crowded[group] = crowded

    # calls

    def _is_base_known(self, call: Instruction) -> bool:
        return call in self.result.base or all(v in self.result.slot for v in self.lifetimes.across[call])

    def _base(self, call: Instruction) -> int:
        """Where a call's area begins: above everything kept, where most arguments already lie."""
        if call not in self.result.base:
            slot = self.result.slot
            lowest = max((slot[v] + v.slots for v in self.lifetimes.across[call]), default=0)
            lowest += self.target.links[call.op]
            found = [slot[v] - place for v, place in offsets_of(call.operands) if v in slot]
            ready = [base for base in found if base >= lowest]
            base = max(sorted(set(ready)), key=ready.count, default=lowest)
            self.result.base[call] = self._past_scratch(base, call)
        return self.result.base[call]

    def _past_scratch(self, base: int, call: Instruction) -> int:
        """Beyond the scratch slots when the area would reach into them."""
        scratch = self.result.scratch
        end = base + self.result.area(call)
        return base if scratch is None or end <= scratch else max(base, scratch + SCRATCH_SLOTS)

    def _measure(self) -> None:
        ends = [slot + value.slots for value, slot in self.result.slot.items()]
        ends += [base + self.result.area(call) for call, base in self.result.base.items()]
        terminators = [block.terminator for block in self.function.blocks]
        ends += [slots_of(terminator.operands) for terminator in terminators if terminator.op in LEAVING]
        ends.append(slots_of(self.function.entry.parameters))
        if self.result.scratch is not None:
            ends.append(self.result.scratch + SCRATCH_SLOTS)
        self.result.frame_slots = max(ends)


def _start(class_: _Class) -> int:
    """The first tick in which the class is kept."""
    return (class_.lifetime & -class_.lifetime).bit_length()


def _can_share(one: _Class, other: _Class) -> bool:
    return one.slots == other.slots and not one.lifetime & other.lifetime
