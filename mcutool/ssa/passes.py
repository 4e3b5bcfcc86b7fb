"""What is done to a function between SSA and slots: unreachable blocks, copies, constants, dead code.

This file decides the order of the passes. Each keeps the law of SSA (`law.py`). It refuses to know encodings.
"""

from __future__ import annotations

from mcutool.ssa import rules
from mcutool.ssa.nodes import WIDE, Block, Edge, Function, Instruction, Terminator, Value

PURE_PREFIXES = ("i32.", "i64.", "f32.", "f64.")
IMPURE_OPERATIONS = ("load", "store", "div_", "rem_", "trunc_f")


def optimise(function: Function) -> None:
    """Run all passes in place."""
    remove_unreachable(function)
    remove_trivial_parameters(function)
    propagate(function)
    simplify_branches(function)
    remove_unreachable(function)
    remove_trivial_parameters(function)
    merge_chains(function)
    number_values(function)
    remove_dead(function)


class _Renaming:
    """Values that turned out to be other values."""

    def __init__(self) -> None:
        self._to: dict[Value, Value] = {}

    def set(self, old: Value, new: Value) -> None:
        self._to[old] = new

    def get(self, value: Value) -> Value:
        root = value
        while root in self._to:
            root = self._to[root]
        while value in self._to:
            self._to[value], value = root, self._to[value]
        return root

    def apply(self, function: Function) -> None:
        if not self._to:
            return
        for block in function.blocks:
            for item in (*block.instructions, block.terminator):
                if item is not None:
                    item.arguments = [self.get(a) for a in item.arguments]
            for edge in block.edges:
                edge.arguments = [self.get(a) for a in edge.arguments]


def predecessors(function: Function) -> dict[Block, list[Edge]]:
    """The edges that lead to each block."""
    found: dict[Block, list[Edge]] = {block: [] for block in function.blocks}
    for block in function.blocks:
        for edge in block.edges:
            found[edge.block].append(edge)
    return found


def remove_unreachable(function: Function) -> None:
    seen = {function.blocks[0]}
    work = [function.blocks[0]]
    while work:
        for edge in work.pop().edges:
            if edge.block not in seen:
                seen.add(edge.block)
                work.append(edge.block)
    function.blocks = [block for block in function.blocks if block in seen]


def remove_trivial_parameters(function: Function) -> None:
    """A parameter that is always the same value, or itself, is that value."""
    renaming = _Renaming()
    changed = True
    while changed:
        changed = False
        for block, edges in predecessors(function).items():
            if block is function.blocks[0]:
                continue
            for index in reversed(range(len(block.parameters))):
                parameter = block.parameters[index]
                values = {renaming.get(edge.arguments[index]) for edge in edges} - {parameter}
                if len(values) == 1:
                    renaming.set(parameter, values.pop())
                    del block.parameters[index]
                    for edge in edges:
                        del edge.arguments[index]
                    changed = True
    renaming.apply(function)


def propagate(function: Function) -> None:
    """Fold constants, drop copies and identities."""
    renaming = _Renaming()
    constants: dict[Value, int] = {}
    for block in function.blocks:
        kept = []
        for instruction in block.instructions:
            instruction.arguments = [renaming.get(a) for a in instruction.arguments]
            if not _propagate_one(instruction, renaming, constants):
                kept.append(instruction)
        block.instructions = kept
    renaming.apply(function)


def _propagate_one(instruction: Instruction, renaming: _Renaming, constants: dict[Value, int]) -> bool:
    """True when the instruction is no longer needed."""
    name, arguments = instruction.name, instruction.arguments
    if name == "const":
        constants[instruction.results[0]] = instruction.immediates[0]
        return False
    if name == "copy" and arguments[0].type == instruction.results[0].type:
        renaming.set(instruction.results[0], arguments[0])
        return True
    known = [constants[a] for a in arguments if a in constants]
    if known and len(known) == len(arguments) and len(instruction.results) == 1:
        folded = rules.fold(name, known)
        if folded is not None:
            instruction.name, instruction.arguments, instruction.immediates = "const", [], (folded,)
            constants[instruction.results[0]] = folded
            return False
    if len(arguments) == 2:
        return _simplify(instruction, renaming, constants)
    return False


def _simplify(instruction: Instruction, renaming: _Renaming, constants: dict[Value, int]) -> bool:
    a, b = instruction.arguments
    operation = instruction.name.partition(".")[2]
    if a in constants and operation in rules.COMMUTATIVE and instruction.name[:3] in rules.WIDTH:
        a, b = instruction.arguments = [b, a]
    if b not in constants:
        return False
    if rules.identity(instruction.name, constants[b]):
        renaming.set(instruction.results[0], a)
        return True
    if rules.absorbing(instruction.name, constants[b]):
        instruction.name, instruction.arguments, instruction.immediates = "const", [], (0,)
        constants[instruction.results[0]] = 0
    return False


def simplify_branches(function: Function) -> None:
    """Branches on constants and on the negation of a condition."""
    definitions = {r: i for i in function.instructions() for r in i.results}
    for block in function.blocks:
        terminator = block.terminator
        assert terminator is not None
        if terminator.name not in ("branch", "table"):
            continue
        made = definitions.get(terminator.arguments[0])
        while terminator.name == "branch" and made is not None and made.name == "i32.eqz":
            terminator.arguments = list(made.arguments)
            terminator.edges.reverse()
            made = definitions.get(terminator.arguments[0])
        if made is not None and made.name == "const":
            constant = made.immediates[0]
            taken = min(constant, len(terminator.edges) - 1) if terminator.name == "table" else int(constant == 0)
            block.terminator = Terminator("jump", [], [terminator.edges[taken]], (), terminator.offset)


def merge_chains(function: Function) -> None:
    """A block that is jumped to from one place only becomes part of it."""
    renaming = _Renaming()
    counts = {block: len(edges) for block, edges in predecessors(function).items()}
    gone: set[Block] = set()
    for block in function.blocks:
        if block in gone:
            continue
        while block.terminator is not None and block.terminator.name == "jump":
            edge = block.terminator.edges[0]
            if counts[edge.block] != 1 or edge.block is function.blocks[0] or edge.block is block:
                break
            for parameter, argument in zip(edge.block.parameters, edge.arguments, strict=True):
                renaming.set(parameter, argument)
            block.instructions += edge.block.instructions
            block.terminator = edge.block.terminator
            gone.add(edge.block)
    function.blocks = [block for block in function.blocks if block not in gone]
    renaming.apply(function)


def is_pure(instruction: Instruction) -> bool:
    """Whether it may be left out, or computed once, without anyone noticing."""
    if instruction.name in ("const", "copy", "select", "ref.func"):
        return True
    operation = instruction.name.partition(".")[2]
    return instruction.name.startswith(PURE_PREFIXES) and not operation.startswith(IMPURE_OPERATIONS)


def number_values(function: Function) -> None:
    """Compute what was computed before in the same block once."""
    renaming = _Renaming()
    for block in function.blocks:
        seen: dict[tuple, Value] = {}
        kept = []
        for instruction in block.instructions:
            instruction.arguments = [renaming.get(a) for a in instruction.arguments]
            key = (
                instruction.name,
                *instruction.arguments,
                instruction.immediates,
                *(r.type for r in instruction.results),
            )
            if is_pure(instruction) and key in seen:
                renaming.set(instruction.results[0], seen[key])
                continue
            if is_pure(instruction):
                seen[key] = instruction.results[0]
            kept.append(instruction)
        block.instructions = kept
    renaming.apply(function)


def remove_dead(function: Function) -> None:
    """Drop pure instructions and block parameters that nobody uses."""
    into = {p: (e.block, e, i) for b in function.blocks for e in b.edges for i, p in enumerate(e.block.parameters)}
    arguments: dict[Value, list[Value]] = {p: [] for p in into}
    for block in function.blocks:
        for edge in block.edges:
            for parameter, argument in zip(edge.block.parameters, edge.arguments, strict=True):
                arguments[parameter].append(argument)
    definitions = {r: i for i in function.instructions() for r in i.results}
    live: set[Value] = set()
    work = [a for b in function.blocks if b.terminator for a in b.terminator.arguments]
    for instruction in function.instructions():
        if not is_pure(instruction):
            work += instruction.arguments
    while work:
        value = work.pop()
        if value in live:
            continue
        live.add(value)
        if value in definitions and is_pure(definitions[value]):
            work += definitions[value].arguments
        work += arguments.get(value, [])
    _sweep(function, live)


def _sweep(function: Function, live: set[Value]) -> None:
    for block in function.blocks:
        block.instructions = [i for i in block.instructions if not is_pure(i) or any(r in live for r in i.results)]
        for edge in block.edges:
            pairs = zip(edge.block.parameters, edge.arguments, strict=True)
            edge.arguments = [a for p, a in pairs if p in live]
    for block in function.blocks[1:]:
        block.parameters = [p for p in block.parameters if p in live]


__all__ = ["optimise", "predecessors", "is_pure", "WIDE"]
