"""Reading instructions (core specification, section "Binary Format", "Instructions").

This file decides which immediates an opcode carries, by the kind in its row, and that blocks nest. It refuses to know
types (type_reader.py), sections (reader.py) and whether indices and operands fit (validate.py). Nesting costs a list,
not Python's stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from mcutool.errors import InvalidModule
from mcutool.wasm.module import Expression, Instruction
from mcutool.wasm.opcodes import BY_CODE, PREFIXES, Opcode, later_feature
from mcutool.wasm.type_reader import TypeReader, unsupported

_MEMORY_INDEX_FLAG = 0x40
_CATCHES = ("catch", "catch_ref", "catch_all", "catch_all_ref")  # by their codes


class _Immediates:
    """One method per kind of immediates in the opcode table; each returns them as a tuple."""

    def __init__(self, types: TypeReader) -> None:
        self.cursor = types.cursor
        self.types = types

    def index(self) -> tuple:
        return (self.cursor.u32(),)

    def two_indices(self) -> tuple:
        return self.cursor.u32(), self.cursor.u32()

    def block_type(self) -> tuple:
        return (self.types.block_type(),)

    def catches(self) -> tuple:
        return self.types.block_type(), tuple(self.cursor.vector(self._catch))

    def _catch(self) -> tuple[str, int | None, int]:
        offset, code = self.cursor.position, self.cursor.byte()
        if code >= len(_CATCHES):
            raise InvalidModule(f"malformed catch {code:#04x}", offset)
        kind = _CATCHES[code]
        tag = None if kind.startswith("catch_all") else self.cursor.u32()
        return kind, tag, self.cursor.u32()

    def labels(self) -> tuple:
        return tuple(self.cursor.vector(self.cursor.u32)), self.cursor.u32()

    def type(self) -> tuple:
        return (self.types.type_use()[1],)

    def type_table(self) -> tuple:
        return self.types.type_use()[1], self.cursor.u32()

    def memarg(self) -> tuple:
        offset, flags = self.cursor.position, self.cursor.u32()
        if flags >= 2 * _MEMORY_INDEX_FLAG:
            raise InvalidModule("malformed memop flags", offset)
        memory = self.cursor.u32() if flags & _MEMORY_INDEX_FLAG else 0
        return flags % _MEMORY_INDEX_FLAG, self.cursor.unsigned(64), memory

    def i32(self) -> tuple:
        return (self.cursor.signed(32) % (1 << 32),)

    def i64(self) -> tuple:
        return (self.cursor.signed(64) % (1 << 64),)

    def f32(self) -> tuple:
        return (self.cursor.bits(4),)

    def f64(self) -> tuple:
        return (self.cursor.bits(8),)

    def value_types(self) -> tuple:
        offset = self.cursor.position
        types = self.cursor.vector(self.types.value_type)
        if len(types) != 1:
            raise InvalidModule("invalid result arity", offset)
        return tuple(types)

    def reference(self) -> tuple:
        return (self.types.nullable_reference(),)


_TWO_INDICES = ("data_memory", "memory_memory", "element_table", "table_table")
_ONE_INDEX = ("label", "function", "declared", "local", "global", "table", "memory", "data", "element", "tag")
_METHODS = dict.fromkeys(_TWO_INDICES, "two_indices") | dict.fromkeys(_ONE_INDEX, "index")
_NESTING = {"block", "loop", "if", "else", "end", "try_table"}


class ExpressionReader:
    """Reads expressions where `types` reads types, without the instructions of the features refused there."""

    def __init__(self, types: TypeReader) -> None:
        self.cursor = types.cursor
        immediates = _Immediates(types)
        readers = {
            kind: getattr(immediates, _METHODS.get(kind, kind))
            for kind in {row.immediates for row in BY_CODE.values()} - {"-"}
        }
        self._rows = {
            key: (row, readers.get(row.immediates)) for key, row in BY_CODE.items() if row.feature not in types.refused
        }

    def read(self) -> Expression:
        """The instructions up to and with the `end` that closes the expression."""
        body: Expression = []
        open_blocks = ["expression"]
        while open_blocks:
            offset = self.cursor.position
            opcode, read_immediates = self._opcode()
            body.append(Instruction(opcode, read_immediates() if read_immediates else (), offset))
            if opcode.name in _NESTING:
                _nest(open_blocks, opcode.name, offset)
        return body

    def _opcode(self) -> tuple[Opcode, Callable[[], tuple] | None]:
        offset, code, prefix = self.cursor.position, self.cursor.byte(), 0
        if code in PREFIXES:
            prefix, code = code, self.cursor.u32()
        row = self._rows.get((prefix, code))
        if row is None:
            _refuse_opcode(prefix, code, offset)
        return row


def _nest(open_blocks: list[str], name: str, offset: int) -> None:
    if name == "end":
        open_blocks.pop()
    elif name != "else":
        open_blocks.append(name)
    elif open_blocks[-1] == "if":
        open_blocks[-1] = "else"
    else:
        raise InvalidModule("else without if", offset)


def _refuse_opcode(prefix: int, code: int, offset: int) -> NoReturn:
    row = BY_CODE.get((prefix, code))
    if feature := row.feature if row else later_feature(prefix, code):
        raise unsupported(feature, offset)
    text = f"{prefix:02x} {code:02x}" if prefix else f"{code:02x}"
    raise InvalidModule(f"illegal opcode {text}", offset)
