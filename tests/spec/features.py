"""Which features of WebAssembly a module uses.

This file decides by which proposal a module became possible, for the table of the test suite's assertions. It refuses
to know whether mcutool has a feature.
"""

from __future__ import annotations

from collections.abc import Iterator

from mcutool.wasm.module import PAGE_SIZE, FunctionType, Instruction, Module

FEATURES = (
    "1.0",
    "sign extension",
    "float-to-int",
    "multi-value",
    "bulk memory",
    "reference types",
    "extended constants",
    "custom page sizes",
    "tail calls",
    "multiple memories",
    "typed function references",
    "exceptions",
)
"""Oldest first; a module belongs to the newest that it uses."""
OF_OPCODES = {
    "non-trapping float-to-int conversions": "float-to-int",
    "exception handling": "exceptions",
}
"""Where the table of opcodes has another name."""
NUMBERS = frozenset(("i32", "i64", "f32", "f64"))
OF_REFERENCES = {"funcref": "reference types", "externref": "reference types", "exnref": "exceptions"}


def newest_feature(module: Module) -> str:
    return max(features_of(module), key=FEATURES.index)


def features_of(module: Module) -> set[str]:
    """All features that a valid module uses, "1.0" among them."""
    found = {"1.0", *_of_structure(module)}
    for instruction in _instructions(module):
        feature = OF_OPCODES.get(instruction.opcode.feature, instruction.opcode.feature)
        found.add(feature)
        found |= _of_block(instruction)
    for value in _value_types(module) - NUMBERS:
        found.add(OF_REFERENCES.get(value, "typed function references"))
    return found & set(FEATURES)


def _of_structure(module: Module) -> Iterator[str]:
    """What the sections other than code tell."""
    if any(len(type.results) > 1 for type in module.types):
        yield "multi-value"
    if any(data.mode == "passive" for data in module.datas):
        yield "bulk memory"
    if any(element.mode == "passive" for element in module.elements):
        yield "bulk memory"
    if len(module.table_types) > 1 or any(table.element != "funcref" for table in module.table_types):
        yield "reference types"
    if any(element.mode == "declarative" for element in module.elements):
        yield "reference types"
    if any(_is_extended(module, expression) for expression in _constants(module)):
        yield "extended constants"
    if any(memory.page_size != PAGE_SIZE for memory in module.memory_types):
        yield "custom page sizes"
    if len(module.memory_types) > 1:
        yield "multiple memories"
    if any(module.table_values):
        yield "typed function references"
    if module.tag_types:
        yield "exceptions"


def _is_extended(module: Module, expression: list[Instruction]) -> bool:
    """Whether a constant expression computes, or reads a global that the module itself defines."""
    imported = len(module.imported("global"))
    own = any(item.opcode.name == "global.get" and item.immediates[0] >= imported for item in expression)
    return own or len(expression) > 2  # one instruction and `end`


def _of_block(instruction: Instruction) -> set[str]:
    """Blocks take no values and give one at most in 1.0."""
    kinds = [item for item in instruction.immediates[:1] if isinstance(item, FunctionType)]
    is_block = instruction.opcode.name in ("block", "loop", "if", "try_table")
    return {"multi-value"} if is_block and any(k.parameters or len(k.results) > 1 for k in kinds) else set()


def _instructions(module: Module) -> Iterator[Instruction]:
    """Those of functions, and of constant expressions but for the `ref.func` that stands for a function's index."""
    for function in module.functions:
        yield from function.body
    for expression in _constants(module):
        yield from expression
    for element in module.elements:
        for expression in element.expressions:
            yield from (item for item in expression if item.opcode.name != "ref.func")


def _constants(module: Module) -> Iterator[list[Instruction]]:
    """The constant expressions that compute a value or a place."""
    yield from (item.expression for item in module.globals)
    yield from (value for value in module.table_values if value)
    for segment in (*module.elements, *module.datas):
        if segment.offset_expression:
            yield segment.offset_expression


def _value_types(module: Module) -> set[str]:
    """Of everything but tables and segments, which held functions in 1.0 already."""
    found = {item.value for item in module.global_types}
    for type in (*module.types, *module.tag_types):
        found |= {*type.parameters, *type.results}
    for function in module.functions:
        found.update(function.locals)
    return found
