"""The IR: functions of basic blocks in SSA form, with block parameters instead of phis.

This file decides what a program looks like between the stages. It refuses to know what an operation means and how it
is encoded. Operations carry WebAssembly's names; our own are:

    call_import      calls the imported function of that index
    copy             its operand
    br_if            edges: when not zero, otherwise
    br_table         edges: for 0, 1, ..., otherwise
    return, unreachable, br
    tail_call, tail_call_indirect, tail_call_ref
                     end a block too: the callee returns to our caller
    unwind           ends a block whose last call may throw; edges: one to go on unless it is a throw, then one for each
                     handler, whose tag (None: any), wish for a reference and slots of both are the immediates; without
                     arguments
    caught           begins a handler: the values of the exception, then the reference to it
    unreachable      with the name of a trap
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcutool.wasm.module import FunctionType

TAIL_CALLS = ("tail_call", "tail_call_indirect", "tail_call_ref")
LEAVING = ("return", "unreachable", *TAIL_CALLS)
"""Terminators after which the function is done."""
WIDE_TYPES = frozenset(("i64", "f64"))


def slots(type_: str) -> int:
    """Frame slots of 32 bits that a value of the type takes."""
    return 2 if type_ in WIDE_TYPES else 1


@dataclass(eq=False, slots=True)
class Value:
    """Something computed once; `definition` is what computes it, the block for a parameter."""

    type: str
    number: int
    definition: Instruction | Block

    @property
    def slots(self) -> int:
        return slots(self.type)

    def __str__(self) -> str:
        return f"v{self.number}"


@dataclass(eq=False, slots=True)
class Edge:
    """A way from a block to another; the arguments become the target's parameters."""

    target: Block
    arguments: list[Value] = field(default_factory=list)

    def __str__(self) -> str:
        return f"b{self.target.number}({', '.join(map(str, self.arguments))})"


@dataclass(eq=False, slots=True)
class Instruction:
    """One operation; `offset` is the byte in the .wasm file that it comes from. Only a terminator has edges."""

    op: str
    operands: list[Value]
    immediates: tuple = ()
    offset: int = 0
    results: list[Value] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    @property
    def is_call(self) -> bool:
        return self.op.startswith(("call", "throw"))

    @property
    def result(self) -> Value:
        return self.results[0]

    def __str__(self) -> str:
        words = [*map(str, self.immediates), *map(str, self.operands), *map(str, self.edges)]
        written = f"{', '.join(f'{v}:{v.type}' for v in self.results)} = " if self.results else ""
        return f"{written}{self.op} {', '.join(words)}".rstrip()


@dataclass(eq=False, slots=True)
class Block:
    """A basic block: entered at the top, left by its terminator."""

    number: int
    parameters: list[Value] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    _terminator: Instruction | None = None

    @property
    def terminator(self) -> Instruction:
        assert self._terminator is not None, f"block b{self.number} has no terminator"
        return self._terminator

    @terminator.setter
    def terminator(self, instruction: Instruction) -> None:
        self._terminator = instruction

    @property
    def is_terminated(self) -> bool:
        return self._terminator is not None

    @property
    def edges(self) -> list[Edge]:
        return self.terminator.edges

    @property
    def last_call(self) -> Instruction:
        """The one whose exceptions the edges of `unwind` catch."""
        return next(instruction for instruction in reversed(self.instructions) if instruction.is_call)

    @property
    def everything(self) -> Iterator[Instruction]:
        """The instructions and the terminator."""
        yield from self.instructions
        yield self.terminator

    def __str__(self) -> str:
        parameters = ", ".join(f"{v}:{v.type}" for v in self.parameters)
        lines = [f"b{self.number}({parameters}):", *(f"    {i.offset:#07x}  {i}" for i in self.everything)]
        return "\n".join(lines)


@dataclass(eq=False, slots=True)
class Function:
    """`blocks` begins with the entry, whose parameters are the function's and which nothing jumps to."""

    name: str
    type: FunctionType
    blocks: list[Block] = field(default_factory=list)
    _values: int = 0
    _blocks: int = 0

    @property
    def entry(self) -> Block:
        return self.blocks[0]

    def new_value(self, type_: str, definition: Instruction | Block) -> Value:
        self._values += 1
        return Value(type_, self._values - 1, definition)

    def new_block(self, parameters: list[str] | tuple[str, ...] = ()) -> Block:
        """A block that does not stand in `blocks` yet, with a parameter for each type."""
        block = Block(self._blocks)
        self._blocks += 1
        block.parameters = [self.new_value(type_, block) for type_ in parameters]
        return block

    def new_instruction(
        self, op: str, operands: list[Value], types: tuple[str, ...] = (), immediates: tuple = (), offset: int = 0
    ) -> Instruction:
        """An instruction that does not stand in a block yet, with a result for each type."""
        instruction = Instruction(op, operands, immediates, offset)
        instruction.results = [self.new_value(type_, instruction) for type_ in types]
        return instruction

    def predecessors(self) -> dict[Block, list[Edge]]:
        """The edges into each block."""
        found: dict[Block, list[Edge]] = {block: [] for block in self.blocks}
        for block in self.blocks:
            for edge in block.edges:
                found[edge.target].append(edge)
        return found

    def substitute(self, replaced: dict[Value, Value]) -> None:
        """Use the value on the right wherever the one on the left is used; chains are followed."""
        if not replaced:
            return
        for block in self.blocks:
            for instruction in block.everything:
                instruction.operands = [resolve(replaced, value) for value in instruction.operands]
                for edge in instruction.edges:
                    edge.arguments = [resolve(replaced, value) for value in edge.arguments]

    def __str__(self) -> str:
        return "\n".join([f"function {self.name} {self.type}", *map(str, self.blocks)])


def resolve(replaced: dict[Value, Value], value: Value) -> Value:
    """Where a chain of replacements ends."""
    while value in replaced:
        value = replaced[value]
    return value
