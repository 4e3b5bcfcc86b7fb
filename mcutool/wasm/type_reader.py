"""Reading types (core specification, section "Binary Format", "Types").

This file decides which bytes are a type, and gives every type reference the number of the first type with the same
structure. It refuses to know instructions and sections.
"""

from __future__ import annotations

from collections.abc import Set
from typing import NoReturn, TypeVar

from mcutool.errors import InvalidModule, Unsupported
from mcutool.wasm.cursor import Cursor
from mcutool.wasm.features import EXCEPTIONS, TYPED_REFERENCES
from mcutool.wasm.module import FunctionType, ValueType
from mcutool.wasm.types import OWN, reference, renamed_function

_EXCEPTION = 0x69
_HEAP_CODES = {0x70: "func", 0x6F: "extern", _EXCEPTION: "exn"}
_REFERENCE_CODES = {code: reference(heap, nullable=True) for code, heap in _HEAP_CODES.items()}
_VALUE_CODES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", **_REFERENCE_CODES}
_NULLABLE, _NOT_NULL = 0x63, 0x64  # in front of a heap type
_EMPTY_BLOCK_TYPE = 0x40

# Codes of later proposals.
_LATER_TYPES = {0x7B: "SIMD", 0x68: "stack switching"}
_LATER_TYPES |= dict.fromkeys([0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x71, 0x72, 0x73, 0x74], "garbage collection")
_LATER_FORMS = dict.fromkeys([0x4E, 0x4F, 0x50, 0x5E, 0x5F], "garbage collection") | {0x5D: "stack switching"}

# What asks compilers for a feature.
_FLAGS = {
    "SIMD": "leave out -msimd128 (clang), +simd128 (rustc, zig), --enable simd (asc)",
    "threads": "leave out -pthread and -matomics (clang), +atomics (rustc, zig), --enable threads (asc)",
    "memory64": "compile for wasm32, not wasm64",
}
_ANY_FLAG = "for clang and rustc that is a target feature to leave out"

T = TypeVar("T")


def unsupported(feature: str, offset: int) -> Unsupported:
    return Unsupported(
        f"not supported: {feature} (at byte offset {offset:#x})",
        next_action=f"build the module without this feature: {_FLAGS.get(feature, _ANY_FLAG)}",
    )


class TypeReader:
    """Reads types at a cursor; `types` are the function types of the module so far, `refused` names features."""

    def __init__(self, cursor: Cursor, types: list[FunctionType], refused: Set[str]) -> None:
        self.cursor = cursor
        self.types = types
        self.refused = refused
        self._numbers: list[int] = []  # of each type, where the first type with its structure stands
        self._structures: dict[FunctionType, int] = {}

    def refuse(self, feature: str, offset: int) -> None:
        """Raises Unsupported when the feature is among the refused ones."""
        if feature in self.refused:
            raise unsupported(feature, offset)

    def read_types(self) -> None:
        """A type section's contents, each type at once: what follows refers to it."""
        for own in range(self.cursor.u32()):
            self._numbers.append(own)
            kind = self._function_type()
            structure = renamed_function(kind, {str(own): OWN})
            if structure != kind:
                kind = FunctionType(kind.parameters, kind.results, is_recursive=True)
            first = self._structures.setdefault(structure, own)
            self._numbers[own] = first
            self.types.append(kind if first == own else self.types[first])

    def _function_type(self) -> FunctionType:
        offset, form = self.cursor.position, self.cursor.byte()
        if form in _LATER_FORMS:
            raise unsupported(_LATER_FORMS[form], offset)
        if form != 0x60:
            raise InvalidModule(f"malformed function type {form:#04x}", offset)
        return FunctionType(self._value_types(), self._value_types())

    def _value_types(self) -> tuple[ValueType, ...]:
        return tuple(self.cursor.vector(self.value_type))

    def value_type(self) -> ValueType:
        return self._coded(_VALUE_CODES, "value")

    def reference_type(self) -> ValueType:
        return self._coded(_REFERENCE_CODES, "reference")

    def _coded(self, codes: dict[int, ValueType], what: str) -> ValueType:
        offset, code = self.cursor.position, self.cursor.byte()
        if code == _EXCEPTION:
            self.refuse(EXCEPTIONS, offset)
        if code in codes:
            return codes[code]
        if code in (_NULLABLE, _NOT_NULL):
            self.refuse(TYPED_REFERENCES, offset)
            return reference(self._heap_type(), nullable=code == _NULLABLE)
        _refuse_type(code, what, offset)

    def _heap_type(self) -> str:
        cursor, offset = self.cursor, self.cursor.position
        code = cursor.byte()
        if code == _EXCEPTION:
            self.refuse(EXCEPTIONS, offset)
        if code in _HEAP_CODES:
            return _HEAP_CODES[code]
        if code in _LATER_TYPES:
            raise unsupported(_LATER_TYPES[code], offset)
        cursor.position = offset
        index = cursor.signed(33)
        if index < 0:
            raise InvalidModule(f"malformed heap type {code:#04x}", offset)
        self.refuse(TYPED_REFERENCES, offset)
        return str(_known(self._numbers, index, offset))

    def nullable_reference(self) -> ValueType:
        """A heap type, as the type of its null."""
        return reference(self._heap_type(), nullable=True)

    def block_type(self) -> FunctionType:
        cursor, offset = self.cursor, self.cursor.position
        code = cursor.byte()
        if code == _EMPTY_BLOCK_TYPE:
            return FunctionType()
        cursor.position = offset
        if code in _VALUE_CODES or code in (_NULLABLE, _NOT_NULL) or code in _LATER_TYPES:
            return FunctionType((), (self.value_type(),))
        index = cursor.signed(33)
        if index < 0:
            raise InvalidModule("malformed block type", offset)
        return _known(self.types, index, offset)

    def type_use(self) -> tuple[int, FunctionType]:
        """The index of a type, and the type; raises InvalidModule when there is none."""
        offset, index = self.cursor.position, self.cursor.u32()
        return index, _known(self.types, index, offset)


def _known(types: list[T], index: int, offset: int) -> T:
    if index >= len(types):
        raise InvalidModule(f"unknown type {index}", offset)
    return types[index]


def _refuse_type(code: int, what: str, offset: int) -> NoReturn:
    if code in _LATER_TYPES:
        raise unsupported(_LATER_TYPES[code], offset)
    raise InvalidModule(f"malformed {what} type {code:#04x}", offset)
