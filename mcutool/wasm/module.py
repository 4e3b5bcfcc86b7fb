"""A WebAssembly module as plain data, in the index spaces of the specification (section "Modules").

This file decides the shape that the reader fills, the validator checks and everything behind them relies on. It refuses
to know the binary format and the rules of validation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcutool.wasm.opcodes import Opcode

ValueType = str  # "i32", "i64", "f32", "f64", "funcref", "externref", or another reference type, see types.py
PAGE_SIZE = 65536


@dataclass(frozen=True, slots=True)
class FunctionType:
    """`is_recursive` says that it refers to itself, and not from outside to another type that looks the same."""

    parameters: tuple[ValueType, ...] = ()
    results: tuple[ValueType, ...] = ()
    is_recursive: bool = False

    def __str__(self) -> str:
        return f"[{' '.join(self.parameters)}] -> [{' '.join(self.results)}]"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in pages (memory) or elements (table); `maximum` is None when none is declared."""

    minimum: int
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryType:
    limits: Limits
    page_size: int = PAGE_SIZE
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TableType:
    element: ValueType
    limits: Limits
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class GlobalType:
    value: ValueType
    mutable: bool


ExternalType = FunctionType | TableType | MemoryType | GlobalType


@dataclass(frozen=True, slots=True)
class Import:
    """`kind` is "function", "table", "memory", "global" or "tag"; the type of a tag is that of a function.

    `offset` is where the import stands in the file.
    """

    module: str
    name: str
    kind: str
    type: ExternalType
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Export:
    name: str
    kind: str
    index: int
    offset: int = 0


@dataclass(slots=True)
class Instruction:
    """One instruction; `offset` is the byte in the file where its opcode stands.

    Immediates by instruction:
      block, loop, if            (FunctionType,)
      try_table                  (FunctionType, tuple of (kind, tag or None, depth)), kind "catch", "catch_ref",
                                 "catch_all" or "catch_all_ref", depths counted from outside of the block
      throw                      (tag,); throw_ref has none
      br, br_if, br_on_null, br_on_non_null (depth,)
      br_table                   (tuple of depths, default depth)
      call, return_call, ref.func           (function,)
      call_indirect, return_call_indirect   (FunctionType, table)
      call_ref, return_call_ref             (FunctionType,)
      select_t                   (value type,); the untyped select has none
      local.*, global.*          (index,)
      loads and stores           (log2 of the alignment, offset, memory)
      memory.size, grow, fill    (memory,)
      memory.copy, table.copy    (destination, source)
      memory.init, table.init    (segment, memory or table)
      data.drop, elem.drop       (segment,)
      table.get, set, size, grow, fill  (table,)
      i32.const, i64.const       (unsigned two's complement,)
      f32.const, f64.const       (bit pattern,)
      ref.null                   (reference type,)
    """

    opcode: Opcode
    immediates: tuple
    offset: int

    def __str__(self) -> str:
        return " ".join([self.opcode.name, *map(str, self.immediates)])


Expression = list[Instruction]  # ends with `end`


@dataclass(slots=True)
class Function:
    """A defined function; `locals` are the declared ones, without the parameters; `offset` is where its body begins."""

    type_index: int
    type: FunctionType
    locals: tuple[ValueType, ...]
    body: Expression
    offset: int


@dataclass(slots=True)
class Global:
    type: GlobalType
    expression: Expression
    offset: int = 0


@dataclass(slots=True)
class Element:
    """`mode` is "active", "passive" or "declarative"; each of `expressions` is a constant expression."""

    mode: str
    table: int
    offset_expression: Expression | None
    type: ValueType
    expressions: list[Expression]
    offset: int


@dataclass(slots=True)
class Data:
    """`mode` is "active" or "passive"."""

    mode: str
    memory: int
    offset_expression: Expression | None
    bytes: bytes
    offset: int = 0


@dataclass(slots=True)
class Module:
    """Everything a .wasm file says; each `offset` in it is a byte of the file, for messages.

    Lists hold what the module defines; the `*_types` properties put imports first.
    """

    types: list[FunctionType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    tables: list[TableType] = field(default_factory=list)
    table_values: list[Expression | None] = field(default_factory=list)  # what each begins with, None for null
    memories: list[MemoryType] = field(default_factory=list)
    tags: list[FunctionType] = field(default_factory=list)
    tags_offset: int = 0  # where the tag section's contents begin
    globals: list[Global] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    start_offset: int = 0
    elements: list[Element] = field(default_factory=list)
    datas: list[Data] = field(default_factory=list)
    customs: list[tuple[str, bytes, int]] = field(default_factory=list)  # name, contents, offset of the contents
    function_names: dict[int, str] = field(default_factory=dict)  # from the name section
    code_offset: int = 0  # where the code section's contents begin, which is address 0 of DWARF
    code_size: int = 0  # bytes of the code section's contents
    size: int = 0  # bytes of the file

    def imported(self, kind: str) -> list[Import]:
        return [item for item in self.imports if item.kind == kind]

    def _imported_types(self, kind: str) -> list:
        return [item.type for item in self.imports if item.kind == kind]

    @property
    def function_types(self) -> list[FunctionType]:
        return self._imported_types("function") + [function.type for function in self.functions]

    @property
    def table_types(self) -> list[TableType]:
        return self._imported_types("table") + self.tables

    @property
    def memory_types(self) -> list[MemoryType]:
        return self._imported_types("memory") + self.memories

    @property
    def global_types(self) -> list[GlobalType]:
        return self._imported_types("global") + [item.type for item in self.globals]

    @property
    def tag_types(self) -> list[FunctionType]:
        return self._imported_types("tag") + self.tags

    def export(self, name: str) -> Export | None:
        """The export of that name, or None."""
        return next((item for item in self.exports if item.name == name), None)

    def function_name(self, index: int) -> str:
        """What to call a function in a message: its name, its export or its number."""
        if index in self.function_names:
            return self.function_names[index]
        exported = (item.name for item in self.exports if item.kind == "function" and item.index == index)
        return next(exported, f"function {index}")
