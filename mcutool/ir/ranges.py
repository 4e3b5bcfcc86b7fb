"""Between which unsigned numbers each integer lies.

This file decides what is known of the values of a function: from what makes them, through block parameters, and from
the branch that an argument passes. It refuses to change anything, and to know what the knowledge is good for.

A range is never more than what holds in every run: an argument that has not been seen yet adds nothing, and what still
grows after a few rounds is taken for anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from mcutool.ir.nodes import Block, Edge, Function, Instruction, Value

Range = tuple[int, int]
"""Least and most that are not ruled out."""
ROUNDS_UNTIL_WIDENED = 3
"""How often a parameter may change before what grows is taken for anything."""
LAST_ROUND = 8
"""How often it may change at all."""
_BITS = {"i32": 32, "i64": 64}
_NEGATED = {"eq": "ne", "ne": "eq", "lt_u": "ge_u", "ge_u": "lt_u", "gt_u": "le_u", "le_u": "gt_u"}


class Ranges:
    """What is known of each integer of a function; `order` are its blocks, each before its successors but for loops."""

    def __init__(self, function: Function, order: list[Block]) -> None:
        self.known: dict[Value, Range] = {}
        self.order = order
        self.edges: dict[Block, list[Edge]] = {block: [] for block in order}
        for block in order:
            for edge in block.edges:
                self.edges[edge.target].append(edge)
        self.changes: dict[Value, int] = {}
        for value in function.entry.parameters:
            self._learn(value, anything(value))
        self.conditions = {edge: condition_of(block, edge) for block in order for edge in block.edges if edge.arguments}
        self._run()

    def of(self, value: Value) -> Range:
        """What is known; of a constant that was made since too."""
        found = self.known.get(value)
        if found is None:
            definition = value.definition
            found = anything(value)
            if isinstance(definition, Instruction) and definition.op in ("i32.const", "i64.const"):
                found = (definition.immediates[0],) * 2
            self.known[value] = found
        return found

    def _run(self) -> None:
        """Let ranges grow until they have room for all that comes, then take back once what that was too much."""
        self._sweep(self._grow, True)
        while self._sweep(self._grow):
            pass
        self._sweep(self._shrink)

    def _sweep(self, change: Callable[[Block, int, Value], bool], first: bool = False) -> bool:
        """Visit all blocks in order, and what follows from a change; whether there was one."""
        touched: set[Value] = set()
        for block in self.order:
            for index, parameter in enumerate(block.parameters):
                if parameter.type in _BITS and self.edges[block] and change(block, index, parameter):
                    touched.add(parameter)
            for instruction in block.instructions if touched or first else ():
                if first or not touched.isdisjoint(instruction.operands):
                    touched.update(v for v in instruction.results if self._learn(v, self._result(instruction, v)))
        return bool(touched)

    def _learn(self, value: Value, range_: Range) -> bool:
        """Note the range of an integer; whether it is new."""
        if value.type not in _BITS or self.known.get(value) == range_:
            return False
        self.known[value] = range_
        return True

    # parameters

    def _grow(self, block: Block, index: int, parameter: Value) -> bool:
        """Let a parameter be what its arguments are, and what it was; whether that changed it."""
        before = self.known.get(parameter)
        if before == anything(parameter):
            return False
        now = self._counted(block, index, parameter) or self._united(block, index, before)
        if now is None or now == before:
            return False
        self.changes[parameter] = self.changes.get(parameter, 0) + 1
        if before is not None and self.changes[parameter] > ROUNDS_UNTIL_WIDENED:
            least, most = anything(parameter)
            now = least if now[0] < before[0] else now[0], most if now[1] > before[1] else now[1]
        if self.changes[parameter] > LAST_ROUND:
            now = anything(parameter)
        self.known[parameter] = now
        return True

    def _shrink(self, block: Block, index: int, parameter: Value) -> bool:
        """Let a parameter be what its arguments are and no more; whether that changed it."""
        before = self.known.get(parameter)
        now = self._counted(block, index, parameter) or self._united(block, index, None)
        if now is None or now == before:
            return False
        self.known[parameter] = now
        return True

    def _united(self, block: Block, index: int, found: Range | None) -> Range | None:
        """A range made so large that it has room for all arguments."""
        for edge in self.edges[block]:
            passed = self._passed(edge, edge.arguments[index])
            if passed is not None:
                found = passed if found is None else (min(found[0], passed[0]), max(found[1], passed[1]))
        return found

    def _passed(self, edge: Edge, argument: Value) -> Range | None:
        """The range of an argument where it passes an edge; None when it never does, as far as is known yet."""
        found = self.known.get(argument)
        if found is None:
            return None
        relation = self.conditions[edge]
        if relation is None:
            return found
        name, left, right = relation
        if left is argument:
            return _limited(name, found, self._number(right))
        return _limited(_mirrored(name), found, self.of(left)) if right is argument else found

    def _number(self, value: Value | None) -> Range:
        return (0, 0) if value is None else self.of(value)

    def _counted(self, block: Block, index: int, parameter: Value) -> Range | None:
        """The range of a parameter that counts from one constant to another in even steps."""
        starts: set[Range | None] = set()
        found: list[tuple[int, int]] = []
        for edge in self.edges[block]:
            step = self._step(edge, edge.arguments[index], parameter)
            if step is None:
                starts.add(self.known.get(edge.arguments[index]))
            else:
                found.append(step)
        if len(found) != 1 or len(starts) != 1:
            return None
        start = starts.pop()
        if start is None or start[0] != start[1]:
            return None
        return steps(start[0], *found[0], _BITS[parameter.type])

    def _step(self, edge: Edge, argument: Value, parameter: Value) -> tuple[int, int] | None:
        """What is added to a parameter where an edge leads back unless the sum is a constant: both numbers."""
        definition = argument.definition
        relation = self.conditions[edge]
        if not isinstance(definition, Instruction) or definition.op[3:] != ".add" or relation is None:
            return None
        if definition.operands[0] is not parameter or relation[:2] != ("ne", argument):
            return None
        step, end = self.of(definition.operands[1]), self._number(relation[2])
        return (step[0], end[0]) if step[0] == step[1] and end[0] == end[1] else None

    # instructions

    def _result(self, instruction: Instruction, value: Value) -> Range:
        if value.type not in _BITS:
            return 0, 0
        if instruction.op == "select":
            (a, b), (c, d) = (self.of(operand) for operand in instruction.operands[:2])
            return min(a, c), max(b, d)
        if instruction.op.endswith(".const"):
            return (instruction.immediates[0],) * 2
        rule, width = _rule(instruction.op)
        if rule is None:
            return anything(value)
        found = rule(width, *(self.of(operand) for operand in instruction.operands)) if callable(rule) else rule
        most = (1 << _BITS[value.type]) - 1
        return found if 0 <= found[0] <= found[1] <= most else (0, most)


def anything(value: Value) -> Range:
    return 0, (1 << _BITS.get(value.type, 0)) - 1


def condition_of(source: Block, edge: Edge) -> tuple[str, Value, Value | None] | None:
    """What holds between two values when control passes an edge: an unsigned comparison, with zero for None."""
    terminator = source.terminator
    if terminator.op != "br_if" or terminator.edges[0].target is terminator.edges[1].target:
        return None
    holds = terminator.edges[0] is edge
    comparison = terminator.operands[0].definition
    if isinstance(comparison, Instruction) and len(comparison.operands) == 2:
        name = comparison.op[4:]
        if comparison.op[:3] in _BITS and name in _NEGATED:
            left, right = comparison.operands
            return name if holds else _NEGATED[name], left, right
    return "ne" if holds else "eq", terminator.operands[0], None


def _mirrored(name: str) -> str:
    return {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}.get(name[:2], name[:2]) + name[2:]


def _limited(name: str, range_: Range, other: Range) -> Range:
    """The part of a range for which a comparison with the other may hold; all of it when none is left."""
    least, most = range_
    if name == "eq":
        least, most = max(least, other[0]), min(most, other[1])
    elif name == "ne" and other[0] == other[1]:
        least, most = least + (least == other[0]), most - (most == other[0])
    elif name in ("lt_u", "le_u"):
        most = min(most, other[1] - (name == "lt_u"))
    elif name in ("gt_u", "ge_u"):
        least = max(least, other[0] + (name == "gt_u"))
    return (least, most) if least <= most else range_


def steps(start: int, step: int, end: int, bits: int) -> Range | None:
    """What counting from `start` gives before it meets `end`, exactly and without passing zero on the way."""
    if step >> (bits - 1):
        down = (1 << bits) - step
        return (end + down, start) if start > end and (start - end) % down == 0 else None
    end = end or 1 << bits
    return (start, end - step) if step and start < end and (end - start) % step == 0 else None


# what operations give


def _no_wrap(least: int, most: int, width: int) -> Range:
    """A range that is computed without a limit: as it is, or moved by 2^width when all of it lies there."""
    lap = least >> width
    if lap == most >> width:
        return least - (lap << width), most - (lap << width)
    return 0, (1 << width) - 1


def _mask(number: int) -> int:
    return (1 << number.bit_length()) - 1


def _same_sign(width: int, a: Range, bits: int) -> Range:
    """Sign extension from `bits`: nothing changes below half of what these hold."""
    return a if a[1] >> (bits - 1) == 0 else (0, (1 << width) - 1)


def _shifted_left(width: int, a: Range, b: Range) -> Range:
    if b[0] != b[1]:
        return 0, (1 << width) - 1
    count = b[0] % width
    return (a[0] << count, a[1] << count) if a[1] << count >> width == 0 else (0, (1 << width) - 1)


def _shifted_right(width: int, a: Range, b: Range) -> Range:
    if b[0] != b[1]:
        return 0, a[1]
    return a[0] >> b[0] % width, a[1] >> b[0] % width


def _shifted_right_signed(width: int, a: Range, b: Range) -> Range:
    return _shifted_right(width, a, b) if a[1] >> (width - 1) == 0 else (0, (1 << width) - 1)


TRANSFER: dict[str, Callable[..., Range]] = {
    "add": lambda width, a, b: _no_wrap(a[0] + b[0], a[1] + b[1], width),
    "sub": lambda width, a, b: _no_wrap(a[0] - b[1], a[1] - b[0], width),
    "mul": lambda width, a, b: (a[0] * b[0], a[1] * b[1]),
    "and": lambda width, a, b: (0, min(a[1], b[1])),
    "or": lambda width, a, b: (max(a[0], b[0]), _mask(a[1] | b[1])),
    "xor": lambda width, a, b: (0, _mask(a[1] | b[1])),
    "shl": _shifted_left,
    "shr_u": _shifted_right,
    "shr_s": _shifted_right_signed,
    "div_u": lambda width, a, b: (a[0] // max(b[1], 1), a[1] // max(b[0], 1)),
    "rem_u": lambda width, a, b: (0, min(a[1], max(b[1], 1) - 1)),
    "extend8_s": lambda width, a: _same_sign(width, a, 8),
    "extend16_s": lambda width, a: _same_sign(width, a, 16),
    "extend32_s": lambda width, a: _same_sign(width, a, 32),
    "extend_i32_s": lambda width, a: _same_sign(width, a, 32),
    "extend_i32_u": lambda width, a: a,
    "wrap_i64": lambda width, a: a,
}
"""The range of a result, for the width of the operation and the ranges of its operands; a range with numbers that the
type does not have stands for anything."""
_BOUNDED: dict[str, Range] = {
    "load8_u": (0, 0xFF),
    "load16_u": (0, 0xFFFF),
    "load32_u": (0, 0xFFFFFFFF),
    "is_null": (0, 1),
    **dict.fromkeys(("eqz", "eq", "ne"), (0, 1)),
    **{f"{name}{sign}": (0, 1) for name in ("lt", "gt", "le", "ge") for sign in ("", "_s", "_u")},
    **dict.fromkeys(("clz", "ctz", "popcnt"), (0, 64)),
}


@cache
def _rule(op: str) -> tuple[Callable[..., Range] | Range | None, int]:
    """How to get the range of an operation's result, and the width it is computed with."""
    type_, _, name = op.partition(".")
    if name in _BOUNDED:
        return _BOUNDED[name], 64
    if type_ not in _BITS:
        return None, 0
    return TRANSFER.get(name), _BITS[type_]
