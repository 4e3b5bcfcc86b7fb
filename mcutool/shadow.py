"""The stack that a program keeps in linear memory: how far each function moves its pointer.

LLVM's programs keep what has an address (arrays, structures) on a second stack in linear memory, below a global that
each function lowers by a constant, and raises again. Here the constants are found, in the IR, whatever the code looks
like: a value is the pointer at the function's begin plus a known number, or it is not. This file refuses to know who
calls whom (`callgraph.py`) and where the stack lies (`window.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from mcutool import fit, window
from mcutool.callgraph import Bound, CallGraph
from mcutool.ir.nodes import LEAVING, TAIL_CALLS, Block, Function, Instruction, Value
from mcutool.wasm.module import Module


class ShadowStack:
    """Collects the frames of a module's functions while it is translated."""

    def __init__(self, module: Module) -> None:
        memories = module.memory_types
        found = window.stack_pointer(module, memories[0].limits.minimum * memories[0].page_size) if memories else None
        self._pointer = found and len(module.imported("global")) + found[0]
        self._first = len(module.imported("function"))
        self._sizes: list[int | None] = []

    def listening(self, dump: Callable[[str, object], None]) -> Callable[[str, object], None]:
        """A dump that notes each optimised function on its way to another dump."""

        def note(stage: str, what: object) -> None:
            if stage == "optimised" and self._pointer is not None and isinstance(what, Function):
                self._sizes.append(frame_size(what, self._pointer))
            dump(stage, what)

        return note

    def bounds(self, calls: CallGraph) -> Callable[[int], Bound] | None:
        """What a call of a function can take, in bytes; None when the module keeps no such stack."""
        if self._pointer is None:
            return None
        defined = self._sizes[:-1]  # the last one gives the pointer its first value
        return calls.other_bound({self._first + number: size for number, size in enumerate(defined)})

    def needed(self, calls: CallGraph) -> int | None:
        """Bytes that the whole stack takes at the most, None when that is not known."""
        bounds = self.bounds(calls)
        return bounds and fit.needed(calls, bounds)


def frame_size(function: Function, pointer: int) -> int | None:
    """Bytes by which the function lowers the global at the most; None when that is no constant.

    None too when the function does not leave the global as it found it, since nothing is known of its callers then.
    """
    try:
        return _Frame(function, pointer).size
    except _NotConstantError:
        return None


class _NotConstantError(Exception):
    """The pointer is set to something else than itself plus a constant."""


class _Frame:
    def __init__(self, function: Function, pointer: int) -> None:
        self._pointer = pointer
        self._distance: dict[Value, int] = {}  # from the pointer at the begin
        self._at_begin: dict[Block, int] = {function.entry: 0}
        self.size = 0
        waiting = [function.entry]
        while waiting:
            block = waiting.pop()
            distance = self._walk(block)
            if block.terminator.op in ("return", *TAIL_CALLS) and distance != 0:
                raise _NotConstantError
            for edge in block.edges if block.terminator.op not in LEAVING else ():
                if edge.target not in self._at_begin:
                    waiting.append(edge.target)
                if self._at_begin.setdefault(edge.target, distance) != distance:
                    raise _NotConstantError

    def _walk(self, block: Block) -> int:
        """Where the pointer is at the end of the block."""
        distance = self._at_begin[block]
        for instruction in block.instructions:
            if instruction.op == "global.get" and instruction.immediates[0] == self._pointer:
                self._note(instruction.result, distance)
            elif instruction.op in ("i32.add", "i32.sub"):
                self._add(instruction)
            elif instruction.op == "global.set" and instruction.immediates[0] == self._pointer:
                if instruction.operands[0] not in self._distance:
                    raise _NotConstantError
                distance = self._distance[instruction.operands[0]]
        return distance

    def _add(self, instruction: Instruction) -> None:
        base, number = instruction.operands
        if base not in self._distance and instruction.op == "i32.add":
            base, number = number, base
        definition = number.definition
        if base in self._distance and isinstance(definition, Instruction) and definition.op == "i32.const":
            constant = definition.immediates[0]
            signed = constant - (1 << 32) if constant >> 31 else constant
            self._note(instruction.result, self._distance[base] + (signed if instruction.op == "i32.add" else -signed))

    def _note(self, value: Value, distance: int) -> None:
        self._distance[value] = distance
        self.size = max(self.size, -distance)
