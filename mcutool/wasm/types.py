"""Reference types as text: how they are written, and which of them may stand for another.

A nullable reference to any function is "funcref", one to an external value "externref", one to a caught exception
"exnref". The others are written as in the text format: "(ref func)", "(ref extern)" and "(ref exn)" are never null,
"(ref null 3)" and "(ref 3)" refer to functions of the module's type 3. Of several types with the same structure the
first gives the number, so that within a module equal types are equal texts; `Structures` compares several modules.

This file decides matching (core specification, section "Validation", "Matching"). It refuses to know how types are
encoded (type_reader.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from mcutool.wasm.module import FunctionType, ValueType

NUMBER_TYPES = ("i32", "i64", "f32", "f64")
BOTTOM = "(ref bottom)"  # matches every reference; only the validator meets it, in code that cannot be reached
OWN = "self"  # what a type calls itself in its structure
_SHORT = {"(ref null func)": "funcref", "(ref null extern)": "externref", "(ref null exn)": "exnref"}
_LONG = {short: long for long, short in _SHORT.items()}


def reference(heap: str, *, nullable: bool) -> ValueType:
    """The reference type for a heap type: "func", "extern", "exn" or the number of a function type."""
    text = f"(ref null {heap})" if nullable else f"(ref {heap})"
    return _SHORT.get(text, text)


def heap_type(kind: ValueType) -> str:
    """What a reference type refers to: "func", "extern", "exn" or the number of a function type."""
    return _LONG.get(kind, kind).split()[-1][:-1]


def is_reference(kind: ValueType) -> bool:
    return kind in _LONG or kind.startswith("(ref ")


def is_nullable(kind: ValueType) -> bool:
    """Whether a reference type has null among its values."""
    return kind in _LONG or kind.startswith("(ref null ")


def has_default(kind: ValueType) -> bool:
    """Whether a local variable or an element of a table begins with a value of its own, zero or null."""
    return kind in NUMBER_TYPES or is_nullable(kind)


@cache
def non_null(kind: ValueType) -> ValueType:
    """The reference type without null."""
    return reference(heap_type(kind), nullable=False)


@cache
def matches(actual: ValueType, expected: ValueType) -> bool:
    """Whether a value of the type `actual` may stand where `expected` is wanted."""
    if actual == expected:
        return True
    if not is_reference(actual) or not is_reference(expected) or is_nullable(actual) > is_nullable(expected):
        return False
    heap, wanted = heap_type(actual), heap_type(expected)
    return heap == wanted or actual == BOTTOM or (wanted == "func" and heap.isdigit())


def all_match(actual: Sequence[ValueType], expected: Sequence[ValueType]) -> bool:
    """Whether the types are equally many and match one by one."""
    return len(actual) == len(expected) and all(map(matches, actual, expected))


def renamed(kind: ValueType, names: Mapping[str, str]) -> ValueType:
    """The same type with another number, or none at all, in the place of a type's number."""
    if not is_reference(kind):
        return kind
    heap = heap_type(kind)
    return reference(names.get(heap, heap), nullable=is_nullable(kind))


def renamed_function(kind: FunctionType, names: Mapping[str, str]) -> FunctionType:
    """A function type with other numbers in its references."""
    parameters, results = (tuple(renamed(item, names) for item in items) for items in (kind.parameters, kind.results))
    return FunctionType(parameters, results, kind.is_recursive)


class Structures:
    """Numbers for function types that are equal exactly where structures are, over all modules that it is shown."""

    def __init__(self) -> None:
        self._numbers: dict[FunctionType, int] = {}

    def names(self, types: Sequence[FunctionType]) -> dict[str, str]:
        """For each type of a module its number in the module -> its number here, as `renamed` takes them."""
        names: dict[str, str] = {}
        found: dict[FunctionType, str] = {}
        for index, kind in enumerate(types):
            if kind not in found:
                names[str(index)] = OWN
                structure = renamed_function(kind, names)
                found[kind] = str(self._numbers.setdefault(structure, len(self._numbers)))
            names[str(index)] = found[kind]
        return names
