"""Reading types and instructions (core specification, "Binary Format": "Types" and "Instructions").

This file decides which immediates an opcode carries, by the kind in its row, and that blocks nest. It refuses to know
sections (reader.py) and whether indices and operands fit (validate.py). Nesting costs a list, not Python's stack.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import NoReturn

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.module import Expression, FunctionType, Instruction, ValueType
from mcutool.wasm.opcodes import BY_CODE, PREFIXES, Opcode, later_feature

REFERENCE_CODES = {0x70: "funcref", 0x6F: "externref"}
_VALUE_CODES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", **REFERENCE_CODES}
_EMPTY_BLOCK_TYPE = 0x40
_MEMORY_INDEX_FLAG = 0x40

# Type codes of later proposals.
_LATER_TYPES = {0x7B: "SIMD", 0x69: "exception handling", 0x74: "exception handling", 0x68: "stack switching"}
_LATER_TYPES |= dict.fromkeys([0x63, 0x64], "typed function references")
_LATER_TYPES |= dict.fromkeys([0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x71, 0x72, 0x73], "garbage collection")


def unsupported(feature: str, offset: int) -> Unsupported:
    return Unsupported(
        f"not supported: {feature} (at byte offset {offset:#x})",
        next_action="build the module without this feature; for clang and rustc that is a target feature to leave out",
    )


def _refuse_type(code: int, what: str, offset: int) -> NoReturn:
    if code in _LATER_TYPES:
        raise unsupported(_LATER_TYPES[code], offset)
    raise InvalidModule(f"malformed {what} type {code:#04x}", offset)


def read_value_type(cursor: Cursor) -> ValueType:
    offset, code = cursor.position, cursor.byte()
    if code not in _VALUE_CODES:
        _refuse_type(code, "value", offset)
    return _VALUE_CODES[code]


def read_reference_type(cursor: Cursor) -> ValueType:
    offset, code = cursor.position, cursor.byte()
    if code not in REFERENCE_CODES:
        _refuse_type(code, "reference", offset)
    return REFERENCE_CODES[code]


def type_at(types: list[FunctionType], index: int, offset: int) -> FunctionType:
    """The function type of that index; raises InvalidModule when there is none."""
    if index >= len(types):
        raise InvalidModule(f"unknown type {index}", offset)
    return types[index]


class _Immediates:
    """One method per kind of immediates in the opcode table; each returns them as a tuple."""

    def __init__(self, cursor: Cursor, types: list[FunctionType]) -> None:
        self.cursor = cursor
        self.types = types

    def index(self) -> tuple:
        return (self.cursor.u32(),)

    def two_indices(self) -> tuple:
        return self.cursor.u32(), self.cursor.u32()

    def block_type(self) -> tuple:
        cursor, offset = self.cursor, self.cursor.position
        code = cursor.byte()
        if code == _EMPTY_BLOCK_TYPE:
            return (FunctionType(),)
        if code in _VALUE_CODES:
            return (FunctionType((), (_VALUE_CODES[code],)),)
        if code in _LATER_TYPES:
            raise unsupported(_LATER_TYPES[code], offset)
        cursor.position = offset
        index = cursor.signed(33)
        if index < 0:
            raise InvalidModule("malformed block type", offset)
        return (type_at(self.types, index, offset),)

    def labels(self) -> tuple:
        return tuple(self.cursor.vector(self.cursor.u32)), self.cursor.u32()

    def type_table(self) -> tuple:
        offset = self.cursor.position
        function_type = type_at(self.types, self.cursor.u32(), offset)
        return function_type, self.cursor.u32()

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
        types = self.cursor.vector(lambda: read_value_type(self.cursor))
        if len(types) != 1:
            raise InvalidModule("invalid result arity", offset)
        return tuple(types)

    def reference(self) -> tuple:
        """A heap type: one of the two codes, or an index of a type in a later proposal."""
        offset = self.cursor.position
        code = self.cursor.data[offset] if offset < self.cursor.end else 0
        if code in REFERENCE_CODES or code in _LATER_TYPES:
            return (read_reference_type(self.cursor),)
        if self.cursor.signed(33) >= 0:
            raise unsupported("typed function references", offset)
        raise InvalidModule(f"malformed reference type {code:#04x}", offset)


_TWO_INDICES = ("data_memory", "memory_memory", "element_table", "table_table")
_ONE_INDEX = ("label", "function", "declared", "local", "global", "table", "memory", "data", "element")
_METHODS = dict.fromkeys(_TWO_INDICES, "two_indices") | dict.fromkeys(_ONE_INDEX, "index")
_NESTING = {"block", "loop", "if", "else", "end"}


class ExpressionReader:
    """Reads expressions at a cursor; `types` are the function types of the module, `refused` names features."""

    def __init__(self, cursor: Cursor, types: list[FunctionType], refused: Set[str]) -> None:
        self.cursor = cursor
        immediates = _Immediates(cursor, types)
        readers = {
            kind: getattr(immediates, _METHODS.get(kind, kind))
            for kind in {row.immediates for row in BY_CODE.values()} - {"-"}
        }
        self._rows = {
            key: (row, readers.get(row.immediates)) for key, row in BY_CODE.items() if row.feature not in refused
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
