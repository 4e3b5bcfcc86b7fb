"""The register IR: functions of basic blocks in static single assignment form, with parameters on blocks.

This file decides what an IR function is made of and how it is shown. It refuses to know where it comes from, what is
optimised and how instructions are encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mcutool.wasm.module import FunctionType

WIDE = ("i64", "f64")
"""Types that take two slots."""


class Value:
    """A value that is defined once; compared by identity."""

    __slots__ = ("number", "type")

    def __init__(self, number: int, type_: str) -> None:
        self.number = number
        self.type = type_

    @property
    def slots(self) -> int:
        return 2 if self.type in WIDE else 1

    def __repr__(self) -> str:
        return f"%{self.number}"


@dataclass(slots=True, eq=False)
class Instruction:
    """`name` is WebAssembly's where it has one; `const`, `copy` and `call_import` are ours.

    Immediates: const (bits,); loads and stores (offset,); call (function,); call_indirect (type index, table);
    global.* (index,); table.* and memory.* as in WebAssembly; ref.func (function,).
    """

    name: str
    arguments: list[Value]
    results: list[Value]
    immediates: tuple
    offset: int

    def __str__(self) -> str:
        left = f"{', '.join(f'{r!r}:{r.type}' for r in self.results)} = " if self.results else ""
        words = [*map(repr, self.arguments), *(f"#{i}" for i in self.immediates)]
        return f"{left}{self.name} {', '.join(words)}".rstrip()


@dataclass(slots=True, eq=False)
class Edge:
    """A way to a block, with a value for each of its parameters."""

    block: Block
    arguments: list[Value] = field(default_factory=list)

    def __str__(self) -> str:
        return f"b{self.block.number}({', '.join(map(repr, self.arguments))})"


@dataclass(slots=True, eq=False)
class Terminator:
    """The end of a block.

    jump: one edge. branch: argument not zero -> first edge, else the second. table: argument k -> edge k, the last
    for all others. return: arguments are the results. trap: immediates (kind,).
    """

    name: str
    arguments: list[Value]
    edges: list[Edge]
    immediates: tuple
    offset: int

    def __str__(self) -> str:
        words = [*map(repr, self.arguments), *map(str, self.edges), *map(str, self.immediates)]
        return f"{self.name} {', '.join(words)}".rstrip()


@dataclass(slots=True, eq=False)
class Block:
    number: int
    parameters: list[Value] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    terminator: Terminator | None = None
    depth: int = 0

    @property
    def edges(self) -> list[Edge]:
        return self.terminator.edges if self.terminator else []


@dataclass(slots=True, eq=False)
class Function:
    """Blocks in the order of the source; the first is the entry, whose parameters are the function's."""

    name: str
    type: FunctionType
    blocks: list[Block] = field(default_factory=list)
    values: int = 0

    def value(self, type_: str) -> Value:
        """A fresh value."""
        self.values += 1
        return Value(self.values - 1, type_)

    def instructions(self) -> Iterator[Instruction]:
        for block in self.blocks:
            yield from block.instructions

    def __str__(self) -> str:
        lines = [f"function {self.name} {self.type}"]
        for block in self.blocks:
            parameters = ", ".join(f"{p!r}:{p.type}" for p in block.parameters)
            lines += [f"b{block.number}({parameters}):", *(f"    {i}" for i in block.instructions)]
            lines += [f"    {block.terminator}"]
        return "\n".join(lines)
